"""The day's pot for first loans by lot."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import close_old_connections, connection

from lending.models import Application, Borrower, Decision, ExplorationPot, Loan
from lending.ports import Exploration
from lending.selectors import exploration
from lending.services import applications
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.usefixtures("fixed_scorer")
DAY = timedelta(days=1)


def drawn(loans: int = 10, cents: int = 500_000) -> dict[str, object]:
    """Return what of a verdict says that a lot lends, from a pot of this size."""
    otherwise = factories.verdict("refer", propensity=1.0)
    return {"propensity": 0.1, "exploration": Exploration(loans, cents, otherwise)}


def by_lot(borrower: Borrower, origin: str = "ussd:test:1", at=NOON, **pot: int) -> Decision:  # type: ignore[no-untyped-def]
    application = factories.apply(borrower, origin=origin, at=at)
    return factories.decide(application, at=at, **drawn(**pot))


class TestTakeFromPot:
    def test_counts_the_loan_and_its_money_on_its_day(self, amina: Borrower) -> None:
        decision = by_lot(amina)
        assert (decision.outcome, decision.propensity) == ("approve", 0.1)
        assert "held_back" not in decision.inputs
        assert exploration.taken("KE", NOON.date()) == (1, 50_000)
        assert exploration.taken("KE", (NOON + DAY).date()) == (0, 0)

    @pytest.mark.parametrize("pot", [{"loans": 1}, {"cents": 99_999}])
    def test_of_an_empty_pot_leaves_what_the_policy_says_otherwise(
        self, amina: Borrower, brian: Borrower, pot: dict[str, int]
    ) -> None:
        by_lot(amina, **pot)
        second = by_lot(brian, "ussd:test:2", **pot)
        assert (second.outcome, second.propensity, second.inputs["lot_void"]) == ("refer", 1.0, "pot_empty")
        assert exploration.taken("KE", NOON.date()) == (1, 50_000)

    def test_begins_anew_the_next_day(self, amina: Borrower, brian: Borrower) -> None:
        by_lot(amina, loans=1)
        assert by_lot(brian, "ussd:test:2", NOON + DAY, loans=1).outcome == "approve"

    def test_takes_nothing_for_who_is_blocked_meanwhile(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        Borrower.objects.update(state="blocked")
        decision = factories.decide(application, **drawn())
        assert (decision.outcome, decision.propensity) == ("refer", 1.0)
        assert not ExplorationPot.objects.exists()

    @pytest.mark.parametrize("is_drawn", [True, False])
    def test_no_lot_had_a_chance_while_the_computer_is_stopped(
        self, amina: Borrower, settings: Any, is_drawn: bool
    ) -> None:
        settings.COMPUTER_APPROVES = False
        application = factories.apply(amina)
        if is_drawn:
            decision = factories.decide(application, **drawn())
        else:
            decision = factories.decide(application, "refer", propensity=0.9)
        assert (decision.outcome, decision.propensity) == ("refer", 1.0)
        assert decision.reasons != [{"code": "computer_stopped", "values": {}}]
        assert decision.inputs["lot_void"] == "computer_stopped" and "held_back" not in decision.inputs
        assert not ExplorationPot.objects.exists()

    def test_is_from_the_pot_of_the_day_on_which_it_was_asked_for(self, amina: Borrower) -> None:
        factories.decide(factories.apply(amina), at=NOON + DAY, **drawn())
        assert exploration.taken("KE", NOON.date()) == (1, 50_000)

    def test_is_undone_with_what_it_was_taken_for(self, amina: Borrower, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("no room on the disk")

        monkeypatch.setattr(applications, "approve_loan", fail)
        application = factories.apply(amina)
        with pytest.raises(RuntimeError):
            factories.decide(application, **drawn())
        assert exploration.taken("KE", NOON.date()) == (0, 0)


class TestWhatBecameOfIt:
    def test_is_told_of_the_ripe_alone(self, amina: Borrower, brian: Borrower) -> None:
        by_lot(amina)
        by_lot(brian, "ussd:test:2")
        day = NOON.date()
        Loan.objects.update(due_on=day)
        Loan.objects.filter(borrower=brian).update(worst_days_past_due=31)
        seen = exploration.spending("KE", day, day, day + 31 * DAY)
        assert seen == exploration.Spending(loans=2, cents=100_000, ripe=2, defaulted=1)
        assert exploration.spending("KE", day, day, day + 30 * DAY).ripe == 0
        assert exploration.spending("KE", day + DAY, day + DAY, day + 31 * DAY) == exploration.Spending()

    def test_a_lot_is_remembered_whichever_way_it_fell(self, amina: Borrower) -> None:
        factories.decide(factories.apply(amina), "decline", propensity=0.9)
        assert exploration.drew(amina.identity_index, NOON + DAY, days=30)
        assert not exploration.drew(amina.identity_index, NOON + 31 * DAY, days=30)
        assert not exploration.drew("somebody else", NOON + DAY, days=30)


@pytest.mark.django_db(transaction=True)
def test_a_pot_of_three_gives_twelve_workers_at_once_three_loans(law: None, fixed_scorer: object) -> None:
    people = [factories.register(f"Person {n}", f"2547120001{n:02}", f"3345670{n:02}") for n in range(12)]
    asked = [factories.apply(person, origin=f"ussd:test:{person.id}") for person in people]
    factories.FixedScorer.says = factories.verdict(**drawn(loans=3))

    def decide(application: Application) -> str:
        close_old_connections()
        try:
            return applications.decide(application.id, NOON).outcome
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(decide, asked))
    assert sorted(outcomes) == ["approve"] * 3 + ["refer"] * 9
    assert exploration.taken("KE", NOON.date()) == (3, 150_000)
    assert Decision.objects.filter(outcome="refer", inputs__lot_void="pot_empty").count() == 9
