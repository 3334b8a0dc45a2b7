"""The engine against a rail that behaves: when it sends, what it keeps, when it asks."""

import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from lending.models import AuditEvent, Case, Loan, OutboxMessage, PaymentAttempt, PaymentIntent, Rail, Receipt
from lending.payments import attempts, engine, settling
from lending.ports import Accepted, Failed, NotFound, NotSent, Succeeded, Unknown
from lending.services import repayments
from tests import factories
from tests.factories import NOON

MSISDN = "254711000101"
ONE = NOON + timedelta(hours=1)
# Minutes at which somebody looks.
TWO_DAYS = [1, 2, 4, 5, 7, 14, 15, 40, 59, 60, 100, 180, 200, 360, 500, 720, 1000, 1439, 1440, 2880]


def after(seconds: float = 0, minutes: float = 0, hours: float = 0, start: datetime = NOON) -> datetime:
    return start + timedelta(seconds=seconds, minutes=minutes, hours=hours)


def paid(receipt_no: str = "SG632NMUAB", amount_cents: int = 50_000, party: str = MSISDN) -> Succeeded:
    return Succeeded(receipt_no, amount_cents, party, after(9))


def open_cases(kind: str) -> int:
    return Case.objects.filter(kind=kind, closed_at__isnull=True).count()


@pytest.fixture(autouse=True)
def nothing_stumbles(caplog):
    """PostgreSQL would refuse a second try by an error; the engine must not get that far."""
    yield
    assert not [record for record in caplog.get_records("call") if "could not be dealt" in record.message]


class TestSubmit:
    def test_sends_a_due_payout_once_however_often_it_runs(self, rail, payout, attempt_of):
        for _ in range(3):
            engine.run_due(NOON)

        assert [order.amount_cents for order in rail.sent] == [50_000]
        attempt = attempt_of(payout)
        assert (attempt.state, attempt.request_id) == ("accepted", f"request-{attempt.provider_ref}")

    def test_takes_an_acceptance_for_no_money(self, rail, approved):
        engine.run_due(NOON)

        approved.refresh_from_db()
        assert (approved.state, approved.disbursed_at) == (Loan.State.APPROVED, None)

    def test_sends_nothing_before_its_time(self, rail, prompt):
        engine.run_due(after(5, start=ONE))
        assert rail.sent == []
        engine.run_due(after(6, start=ONE))
        assert [order.purpose for order in rail.sent] == ["collect"]

    def test_works_out_the_same_id_for_the_same_try(self, payout):
        again = PaymentIntent.objects.get(id=payout.id)

        assert (
            attempts.reference_of(payout, 1) == attempts.reference_of(again, 1) != attempts.reference_of(payout, 2)
        )

    def test_gives_the_first_loan_of_another_database_another_id(self, payout):
        other = PaymentIntent(business_key=payout.business_key, created_at=payout.created_at + timedelta(days=1))

        assert attempts.reference_of(payout, 1) != attempts.reference_of(other, 1)

    @pytest.mark.parametrize("why", ["ConnectError", "500.003.02"])
    def test_sends_what_was_not_taken_again_later_under_the_same_id(self, rail, payout, why, attempt_of):
        rail.submit.append(NotSent(why))
        engine.run_due(NOON)
        engine.run_due(after(1))
        assert len(rail.sent) == 1, "not before a pause"
        assert attempt_of(payout).state == "created"

        engine.run_due(after(2))

        assert rail.sent[0].provider_ref == rail.sent[1].provider_ref
        assert payout.attempts.count() == 1

    def test_never_sends_what_is_unknown(self, rail, payout, attempt_of):
        rail.submit.append(Unknown("ReadTimeout"))
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes))

        assert len(rail.sent) == 1
        assert attempt_of(payout).state == "manual"

    def test_takes_an_exception_of_the_client_for_unknown(self, rail, payout, attempt_of):
        def explode(order):
            raise RuntimeError("a bug after the bytes have left")

        rail.submit.append(explode)
        engine.run_due(NOON)

        assert (attempt_of(payout).state, attempt_of(payout).result_text) == ("unknown", "RuntimeError")

    def test_a_refused_request_fails_without_stopping_the_rail(self, rail, approved, payout, attempt_of):
        rail.submit.append(Failed("400.002.02", "Bad Request - Invalid PartyB", ours=True))
        engine.run_due(NOON)

        approved.refresh_from_db()
        assert (attempt_of(payout).state, approved.state) == ("failed", Loan.State.NOT_PAID_OUT)
        assert open_cases("bad_task") == 1
        assert Rail.objects.get(provider="daraja").stopped_at is None

    def test_one_payment_that_cannot_be_dealt_with_does_not_stop_the_next(
        self, rail, payout, brian, monkeypatch, caplog
    ):
        application = factories.apply(brian, origin="ussd:test:2", at=after(1))
        factories.decide(application, at=after(1))
        records = iter([RuntimeError("a bug of ours"), None])
        real = engine._record

        def record(*args):
            if error := next(records):
                raise error
            real(*args)

        monkeypatch.setattr(engine, "_record", record)
        engine.run_due(after(2))

        assert {attempt.state for attempt in PaymentAttempt.objects.all()} == {"submitting", "accepted"}
        assert "could not be dealt with" in caplog.text
        caplog.clear()

    def test_leaves_the_rest_for_the_next_run_when_time_is_up(self, rail, payout, monkeypatch):
        monkeypatch.setattr(engine, "BUDGET_S", 0)
        engine.run_due(NOON)
        assert rail.sent == []


