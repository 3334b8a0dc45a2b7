"""A loan like the last one takes few hops: of every product that ships, of any amount, in every language."""

import json
from datetime import date, timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone, translation

from lending.models import Application, Borrower
from lending.rules import pricing
from lending.rules.terms import read_terms
from lending.selectors import products
from lending.services import applications
from tests import factories
from tests.factories import PIN
from tests.phone import Phone
from ussd import engine, flows, samples
from ussd.models import Session
from ussd.tongue import pgettext

LANGUAGES = [code for code, _ in settings.SPOKEN_LANGUAGES]
# With the amount typed on the first screen; who goes through the menu makes one more.
MOST_HOPS = 5
LAST_CENTS = 135_000
AMOUNTS = {"smallest": 20_000, "last": LAST_CENTS, "largest": 5_000_000}


@pytest.fixture
def again(law: None, client: Client, product: str, language: str) -> Phone:
    """The phone of somebody who has had this product, and said what it was for."""
    amina = factories.register(language=language)
    Borrower.objects.filter(id=amina.id).update(limit_cents=max(AMOUNTS.values()))
    at = timezone.now() - timedelta(days=40)
    version = products.product_in_force("KE", at.date(), product)
    application = applications.submit(
        borrower_id=amina.id, principal_cents=LAST_CENTS, product_version_id=version.id,
        shown=factories.shown(at), origin="ussd:before", at=at, purpose="business",
    )  # fmt: skip
    factories.decide(application, "decline", at=at)
    factories.FixedScorer.says = factories.verdict(limit_cents=max(AMOUNTS.values()))
    return Phone(client, amina.msisdn)


@pytest.mark.usefixtures("fixed_scorer", "deciding_worker")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("product", settings.PRODUCTS)
@pytest.mark.parametrize("amount", AMOUNTS)
def test_takes_few_hops(again: Phone, product: str, amount: str, language: str) -> None:
    again.dials("*384*77#").types(str(AMOUNTS[amount] // 100))
    read = [again.text]
    while "PIN" not in again.text:
        read.append(again.types("98").text)
    again.types(PIN)
    assert not again.is_open
    application = Application.objects.latest("id")
    assert application.principal_cents == AMOUNTS[amount]
    assert (application.product_version.code, application.purpose) == (product, "business")
    assert set(application.key_facts_text.split()) <= set("\n".join(read).split()), "all of it was on some page"
    assert 1 + len(again.typed) <= MOST_HOPS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("product", settings.PRODUCTS)
def test_takes_as_few_in_any_month(product: str, language: str) -> None:
    """The names of months differ in length: the pages of the key facts are the hops between amount and PIN."""
    shipped = json.loads((settings.BASE_DIR / f"fixtures/products/{product}.json").read_text())
    sample = samples.fresh()
    for month in range(1, 13):
        for cents in (LAST_CENTS, 4_888_800):
            priced = pricing.key_facts(read_terms(shipped["terms"]), cents, date(2027, month, 17))
            sample.facts.quote = lambda *_, priced=priced: priced  # type: ignore[method-assign,misc]
            view = engine.look(flows.dialogue_of(sample, "borrow.facts", language))
            with translation.override(language):
                pages = len(engine._pages(view))  # type: ignore[arg-type]
            assert 2 + pages <= MOST_HOPS


@pytest.mark.parametrize("product", ["jirani-30"])
@pytest.mark.parametrize("language", ["en", "am"])
class TestAnAmountOnTheFirstScreen:
    def test_that_is_too_high_is_asked_again_where_amounts_are(self, again: Phone, language: str) -> None:
        again.dials("*384*77#").types("60000")
        assert Session.objects.latest("id").screen == "borrow.amount"
        with translation.override(language):
            assert pgettext("borrow.amount", "That is above your limit.") in again.text
        again.types("500")
        assert Session.objects.latest("id").screen == "borrow.facts"

    @pytest.mark.parametrize("typed", ["9", "1e3", "-500", "٥٠٠", "x"])
    def test_is_none_that_does_not_look_like_one(self, again: Phone, typed: str) -> None:
        again.dials("*384*77#").types(typed)
        session = Session.objects.latest("id")
        assert (session.screen, session.answers) == ("home", "")

    @pytest.mark.parametrize("typed", [PIN, "1370", "0001"])
    def test_that_may_be_a_pin_is_asked_for_again_and_kept_nowhere(self, again: Phone, typed: str) -> None:
        again.dials("*384*77#").types(typed)
        session = Session.objects.latest("id")
        assert (session.screen, session.answers) == ("borrow.amount", "") and typed not in again.text
        again.types("1370")
        assert Session.objects.latest("id").screen == "borrow.facts"

    def test_can_be_taken_back(self, again: Phone) -> None:
        again.dials("*384*77#").types("500", "0")
        assert Session.objects.latest("id").screen == "home"

    def test_can_be_dialled_in_one_go(self, again: Phone) -> None:
        again.dials("*384*77*500#")
        assert Session.objects.latest("id").screen == "borrow.facts"

    @pytest.mark.usefixtures("fixed_scorer", "deciding_worker")
    def test_of_somebody_who_owes_is_no_option(self, again: Phone) -> None:
        again.dials("*384*77#").types("500")
        while "PIN" not in again.text:
            again.types("98")
        again.types(PIN)
        again.dials("*384*77#").types("500")
        assert Session.objects.latest("id").screen == "home"


@pytest.mark.parametrize("product", ["jirani-30"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_screen_is_one_page_for_who_may_borrow(again: Phone, language: str) -> None:
    assert "98" not in again.dials("*384*77#").text
    with translation.override(language):
        assert f"1 {pgettext('home', 'Loan, or amount')}" in again.text


@pytest.mark.parametrize("product", ["jirani-30"])
@pytest.mark.parametrize("language", ["en"])
def test_who_may_not_borrow_is_not_told_to_type_an_amount(again: Phone) -> None:
    Borrower.objects.update(limit_cents=0)
    assert "or amount" not in again.dials("*384*77#").text
    again.types("500").sees("Not an option.")
