"""The next version of a product: two people, the law asked twice, and nothing changes under a loan."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from lending.models import Borrower, CountryPack, Loan, ProductVersion, Proposal, SavingsProductVersion
from lending.rules.caps import AgainstLaw
from lending.rules.terms import TermsRefused
from lending.selectors import offers
from lending.services import products, proposals
from lending.services.products import Draft
from tests import factories
from tests.factories import NOON
from tests.lending.rules.packs import PACKS, changed, invented

FIRST = NOON.date() + timedelta(days=40)  # Kenya asks for 30 days of notice
DEARER = {"fees": [{"name": "Fee", "rate": "0.06"}]}


@pytest.fixture
def wambui(law: None) -> User:
    return User.objects.create_user("wambui")


@pytest.fixture
def njeri(law: None) -> User:
    return User.objects.create_user("njeri")


def draft(**changes: Any) -> Draft:
    """Return the next version of the product that ships, a percent dearer."""
    now = factories.usual_product()
    terms = now.terms | changes.pop("terms", DEARER)
    made = Draft(
        follows=now.id,
        effective_on=FIRST,
        name=now.name,
        terms=terms,
        ladder_cents=now.ladder_cents,
        loss_brake=now.loss_brake,
        example_cents=100_000,
    )
    return replace(made, **changes)


def propose(maker: User, at: datetime = NOON, **changes: Any) -> Proposal:
    return products.propose_version(draft=draft(**changes), maker=maker, reason="costs have risen", at=at)


def approve(proposal: Proposal, checker: User, at: datetime = NOON) -> Proposal:
    with transaction.atomic():
        return proposals.decide(proposal_id=proposal.id, checker=checker, approve=True, at=at)


def enact(**sections: Any) -> None:
    """Let Kenya have another law from a day before the version's first one."""
    CountryPack.objects.create(
        country="KE",
        version=2,
        effective_on=FIRST - timedelta(days=1),
        rules=changed("ke", **sections),
        approved_by=PACKS["ke"]["approved_by"],
    )


class TestPropose:
    def test_shows_an_example_side_by_side_and_the_law(self, wambui: User) -> None:
        shown = propose(wambui).preview
        assert (shown["before"]["total_cents"], shown["after"]["total_cents"]) == (106_000, 107_200)
        assert (shown["version"], shown["law"]) == (2, "KE v1")
        assert shown["changes"] == [["terms.fees[0].rate", "0.05", "0.06"]]
        assert not ProductVersion.objects.filter(version=2).exists()

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"terms": {"fees": [{"name": "Fee", "rate": "0.09"}]}}, "terms.max_cents"),
            ({"terms": {"fees": [{"name": "Fee", "rate": 0.05}]}}, "terms.fees[0].rate"),
            ({"terms": {"currency": "UGX"}}, "terms.currency"),
            ({"terms": {}}, "terms"),
            ({"effective_on": NOON.date() + timedelta(days=29)}, "effective_on"),
            ({"effective_on": NOON.date() - timedelta(days=1)}, "effective_on"),
            ({"ladder_cents": [2_000, 1_000]}, "ladder_cents"),
            ({"ladder_cents": ["1000"]}, "ladder_cents"),
            ({"loss_brake": {}}, "window_days"),
        ],
    )
    def test_what_cannot_be_is_refused_with_its_field(
        self, wambui: User, changes: dict[str, Any], path: str
    ) -> None:
        with pytest.raises((TermsRefused, AgainstLaw, ValueError)) as refused:
            propose(wambui, **changes)
        assert refused.value.path == path  # type: ignore[attr-defined]
        assert not Proposal.objects.exists()


class TestApprove:
    def test_from_its_first_day_new_offers_are_of_it_and_a_loan_keeps_its_own(
        self, wambui: User, njeri: User, amina: Borrower, brian: Borrower, fixed_scorer: object
    ) -> None:
        loan = factories.live_loan(amina)
        approve(propose(wambui), njeri)
        version = ProductVersion.objects.get(version=2)
        assert (version.proposed_by, version.approved_by, version.approved_on) == ("wambui", "njeri", NOON.date())
        for days, number, fee_cents in ((-1, 1, 2_500), (0, 2, 3_000)):
            offered = offers.offer(brian, FIRST + timedelta(days=days), "KE").product_version
            assert offered.version == number
            assert offers.quote(offered, 50_000, FIRST).fee_cents == fee_cents
        later = NOON + timedelta(days=40)
        made = factories.live_loan(brian, at=later)
        assert (made.product_version_id, made.total_cents) == (version.id, 53_600)
        assert Loan.objects.get(id=loan.id).product_version.version == 1

    def test_the_law_is_asked_again(self, wambui: User, njeri: User) -> None:
        proposal = propose(wambui)
        enact(price_caps=invented(max_total_cost_rate="0.07"))
        with pytest.raises(proposals.Overtaken, match=r"terms\.max_cents: .*allows 0\.07, got 0\.072") as refused:
            approve(proposal, njeri)
        assert isinstance(refused.value.__cause__, AgainstLaw)
        assert not ProductVersion.objects.filter(version=2).exists()

    def test_another_law_that_allows_it_is_to_be_looked_at_first(self, wambui: User, njeri: User) -> None:
        proposal = propose(wambui)
        enact(price_caps=invented(max_total_cost_rate="0.098"))
        with pytest.raises(proposals.Overtaken, match="would not do any more what its preview showed"):
            approve(proposal, njeri)

    def test_notice_counts_from_the_approval(self, wambui: User, njeri: User) -> None:
        proposal = propose(wambui)
        with pytest.raises(AgainstLaw, match=r"effective_on: notices\.change_of_terms_days"):
            approve(proposal, njeri, at=NOON + timedelta(days=11))
        assert Proposal.objects.get(id=proposal.id).state == Proposal.State.PENDING
        approve(proposal, njeri, at=NOON + timedelta(days=10))

    def test_one_next_version_waits_at_a_time(self, wambui: User, njeri: User) -> None:
        first = propose(wambui)
        with pytest.raises(proposals.AlreadyPending):
            propose(njeri)
        approve(first, njeri)
        with pytest.raises(TermsRefused, match="effective_on: must be 2026-04-12 or later"):
            propose(wambui, terms={})
        propose(wambui, terms={"cooling_off_days": 2}, effective_on=date(2026, 6, 1))

    def test_nobody_approves_their_own(self, wambui: User) -> None:
        with pytest.raises(proposals.SamePerson):
            approve(propose(wambui), wambui)


class TestPostgres:
    @pytest.mark.parametrize("model", [ProductVersion, CountryPack, SavingsProductVersion])
    def test_nobody_edits_or_deletes_what_was_approved(self, law: None, model: Any) -> None:
        for act in (lambda: model.objects.update(version=9), lambda: model.objects.all()._raw_delete("default")):
            with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
                act()

    def test_maker_and_checker_are_two(self, law: None) -> None:
        with pytest.raises(IntegrityError, match="product_approved_by_another"), transaction.atomic():
            factories.next_version(proposed_by="wambui", approved_by="wambui")