class TestBeforeAnyByteLeaves:
    pytestmark = pytest.mark.django_db(transaction=True)

    def test_the_id_is_committed_and_no_transaction_is_open(self, rail, payout):
        seen = []

        def look(order):
            seen.append(
                (connection.in_atomic_block, PaymentAttempt.objects.get(provider_ref=order.provider_ref).state)
            )

        rail.submit.append(look)
        engine.run_due(NOON)

        assert seen == [(False, "submitting")]

    def test_two_workers_at_once_send_once(self, rail, payout):
        def meanwhile(order):
            other = threading.Thread(target=run_and_close, args=(after(1),))
            other.start()
            other.join()

        rail.submit.append(meanwhile)
        engine.run_due(NOON)

        assert len(rail.sent) == 1

    def test_a_callback_that_overtakes_the_answer_stands(self, rail, payout, approved, attempt_of):
        def overtaken(order):
            settling.settle(attempt_of(payout).id, paid(), at=after(1), source="b2c")
            return Unknown("ReadTimeout")

        rail.submit.append(overtaken)
        engine.run_due(NOON)

        approved.refresh_from_db()
        assert (attempt_of(payout).state, approved.state) == ("succeeded", Loan.State.LIVE)


def run_and_close(at: datetime) -> None:
    """Run the engine on a thread's own connection."""
    try:
        engine.run_due(at)
    finally:
        connection.close()


class Killed(BaseException):
    """The process is gone: nothing catches this."""


def die(order) -> None:
    raise Killed


class TestCrash:
    def test_after_the_lease_is_asked_about_and_sent_again_under_the_same_id(self, rail, payout, attempt_of):
        rail.submit.append(die)
        with pytest.raises(Killed):
            engine.run_due(NOON)
        assert attempt_of(payout).state == "submitting"
        engine.run_due(after(59))
        assert rail.asked == []

        rail.ask.append(rail.knows)
        engine.run_due(after(60))

        assert len({order.provider_ref for order in rail.sent}) == 1 and len(rail.sent) == 2
        assert attempt_of(payout).state == "accepted"

    def test_after_the_call_is_asked_about_and_not_sent_again(self, rail, payout, attempt_of):
        def take_and_die(order):
            rail.taken.add(order.provider_ref)
            raise Killed

        rail.submit.append(take_and_die)
        with pytest.raises(Killed):
            engine.run_due(NOON)
        rail.ask.append(rail.knows)
        engine.run_due(after(60))

        assert (len(rail.sent), attempt_of(payout).state) == (1, "unknown")

    def test_a_refused_repeat_does_not_fail_what_may_have_been_taken(self, rail, approved, payout, attempt_of):
        rail.submit.extend([Unknown("ReadTimeout"), Failed("400.002.02", "Invalid SecurityCredential", ours=True)])
        engine.run_due(NOON)
        rail.ask.append(NotFound())
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes))

        approved.refresh_from_db()
        assert len(rail.sent) == 2
        assert (attempt_of(payout).state, approved.state) == ("manual", Loan.State.APPROVED)
        assert "Invalid SecurityCredential" in Case.objects.get(kind="payout_unknown").note
        settling.settle(attempt_of(payout).id, paid(), at=after(hours=49), source="b2c")
        approved.refresh_from_db()
        assert approved.state == Loan.State.LIVE

    def test_of_a_prompt_is_never_sent_again(self, rail, prompt, attempt_of):
        rail.submit.append(die)
        with pytest.raises(Killed):
            engine.run_due(after(6, start=ONE))
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes, start=ONE))

        assert len(rail.sent) == 1
        assert (attempt_of(prompt).state, attempt_of(prompt).result_code) == ("failed", "no_answer")


