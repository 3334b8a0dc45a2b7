"""The events of an applicant: each kind once, under the agreements of the customer, and none from the future."""

from datetime import timedelta

import pytest

from lending.models import Borrower, Consent, Loan
from ml import events as event_list
from ml.events import AMOUNT, KIND, LAST
from scoring import events, features, training
from scoring.features import Asked
from tests.factories import NOON
from tests.scoring import history
from tests.scoring.test_features import amina_with_a_past  # noqa: F401 - a fixture

DAYS = timedelta(days=1)
# The codes of amounts of 1,000 and 2,000 cents.
LITTLE, TWICE = 69, 76


def of(borrower: Borrower) -> event_list.Events:
    return events.build_one(Asked(borrower.id, NOON, 60_000))


def kinds_of(borrower: Borrower) -> list[str]:
    return [name for name, *_ in event_list.to_json(of(borrower))]


class TestEvents:
    def test_are_those_of_every_subject_the_newest_first(self, amina_with_a_past):  # noqa: F811
        history.line(amina_with_a_past, NOON - 2 * DAYS, "sale", 1_000)
        history.line(amina_with_a_past, NOON - 1 * DAYS, "stock", 2_000)
        history.line(amina_with_a_past, NOON - 1 * DAYS, "cash_counted", 2_000)

        assert kinds_of(amina_with_a_past) == [
            "spent", "sold", "went_out", "airtime", "withdrawn", "saved", "came_in", "saved", "repaid_late",
            "came_in", "paid_out", "saved", "applied", "repaid_in_time", "repaid_in_time", "paid_out", "applied",
        ]  # fmt: skip
        spent, sold = of(amina_with_a_past)[:2]
        assert (spent[AMOUNT], sold[AMOUNT]) == (TWICE, LITTLE)

    def test_of_a_newcomer_are_none(self, brian):
        assert not of(brian).any()

    def test_are_the_last_128(self, amina):
        for n in range(150):
            history.save(amina, NOON - (n + 1) * DAYS, 1_000 if n < LAST else 2_000)
        found = of(amina)
        assert (found[:, KIND] == event_list.CODE_OF["saved"]).all()
        assert (found[:, AMOUNT] == LITTLE).all()

    def test_say_nothing_of_what_was_not_agreed_to(self, amina_with_a_past):  # noqa: F811
        amina = amina_with_a_past
        Consent.objects.filter(borrower=amina, purpose="wallet").update(withdrawn_at=NOON - DAYS)
        Consent.objects.create(
            borrower=amina, purpose="savings", granted=False, text_version="1", language="en",
            given_at=NOON - DAYS,
        )  # fmt: skip
        assert set(kinds_of(amina)) == {"paid_out", "repaid_in_time", "repaid_late", "applied"}

    def test_leave_out_what_was_taken_back_or_given_back(self, amina):
        wrong = history.line(amina, NOON - 3 * DAYS, "sale", 500_000)
        history.take_back(wrong, NOON - 2 * DAYS)
        history.cancel(history.loan(amina, NOON - 60 * DAYS, days_late=-30), NOON - 60 * DAYS)
        line = history.loan(amina, NOON - 90 * DAYS, days_late=0)
        Loan.objects.filter(id=line.id).update(credit_limit_cents=50_000)
        assert kinds_of(amina) == ["applied", "applied"]

    def test_call_a_payment_late_by_the_local_day(self, amina):
        loan = history.loan(amina, NOON - 60 * DAYS)
        on_the_day = history.at_noon(loan.due_on) + timedelta(hours=11.5)
        history.repay(loan, on_the_day, 1_000)
        history.repay(loan, on_the_day + timedelta(hours=1), 1_000)
        assert kinds_of(amina)[:2] == ["repaid_late", "repaid_in_time"]

    @pytest.mark.parametrize("when", [timedelta(0), timedelta(seconds=1), 40 * DAYS])
    def test_let_none_of_the_moment_or_later_in(self, amina_with_a_past, when):  # noqa: F811
        amina = amina_with_a_past
        sold = history.line(amina, NOON - 3 * DAYS, "sale", 500_000)
        before = of(amina).tobytes()

        history.loan(amina, NOON + when + timedelta(minutes=1), days_late=40, principal_cents=90_000)
        for kind in ("deposit", "withdrawal"):
            history.save(amina, NOON + when, 70_000, kind)
        for kind in ("received", "cash_in", "airtime", "sent"):
            history.move(amina, NOON + when, 80_000, kind)
        first = Loan.objects.filter(borrower=amina).earliest("id")
        history.repay(first, NOON + when, 100)
        history.line(amina, NOON + when, "sale", 500_000)
        history.take_back(sold, NOON + when)
        history.cancel(first, NOON + when)
        Consent.objects.filter(borrower=amina, purpose="wallet").update(withdrawn_at=NOON + when)
        assert of(amina).tobytes() == before


class TestOneStatement:
    def test_gives_the_training_set_the_very_events_that_were_served(self, amina_with_a_past, brian):  # noqa: F811
        history.loan(brian, NOON - 120 * DAYS, days_late=20)
        history.steady_wallet(brian, NOON - 120 * DAYS)
        learnt = training.training_set(NOON)

        assert learnt.events is not None and learnt.events.any(axis=(1, 2)).sum() > 1
        for loan in Loan.objects.select_related("application"):
            served = events.build_one(Asked.of(loan.application))
            assert learnt.events[list(learnt.ids).index(str(loan.application_id))].tobytes() == served.tobytes()

    def test_answers_in_the_order_in_which_it_was_asked_in_blocks_of_any_size(
        self,
        amina_with_a_past,  # noqa: F811
        brian,
        monkeypatch,
    ):
        asked = [
            Asked(person.id, NOON - n * DAYS, n) for n in (90, 30, 60) for person in (brian, amina_with_a_past)
        ]
        together = events.build(asked)
        assert together.tobytes() == b"".join(events.build_one(one).tobytes() for one in asked)
        monkeypatch.setattr(events, "BLOCK", 4)
        assert events.build(asked).tobytes() == together.tobytes()

    def test_of_nobody_is_an_empty_table(self, db):
        assert events.build([]).shape == (0, LAST, 4)

    def test_knows_no_name_number_or_language(self):
        for field in ("full_name", "msisdn", "language", "purpose = 'service'", "complaint", "help"):
            assert field not in events.SQL.lower()

    def test_keeps_in_json_what_a_decision_saw(self, amina_with_a_past):  # noqa: F811
        asked = Asked(amina_with_a_past.id, NOON, 60_000)
        vector, happened = features.build_one(asked), events.build_one(asked)
        kept = {"features": features.to_json(vector), "events": event_list.to_json(happened)}
        told = features.told(kept)
        assert (told[0].tobytes(), told[1].tobytes()) == (vector.tobytes(), happened.tobytes())
