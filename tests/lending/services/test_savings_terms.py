"""The next version of a savings product: two people, the law asked twice, notice for what is worse."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import IntegrityError, transaction

from lending.management.commands.load_fixtures import load_savings_product
from lending.models import CountryPack, Proposal, SavingsProductVersion
from lending.rules.caps import AgainstLaw
from lending.rules.savings import SavingsTermsRefused
from lending.rules.terms import TermsRefused
from lending.services import proposals, savings_terms, versions
from lending.services.savings_terms import Draft
from tests.lending.rules.packs import changed, invented
from tests.lending.saving import MORNING, OPENED_ON, next_version, product

pytestmark = pytest.mark.django_db
FIRST = OPENED_ON + timedelta(days=40)  # Kenya asks for 30 days of notice
LESS = {"tiers": [{"from_cents": 0, "rate": "0.03"}]}
MORE = {"tiers": [{"from_cents": 0, "rate": "0.08"}]}


@pytest.fixture
def wambui(law: None) -> User:
    return User.objects.create_user("wambui")


@pytest.fixture
def njeri(law: None) -> User:
    return User.objects.create_user("njeri")


def draft(interest: dict[str, Any] = LESS, code: str = "jirani-goal", **changes: Any) -> Draft:
    now = SavingsProductVersion.objects.filter(code=code).latest("version")
    terms = now.terms | {"interest": (now.terms["interest"] or {}) | interest} | changes.pop("terms", {})
    made = Draft(follows=now.id, effective_on=FIRST, name=now.name, terms=terms, example_cents=1_000_000)
    return replace(made, **changes)


def propose(maker: User, at: Any = MORNING, **changes: Any) -> Proposal:
    return savings_terms.propose_version(draft=draft(**changes), maker=maker, reason="rates fell", at=at)


def approve(proposal: Proposal, checker: User, at: Any = MORNING) -> Proposal:
    with transaction.atomic():
        return proposals.decide(proposal_id=proposal.id, checker=checker, approve=True, at=at)


class TestPropose:
    def test_shows_a_year_side_by_side_and_what_is_worse(self, wambui: User) -> None:
        shown = propose(wambui).preview
        assert (shown["before"]["interest_cents"], shown["after"]["interest_cents"]) == (40_000, 30_000)
        assert (shown["version"], shown["law"], shown["worse"]) == (2, "KE v1", ["terms.interest"])
        assert SavingsProductVersion.objects.filter(code="jirani-goal").count() == 1

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"effective_on": OPENED_ON + timedelta(days=29)}, "effective_on"),
            ({"interest": MORE, "effective_on": OPENED_ON - timedelta(days=1)}, "effective_on"),
            ({"interest": {"tiers": []}}, "terms.interest.tiers"),
            ({"interest": {}}, "terms"),
            ({"terms": {"interest": None}}, "terms.interest"),
            ({"terms": {"minimum_balance_cents": -1}}, "terms.minimum_balance_cents"),
        ],
        ids=["notice", "past", "tiers", "same", "none", "negative"],
    )
    def test_what_cannot_be_is_refused_with_its_field(
        self, wambui: User, changes: dict[str, Any], path: str
    ) -> None:
        with pytest.raises((TermsRefused, SavingsTermsRefused, AgainstLaw)) as refused:
            propose(wambui, **changes)
        assert refused.value.path == path
        assert not Proposal.objects.exists()

    def test_where_the_law_asks_for_no_notice_we_promise_thirty_days(self, wambui: User) -> None:
        CountryPack.objects.create(
            country="KE", version=2, effective_on=OPENED_ON, approved_by="counsel",
            rules=changed("ke", notices=None),
        )  # fmt: skip
        with pytest.raises(TermsRefused, match="must be 2026-02-09 or later, because it is worse for savers"):
            propose(wambui, effective_on=OPENED_ON + timedelta(days=29))
        propose(wambui, effective_on=OPENED_ON + timedelta(days=30))

    def test_we_hold_no_deposits_where_the_law_wants_a_partner(self, wambui: User) -> None:
        product("ours", partner="")
        with pytest.raises(AgainstLaw, match=r"partner: savings\.held_by allows a licensed partner, got us"):
            propose(wambui, code="ours")

    def test_what_we_may_hold_ourselves_is_examined_like_the_rest(self, wambui: User) -> None:
        product("ours", partner="")
        CountryPack.objects.create(
            country="KE", version=2, effective_on=OPENED_ON, approved_by="counsel",
            rules=changed("ke", savings=invented(held_by="us")),
        )  # fmt: skip
        assert propose(wambui, code="ours").preview["law"] == "KE v2"


class TestApprove:
    def test_what_is_better_may_begin_at_once(self, wambui: User, njeri: User) -> None:
        approve(propose(wambui, interest=MORE, effective_on=OPENED_ON), njeri)
        made = SavingsProductVersion.objects.get(code="jirani-goal", version=2)
        assert (made.proposed_by, made.approved_by, made.approved_on) == ("wambui", "njeri", OPENED_ON)

    def test_notice_counts_from_the_approval(self, wambui: User, njeri: User) -> None:
        proposal = propose(wambui)
        with pytest.raises(AgainstLaw, match=r"effective_on: notices\.change_of_terms_days"):
            approve(proposal, njeri, at=MORNING + timedelta(days=11))
        assert Proposal.objects.get(id=proposal.id).state == Proposal.State.PENDING
        approve(proposal, njeri, at=MORNING + timedelta(days=10))

    def test_one_waits_at_a_time_and_what_is_taken_back_changes_nothing(self, wambui: User, njeri: User) -> None:
        first = propose(wambui)
        with pytest.raises(proposals.AlreadyPending):
            propose(njeri)
        proposals.withdraw(proposal_id=first.id, maker=wambui, at=MORNING)
        with pytest.raises(proposals.NotPending):
            approve(first, njeri)
        assert SavingsProductVersion.objects.filter(code="jirani-goal").count() == 1

    def test_a_second_change_is_queued_behind_the_first(self, wambui: User, njeri: User) -> None:
        overtaken = draft()
        approve(propose(wambui), njeri)
        with pytest.raises(versions.FollowedAlready):
            savings_terms.propose_version(draft=overtaken, maker=wambui, reason="again", at=MORNING)
        with pytest.raises(TermsRefused, match="effective_on: must be 2026-02-20 or later"):
            propose(wambui, interest=MORE)
        approve(propose(wambui, interest=MORE, effective_on=FIRST + timedelta(days=1)), njeri)
        assert SavingsProductVersion.objects.filter(code="jirani-goal").count() == 3

    def test_nobody_approves_their_own(self, wambui: User) -> None:
        with pytest.raises(proposals.SamePerson):
            approve(propose(wambui), wambui)
        with pytest.raises(IntegrityError, match="savings_product_approved_by_another"), transaction.atomic():
            next_version(proposed_by="wambui", approved_by="wambui")


def test_what_ships_passes_the_same_examination(law: None) -> None:
    shipped = SavingsProductVersion.objects.filter(code="jirani-goal").values().get()
    data = {name: value for name, value in shipped.items() if name != "id"}
    dates = {name: data[name].isoformat() for name in ("approved_on", "effective_on")}
    with pytest.raises(CommandError, match=r"x.json: partner: savings.held_by allows a licensed partner, got us"):
        load_savings_product(data | dates | {"code": "new", "partner": ""}, "x.json")