class TestAsk:
    def test_asks_after_1_5_15_and_60_minutes_then_gives_it_to_a_person(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        asked_at = []
        for minutes in TWO_DAYS:
            before = len(rail.asked)
            engine.run_due(after(minutes=minutes))
            asked_at += [minutes] * (len(rail.asked) - before)

        assert asked_at == [1, 5, 15, 60, 180, 360, 720, 1440]
        assert {order.provider_ref for order in rail.asked} == {str(attempt_of(payout).provider_ref)}
        assert attempt_of(payout).state == "manual"
        assert open_cases("payout_unknown") == 1

    def test_tells_a_person_after_a_quarter_of_an_hour(self, rail, payout):
        engine.run_due(NOON)
        engine.run_due(after(minutes=5))
        assert open_cases("payout_unknown") == 0
        engine.run_due(after(minutes=15))
        assert open_cases("payout_unknown") == 1

    def test_a_late_answer_settles_and_closes_the_case(self, rail, payout, approved, attempt_of):
        engine.run_due(NOON)
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes))
        settling.settle(attempt_of(payout).id, paid(), at=after(hours=49), source="status")

        approved.refresh_from_db()
        assert approved.state == Loan.State.LIVE
        assert open_cases("payout_unknown") == 0

    def test_an_officer_may_have_it_asked_again(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes))
        asked = len(rail.asked)
        engine.ask_again(attempt_of(payout).id, after(hours=50))
        rail.ask.append(paid())
        engine.run_due(after(hours=50))

        assert len(rail.asked) == asked + 1
        assert attempt_of(payout).state == "succeeded"

    def test_does_not_send_again_what_the_rail_had_accepted(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        rail.ask.extend([NotFound(), Unknown("pending"), NotFound()])
        for minutes in (1, 5, 15, 16):
            engine.run_due(after(minutes=minutes))

        assert (len(rail.sent), len(rail.asked), attempt_of(payout).state) == (1, 3, "unknown")

    def test_does_not_send_again_what_may_still_be_on_its_way(self, rail, payout, attempt_of):
        rail.submit.append(Unknown("ReadTimeout"))
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, NotFound(), at=after(30), source="status")
        engine.run_due(after(31))

        assert len(rail.sent) == 1

    def test_a_question_that_is_taken_changes_nothing(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        rail.ask.append(Accepted("query-1"))
        engine.run_due(after(minutes=1))

        attempt = attempt_of(payout)
        assert (attempt.state, attempt.queries) == ("accepted", 1)
        assert attempt.request_id == f"request-{attempt.provider_ref}"

    def test_goes_on_while_the_rail_is_stopped(self, rail, payout):
        engine.run_due(NOON)
        Rail.objects.update_or_create(provider="daraja", defaults={"stopped_at": NOON, "needs_person": True})
        engine.run_due(after(minutes=1))
        assert len(rail.asked) == 1


class TestPaid:
    def test_starts_the_loan_at_the_operators_time(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        assert settling.settle(attempt_of(payout).id, paid(), at=after(20), source="b2c") == "succeeded"

        approved.refresh_from_db()
        attempt = attempt_of(payout)
        assert (approved.state, approved.disbursed_at) == (Loan.State.LIVE, after(9))
        assert (attempt.state, attempt.receipt_no, attempt.completed_at) == ("succeeded", "SG632NMUAB", after(9))
        assert attempt.settled_at == after(20) and attempt.next_query_at is None
        books_balance()

    @pytest.mark.parametrize(("told", "taken"), [(after(-280), after(-280)), (after(hours=-3), after(20))])
    def test_did_not_start_the_loan_before_it_was_asked_for(self, rail, approved, payout, attempt_of, told, taken):
        engine.run_due(NOON)
        answer = Succeeded("SG632NMUAB", 50_000, MSISDN, told)
        settling.settle(attempt_of(payout).id, answer, at=after(20), source="b2c")

        approved.refresh_from_db()
        assert approved.disbursed_at == attempt_of(payout).completed_at == taken

    def test_counts_once_when_told_again(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        for source in ("b2c", "status", "b2c"):
            settling.settle(attempt_of(payout).id, paid(), at=after(20), source=source)

        assert OutboxMessage.objects.filter(topic="loan_disbursed").count() == 1
        assert Case.objects.count() == 0
        books_balance()

    @pytest.mark.parametrize("wrong", [{"amount_cents": 50_100}, {"amount_cents": 5}, {"party": "254711000999"}])
    def test_posts_nothing_when_the_facts_are_not_ours(self, rail, approved, payout, attempt_of, wrong):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, paid(**wrong), at=after(20), source="b2c")

        approved.refresh_from_db()
        assert (approved.state, attempt_of(payout).state) == (Loan.State.APPROVED, "unknown")
        assert open_cases("payout_mismatch") == 1
        engine.run_due(after(20))
        assert len(rail.asked) == 1, "the rail is asked at once"
        rail.ask.append(paid(**wrong))
        for seconds in range(21, 82, 10):
            engine.run_due(after(seconds))
        assert len(rail.asked) == 2, "and not in a loop"

    def test_adds_a_second_contradiction_to_the_case_of_the_first(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        attempt = attempt_of(payout)
        for wrong in ({"amount_cents": 50_100}, {"party": "254711000999"}, {"amount_cents": 50_100}):
            settling.settle(attempt.id, paid(**wrong), at=after(20), source="b2c")

        assert Case.objects.get().note.splitlines() == [
            "asked for 50000 cents, told 50100; receipt SG632NMUAB",
            "told of another party; receipt SG632NMUAB",
        ]

    def test_stays_paid_when_a_failure_comes_later(self, rail, approved, payout, attempt_of):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, paid(), at=after(20), source="b2c")
        settling.settle(attempt_of(payout).id, Failed("2040", "no wallet"), at=after(30), source="b2c")

        approved.refresh_from_db()
        assert (approved.state, attempt_of(payout).state) == (Loan.State.LIVE, "succeeded")
        assert open_cases("payout_mismatch") == 1

    def test_under_the_receipt_of_another_payout_is_for_a_person(
        self, rail, payout, brian, attempt_of, books_balance
    ):
        application = factories.apply(brian, origin="ussd:test:2")
        factories.decide(application)
        brians = PaymentIntent.objects.get(loan__application=application)
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, paid(), at=after(20), source="b2c")
        settling.settle(attempt_of(brians).id, paid(party=brian.msisdn), at=after(30), source="b2c")

        assert (attempt_of(brians).state, open_cases("payout_mismatch")) == ("unknown", 1)
        assert Loan.objects.get(application=application).state == Loan.State.APPROVED
        books_balance()

    def test_under_one_receipt_in_small_letters_and_in_capitals_is_paid_once(
        self, rail, approved, payout, attempt_of, books_balance
    ):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, paid("sg632nmuab"), at=after(20), source="b2c")
        assert settling.settle(attempt_of(payout).id, paid(), at=after(30), source="status") == "succeeded before"

        assert (attempt_of(payout).receipt_no, Case.objects.count()) == ("SG632NMUAB", 0)
        books_balance()

    def test_under_two_receipts_is_for_a_person(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, paid(), at=after(20), source="b2c")
        settling.settle(attempt_of(payout).id, paid("SG000OTHER"), at=after(30), source="b2c")

        assert attempt_of(payout).receipt_no == "SG632NMUAB"
        assert open_cases("payout_mismatch") == 1
        books_balance()


class TestFailed:
    def test_releases_the_loan_and_tells_the_customer(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, Failed("2040", "no such wallet"), at=after(20), source="b2c")

        approved.refresh_from_db()
        payout.refresh_from_db()
        assert (approved.state, payout.state) == (Loan.State.NOT_PAID_OUT, "failed")
        assert OutboxMessage.objects.filter(topic="disbursement_failed").count() == 1
        engine.run_due(after(minutes=10))
        assert len(rail.sent) == 1
        books_balance()

    def test_twice_is_failed_once(self, rail, payout, attempt_of):
        engine.run_due(NOON)
        for _ in range(2):
            settling.settle(attempt_of(payout).id, Failed("2040", "x"), at=after(20), source="b2c")

        assert OutboxMessage.objects.filter(topic="disbursement_failed").count() == 1

    def test_and_paid_after_all_is_settled_and_alarmed(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, Failed("2040", "x"), at=after(20), source="b2c")
        assert settling.settle(attempt_of(payout).id, paid(), at=after(90), source="b2c") == "late success"

        approved.refresh_from_db()
        assert (approved.state, attempt_of(payout).state) == (Loan.State.LIVE, "succeeded")
        assert approved.outstanding_cents == approved.total_cents
        assert open_cases("payout_mismatch") == 1
        books_balance()

    def test_and_paid_beside_a_new_try_is_for_a_person(self, rail, approved, payout, attempt_of, books_balance):
        engine.run_due(NOON)
        first = attempt_of(payout)
        settling.settle(first.id, Failed("1", "float", ours=True), at=after(5), source="b2c")
        engine.restart_rail("daraja", None, after(60))
        engine.run_due(after(60))
        assert payout.attempts.count() == 2

        settling.settle(first.id, paid(), at=after(90), source="b2c")

        first.refresh_from_db()
        assert (first.state, first.receipt_no) == ("failed", "SG632NMUAB")
        assert open_cases("payout_mismatch") == 1
        books_balance()

    def test_and_paid_before_the_new_try_goes_out_needs_no_new_try(self, rail, approved, payout, attempt_of):
        engine.run_due(NOON)
        first = attempt_of(payout)
        settling.settle(first.id, Failed("1", "float", ours=True), at=after(5), source="b2c")
        settling.settle(first.id, paid(), at=after(90), source="b2c")
        engine.restart_rail("daraja", None, after(100))
        engine.run_due(after(100))

        approved.refresh_from_db()
        assert (approved.state, len(rail.sent)) == (Loan.State.LIVE, 1)


class TestBreaker:
    @pytest.mark.parametrize("code", ["1", "2001", "8006", "21", "2028", "11"])
    def test_our_fault_stops_the_rail_and_keeps_the_loan(self, rail, approved, payout, attempt_of, code):
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, Failed(code, "ours", ours=True), at=after(5), source="b2c")
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes))

        approved.refresh_from_db()
        assert (len(rail.sent), approved.state) == (1, Loan.State.APPROVED)
        assert open_cases("rail_stopped") == 1
        assert OutboxMessage.objects.filter(topic="disbursement_failed").count() == 0

    def test_a_person_restarts_it_and_a_new_id_goes_out(self, rail, payout, attempt_of, django_user_model):
        officer: User = django_user_model.objects.create_user("otieno")
        engine.run_due(NOON)
        settling.settle(attempt_of(payout).id, Failed("1", "float", ours=True), at=after(5), source="b2c")
        engine.restart_rail("daraja", officer, after(60))
        engine.run_due(after(61))

        assert len({order.provider_ref for order in rail.sent}) == 2
        assert open_cases("rail_stopped") == 0
        assert AuditEvent.objects.get(action="rail_restarted").actor == officer

    def test_the_same_fault_stops_it_again(self, rail, payout, attempt_of):
        for minutes in (0, 10):
            engine.run_due(after(minutes=minutes))
            fault = Failed("1", "float", ours=True)
            settling.settle(attempt_of(payout).id, fault, at=after(5, minutes=minutes), source="b2c")
            engine.run_due(after(minutes=minutes + 5))
            assert Rail.objects.get(provider="daraja").stopped_at and open_cases("rail_stopped") == 1
            engine.restart_rail("daraja", None, after(minutes=minutes + 9))

        assert len(rail.sent) == 2

    def test_an_empty_float_does_not_keep_customers_from_repaying(self, rail, prompt):
        Rail.objects.update_or_create(provider="daraja", defaults={"stopped_at": NOON, "needs_person": True})
        engine.run_due(after(6, start=ONE))
        assert [order.purpose for order in rail.sent] == ["collect"]

    def test_an_outage_pauses_it_after_five_and_it_comes_back_by_itself(self, rail, payout):
        rail.submit.extend([NotSent("ConnectError")] * 6)
        times = self.sent_at(rail, range(0, 123, 1))

        assert [b - a for a, b in itertools.pairwise(times)] == [2, 4, 8, 16, 32, 60]
        assert Rail.objects.get(provider="daraja").stopped_at is None

    def test_a_pause_grows_to_ten_minutes_and_then_calls_a_person(self, rail, payout):
        rail.submit.extend([NotSent("ConnectError")] * 30)
        times = self.sent_at(rail, range(0, 3600, 30))

        assert times[-1] - times[-2] >= 600
        assert open_cases("rail_stopped") == 1
        rail.submit.clear()
        engine.run_due(after(4300))
        assert open_cases("rail_stopped") == 0

    def test_while_it_pauses_one_request_tries_it_out(self, rail, payout, brian):
        application = factories.apply(brian, origin="ussd:test:2")
        factories.decide(application)
        Rail.objects.update_or_create(
            provider="daraja", defaults={"stopped_at": NOON, "retry_at": after(30), "failures_in_a_row": 5}
        )
        rail.submit.append(Unknown("ReadTimeout"))
        engine.run_due(after(30))
        assert len(rail.sent) == 1
        engine.run_due(after(95))
        assert len(rail.sent) == 2

    @staticmethod
    def sent_at(rail, seconds: range) -> list[int]:
        """Run once at each of these seconds; return when something was sent."""
        times = []
        for second in seconds:
            before = len(rail.sent)
            engine.run_due(after(second))
            times += [second] * (len(rail.sent) - before)
        return times


class TestPrompt:
    PAID = Succeeded("NLJ7RT61SV", 20_000, MSISDN, after(minutes=61))

    def send(self, prompt: PaymentIntent, attempt_of: Callable) -> PaymentAttempt:
        engine.run_due(after(6, start=ONE))
        return attempt_of(prompt)

    def test_that_is_paid_becomes_a_repayment(self, rail, prompt, attempt_of, aminas_loan, books_balance):
        attempt = self.send(prompt, attempt_of)
        settling.settle(attempt.id, self.PAID, at=after(minutes=62), source="stk")

        receipt = Receipt.objects.get()
        assert (receipt.receipt_no, receipt.account_reference, receipt.attempt_id) == (
            "NLJ7RT61SV",
            aminas_loan.reference,
            attempt.id,
        )
        assert (receipt.party, receipt.paid_at, receipt.source) == (MSISDN, after(minutes=61), "stk")
        outstanding = Loan.objects.get(id=aminas_loan.id).outstanding_cents
        assert outstanding == aminas_loan.outstanding_cents - 20_000
        books_balance()

    def test_that_is_refused_tells_the_customer(self, rail, prompt, attempt_of):
        settling.settle(
            self.send(prompt, attempt_of).id, Failed("1032", "cancelled"), at=after(minutes=62), source="stk"
        )

        prompt.refresh_from_db()
        assert prompt.state == "failed"
        assert OutboxMessage.objects.get(topic="repayment_not_made").payload == {"intent_id": prompt.id}

    def test_meeting_an_open_session_is_tried_once_more_a_minute_later(self, rail, prompt, attempt_of):
        busy = Failed("1001", "Unable to lock subscriber", again_after_s=65)
        rail.submit.extend([busy, busy])
        engine.run_due(after(6, start=ONE))
        engine.run_due(after(65, start=ONE))
        assert len(rail.sent) == 1
        engine.run_due(after(71, start=ONE))
        engine.run_due(after(300, start=ONE))

        assert len({order.provider_ref for order in rail.sent}) == 2 and len(rail.sent) == 2
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 1

    def test_of_unknown_fate_keeps_the_phone_free_for_three_minutes(self, rail, prompt, attempt_of):
        rail.submit.append(Unknown("ReadTimeout"))
        self.send(prompt, attempt_of)
        with pytest.raises(repayments.PromptPending):
            repayments.request_repayment(
                borrower_id=prompt.borrower_id, amount_cents=20_000, origin="again", at=after(60, start=ONE)
            )
        engine.run_due(after(180, start=ONE))
        assert attempt_of(prompt).state == "unknown"
        engine.run_due(after(186, start=ONE))
        assert (attempt_of(prompt).state, len(rail.sent)) == ("failed", 1)

    def test_given_up_and_paid_after_all_counts_without_alarm(self, rail, prompt, attempt_of, books_balance):
        rail.submit.append(Unknown("ReadTimeout"))
        attempt = self.send(prompt, attempt_of)
        engine.run_due(after(186, start=ONE))
        settling.settle(attempt.id, self.PAID, at=after(300, start=ONE), source="stk")

        assert Receipt.objects.get().attempt_id == attempt.id
        assert Case.objects.count() == 0
        books_balance()

    def test_given_up_keeps_its_result_when_a_query_finds_it_paid(self, rail, prompt, attempt_of, books_balance):
        rail.submit.append(Unknown("ReadTimeout"))
        attempt = self.send(prompt, attempt_of)
        engine.run_due(after(186, start=ONE))
        settling.settle(
            attempt.id, Succeeded("", 20_000, MSISDN, after(200, start=ONE)), at=after(200, start=ONE), source="q"
        )
        assert (attempt_of(prompt).state, attempt_of(prompt).result_code) == ("failed", settling.GAVE_UP)

        settling.settle(attempt.id, self.PAID, at=after(300, start=ONE), source="stk")
        assert (attempt_of(prompt).state, Case.objects.count()) == ("succeeded", 0)
        books_balance()

    def test_given_up_is_not_called_unpaid_when_the_paybill_road_shows_the_money(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        rail.submit.append(Unknown("ReadTimeout"))
        self.send(prompt, attempt_of)
        factories.pay(aminas_loan.reference, 20_000, "NLJ7RT61SV", at=after(30, start=ONE))
        engine.run_due(after(186, start=ONE))

        assert (attempt_of(prompt).state, attempt_of(prompt).receipt_no) == ("succeeded", "NLJ7RT61SV")
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 0
        books_balance()

    def test_given_up_is_unpaid_when_somebody_else_paid_the_same_amount(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        self.send(prompt, attempt_of)
        sister = factories.pay(
            aminas_loan.reference, 20_000, "SISTER01", party="254722999888", at=after(minutes=2, start=ONE)
        )
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=minutes, start=ONE))

        prompt.refresh_from_db()
        assert (attempt_of(prompt).state, attempt_of(prompt).result_code, prompt.state) == (
            "failed",
            settling.GAVE_UP,
            "failed",
        )
        sister.refresh_from_db()
        assert (sister.attempt_id, Case.objects.count()) == (None, 0)
        assert repayments.request_repayment(
            borrower_id=prompt.borrower_id, amount_cents=10_000, origin="again", at=after(hours=50)
        )
        books_balance()

    def test_given_up_is_not_called_unpaid_when_the_operators_clock_is_behind(
        self, rail, prompt, attempt_of, aminas_loan
    ):
        rail.submit.append(Unknown("ReadTimeout"))
        self.send(prompt, attempt_of)
        told = {"at": after(20, start=ONE), "paid_at": after(-10, start=ONE)}
        factories.pay(aminas_loan.reference, 20_000, "NLJ7RT61SV", **told)
        engine.run_due(after(186, start=ONE))

        assert (attempt_of(prompt).state, attempt_of(prompt).receipt_no) == ("succeeded", "NLJ7RT61SV")

    def test_given_up_is_unpaid_when_the_same_amount_came_just_before_it(
        self, rail, prompt, attempt_of, aminas_loan
    ):
        rail.submit.append(Unknown("ReadTimeout"))
        factories.pay(aminas_loan.reference, 20_000, "EARLIER1", at=after(3, start=ONE))
        self.send(prompt, attempt_of)
        engine.run_due(after(186, start=ONE))

        assert (attempt_of(prompt).state, attempt_of(prompt).receipt_no) == ("failed", "")

    def test_that_a_query_finds_paid_while_it_is_given_up_goes_to_a_person(self, rail, prompt, attempt_of):
        attempt = self.send(prompt, attempt_of)
        settling.settle(
            attempt.id, Succeeded("", 20_000, MSISDN, after(minutes=62)), at=after(minutes=62), source="q"
        )
        settling.give_up_prompt(attempt.id, after(minutes=130))

        assert (attempt_of(prompt).state, attempt_of(prompt).next_query_at) == ("manual", None)
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 0

    @pytest.mark.parametrize("given_up_first", [False, True])
    def test_by_the_receipt_of_another_prompt_is_not_paid(
        self, rail, prompt, attempt_of, aminas_loan, books_balance, given_up_first
    ):
        first = self.send(prompt, attempt_of)
        settling.settle(first.id, self.PAID, at=after(minutes=62), source="stk")
        second = repayments.request_repayment(
            borrower_id=prompt.borrower_id, amount_cents=20_000, origin="again", at=after(minutes=70)
        )
        engine.run_due(after(minutes=71))
        if given_up_first:
            settling.give_up_prompt(attempt_of(second).id, after(minutes=71))
        before = attempt_of(second).receipt_no
        said = settling.settle(attempt_of(second).id, self.PAID, at=after(minutes=72), source="stk")

        second.refresh_from_db()
        assert "pays for something else" in said
        assert (attempt_of(second).state, second.state) == (
            ("failed", "failed") if given_up_first else ("unknown", "open")
        )
        assert attempt_of(second).receipt_no == before == ""
        assert Receipt.objects.get().attempt_id == first.id
        assert open_cases("receipt_mismatch") == open_cases("payout_mismatch") == 1
        owed = Loan.objects.get(id=aminas_loan.id).outstanding_cents
        assert owed == aminas_loan.outstanding_cents - 20_000
        books_balance()

    def test_by_a_receipt_on_record_with_another_amount_is_for_a_person(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        attempt = self.send(prompt, attempt_of)
        factories.pay(aminas_loan.reference, 15_000, "NLJ7RT61SV", at=after(minutes=61))
        settling.settle(attempt.id, self.PAID, at=after(minutes=62), source="stk")

        assert (attempt_of(prompt).state, Receipt.objects.get().amount_cents) == ("unknown", 15_000)
        assert open_cases("receipt_mismatch") == open_cases("payout_mismatch") == 1
        books_balance()

    def test_by_the_receipt_of_another_prompt_leaves_the_phone_free_again(self, rail, prompt, attempt_of):
        settling.settle(self.send(prompt, attempt_of).id, self.PAID, at=after(minutes=62), source="stk")
        second = repayments.request_repayment(
            borrower_id=prompt.borrower_id, amount_cents=20_000, origin="again", at=after(minutes=70)
        )
        engine.run_due(after(minutes=71))
        settling.settle(attempt_of(second).id, self.PAID, at=after(minutes=72), source="stk")
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=72 + minutes))

        second.refresh_from_db()
        assert (attempt_of(second).state, second.state) == ("failed", "failed")

    def test_that_cannot_go_out_is_dropped_after_ten_minutes(self, rail, prompt, attempt_of):
        Rail.objects.create(provider="daraja-collect", stopped_at=NOON, needs_person=True)
        engine.run_due(after(minutes=9, start=ONE))
        assert prompt.attempts.count() == 0
        engine.run_due(after(minutes=11, start=ONE))
        engine.restart_rail("daraja-collect", None, after(minutes=12, start=ONE))
        engine.run_due(after(minutes=13, start=ONE))

        assert rail.sent == []
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 1

    def test_is_not_sent_once_less_is_owed_than_it_asks_for(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        factories.pay(aminas_loan.reference, 53_000, at=after(2, start=ONE))
        engine.run_due(after(6, start=ONE))

        prompt.refresh_from_db()
        assert (rail.sent, prompt.state, attempt_of(prompt).result_code) == ([], "failed", "not_sent")
        books_balance()

    def test_is_sent_while_all_that_it_asks_for_is_owed(self, rail, prompt, aminas_loan):
        factories.pay(aminas_loan.reference, 33_000, at=after(2, start=ONE))
        engine.run_due(after(6, start=ONE))

        assert [order.amount_cents for order in rail.sent] == [20_000]

    def test_only_one_is_out_for_a_customer(self, rail, prompt, attempt_of):
        self.send(prompt, attempt_of)
        PaymentIntent.objects.create(
            purpose="collect",
            business_key="collect:second",
            provider="daraja",
            borrower=prompt.borrower,
            loan=prompt.loan,
            msisdn=MSISDN,
            amount_cents=10_000,
            currency="KES",
            due_at=ONE,
            created_at=ONE,
        )
        engine.run_due(after(10, start=ONE))
        assert len(rail.sent) == 1

    def test_that_a_query_finds_paid_takes_the_receipt_of_the_paybill_road(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        attempt = self.send(prompt, attempt_of)
        factories.pay(aminas_loan.reference, 20_000, "NLJ7RT61SV", at=after(minutes=61))
        rail.ask.append(Succeeded("", 20_000, MSISDN, after(minutes=62)))
        engine.run_due(after(minutes=62))

        assert (attempt_of(prompt).state, attempt_of(prompt).receipt_no) == ("succeeded", "NLJ7RT61SV")
        assert Receipt.objects.get().attempt_id == attempt.id
        books_balance()

    def test_that_a_query_finds_paid_without_any_receipt_is_never_failed(self, rail, prompt, attempt_of):
        self.send(prompt, attempt_of)
        rail.ask.append(Succeeded("", 20_000, MSISDN, after(minutes=62)))
        for minutes in TWO_DAYS:
            engine.run_due(after(minutes=62 + minutes))

        assert attempt_of(prompt).state == "manual"
        assert open_cases("payout_unknown") == 1
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 0

    def test_by_either_road_first_the_receipt_counts_once(
        self, rail, prompt, attempt_of, aminas_loan, books_balance
    ):
        attempt = self.send(prompt, attempt_of)
        factories.pay(aminas_loan.reference, 20_000, "NLJ7RT61SV", at=after(minutes=61))
        settling.settle(attempt.id, self.PAID, at=after(minutes=62), source="stk")

        assert attempt_of(prompt).state == "succeeded"
        assert Receipt.objects.get().attempt_id == attempt.id
        books_balance()
