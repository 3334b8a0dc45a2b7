"""Daraja's callbacks at our door: recorded ones, and whatever else the internet may send."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client

from lending.models import Case, Loan, PaymentAttempt, PaymentIntent, ProviderEvent, Receipt
from lending.payments import engine, events, views
from lending.payments.tokens import secrets_in_force, token_for
from lending.rules import money
from lending.services import cases, receipts
from tests.factories import NOON
from tests.lending.payments.recorded import MISSING, recorded

ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
JSON = "application/json"
RUBBISH = [
    "",
    "{",
    "\x00",
    "null",
    "[]",
    "7",
    '"text"',
    "[" * 60_000,
    b"\xff\xfe{\x00}\x00",
    '{"a": NaN}',
    "{}",
    "1" * 5000,
    '{"Body": {"stkCallback": []}}',
    '{"Result": {"ResultCode": {}, "OriginatorConversationID": 1}}',
]


@pytest.fixture(autouse=True)
def paybill(settings) -> None:
    settings.DARAJA_PAYBILL = "600200"


def tell(path: str, body: Any, *, secret: str = "", client: Client | None = None) -> Any:
    """POST a callback; a dict becomes JSON, anything else goes as it is."""
    raw = json.dumps(body) if isinstance(body, (dict, list)) else body
    url = f"/gateways/daraja/{secret or secrets_in_force()[0]}/{path}"
    return (client or Client()).post(url, raw, content_type=JSON)


@pytest.fixture
def sent(rail, payout) -> PaymentAttempt:
    """Amina's payout, accepted by the rail."""
    engine.run_due(NOON)
    return payout.attempts.get()


@pytest.fixture
def prompted(rail, prompt) -> PaymentAttempt:
    """Amina's prompt, on her phone."""
    engine.run_due(NOON + timedelta(hours=1, seconds=6))
    return prompt.attempts.get()


def b2c(attempt: PaymentAttempt, name: str = "b2c_paid", end: str = "result", **facts: Any) -> Any:
    body = recorded(name, **{"OriginatorConversationID": str(attempt.provider_ref), **facts})
    return tell(f"b2c/{token_for('b2c', attempt.provider_ref)}/{end}", body)


def status(attempt: PaymentAttempt, name: str = "status_completed", **facts: Any) -> Any:
    body = recorded(name, **facts)
    for item in body["Result"].get("ResultParameters", {}).get("ResultParameter", []):
        if item["Key"] == "OriginatorConversationID" and "OriginatorConversationID" not in facts:
            item["Value"] = str(attempt.provider_ref)
    return tell(f"status/{token_for('status', attempt.provider_ref)}/result", body)


def stk(attempt: PaymentAttempt, name: str = "stk_paid", **facts: Any) -> Any:
    body = recorded(name, **{"CheckoutRequestID": attempt.request_id, **facts})
    return tell(f"stk/{token_for('stk', attempt.provider_ref)}", body)


def state_of(attempt: PaymentAttempt) -> str:
    return PaymentAttempt.objects.get(id=attempt.id).state


def outcome() -> str:
    return ProviderEvent.objects.latest("id").outcome


class TestDoor:
    pytestmark = pytest.mark.django_db

    PATHS = ("c2b/validation", "c2b/confirmation", "stk/x", "b2c/x/result", "b2c/x/timeout", "status/x/result")

    @pytest.mark.parametrize("path", PATHS)
    def test_is_shut_without_the_secret(self, path):
        answer = tell(path, recorded("c2b_confirmation"), secret="wrong")

        assert answer.status_code == 403 and answer.json()["ResultCode"] == 1
        assert ProviderEvent.objects.count() == 0

    def test_knows_two_secrets_while_one_replaces_the_other(self, settings):
        settings.DARAJA_SECRET = "new, old"

        assert [tell("c2b/validation", {}, secret=s).status_code for s in ("new", "old", "new, old")] == [
            200,
            200,
            403,
        ]

    @pytest.mark.parametrize("path", PATHS)
    def test_takes_posts_only(self, path):
        assert Client().get(f"/gateways/daraja/{secrets_in_force()[0]}/{path}").status_code == 405

    @pytest.mark.parametrize("size", [70_000, 400_000])
    @pytest.mark.parametrize("path", ["c2b/confirmation", "stk/x"])
    def test_takes_nothing_large(self, path, size):
        assert tell(path, "[" * size).status_code == 413
        assert ProviderEvent.objects.count() == 0

    @pytest.mark.parametrize("body", RUBBISH, ids=lambda body: repr(body)[:20])
    @pytest.mark.parametrize("end", ["c2b/confirmation", "stk", "b2c/result", "b2c/timeout", "status/result"])
    def test_keeps_rubbish_and_makes_nothing_of_it(self, sent, end, body):
        kind, _, tail = end.partition("/")
        path = end if kind == "c2b" else "/".join(filter(None, (kind, token_for(kind, sent.provider_ref), tail)))

        answer = tell(path, body)

        assert answer.status_code in (200, 400) and "ResultCode" in answer.json()
        event = ProviderEvent.objects.get()
        assert event.processed_at is not None and event.outcome
        assert Receipt.objects.count() == Case.objects.count() == 0
        assert state_of(sent) in ("accepted", "unknown")

    @pytest.mark.parametrize("path", PATHS[2:])
    def test_keeps_what_comes_to_an_address_we_never_gave_out(self, sent, path):
        for token in ("x", f"{sent.provider_ref.hex}-{'0' * 32}", token_for("other", sent.provider_ref)):
            answer = tell(
                path.replace("x", token), recorded("b2c_paid", OriginatorConversationID=str(sent.provider_ref))
            )
            assert answer.status_code == 404 and outcome() == "Unknown address"
        assert state_of(sent) == "accepted"

    def test_takes_a_token_for_one_kind_of_callback_only(self, sent):
        body = recorded("b2c_paid", OriginatorConversationID=str(sent.provider_ref))
        assert tell(f"b2c/{token_for('status', sent.provider_ref)}/result", body).status_code == 404
        assert state_of(sent) == "accepted"

    def test_takes_a_token_of_ours_for_an_attempt_we_do_not_have(self):
        assert tell(f"stk/{token_for('stk', uuid4())}", recorded("stk_paid")).status_code == 404

    def test_keeps_no_secret_and_no_token(self, sent, caplog):
        token = token_for("b2c", sent.provider_ref)
        secret = secrets_in_force()[0]
        address = f"https://jirani.example/gateways/daraja/{secret}/b2c/{token}/timeout"
        body = json.dumps(recorded("b2c_paid", QueueTimeoutURL=address, ResultDesc=f"{secret} {token}"))
        for text in (body, body.replace("/", "\\/")):
            tell(f"b2c/{token}/result", text)

        for event in ProviderEvent.objects.all():
            assert secret not in event.body and token not in event.body and token[33:] not in event.body
            assert json.loads(event.body)
        assert secret not in caplog.text and token not in caplog.text

    def test_writes_no_address_into_the_log_whatever_it_refuses(self, sent, caplog):
        token, secret = token_for("b2c", sent.provider_ref), secrets_in_force()[0]
        tell("c2b/confirmation", "{bad")
        tell("c2b/confirmation", "[" * 70_000)
        tell(f"b2c/{token}/result", "{bad")
        tell(f"b2c/{token}/nowhere", {})
        tell(f"stk/{token}", {})
        Client().get(f"/gateways/daraja/{secret}/c2b/confirmation")
        Client().get(f"/gateways/daraja/{secret}")

        assert caplog.text.count("/gateways/daraja/...") == 7
        for record in caplog.records:
            assert secret not in f"{record.getMessage()} {record.args}" and token not in f"{record.args}"

    def test_asks_to_call_again_when_nothing_can_be_kept(self, monkeypatch):
        def broken(*args, **kwargs):
            raise OperationalError("the database is away")

        monkeypatch.setattr(events, "store", broken)
        assert tell("c2b/confirmation", recorded("c2b_confirmation")).status_code == 503
        assert tell("c2b/validation", {}).json()["ResultCode"] == "C2B00016"
        assert tell("c2b/validation", recorded("c2b_validation")).status_code == 200


class TestPayoutResult:
    def test_starts_the_loan(self, sent, approved, books_balance):
        assert b2c(sent).json() == ACCEPTED

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.LIVE, "succeeded")
        assert approved.disbursed_at.isoformat() == "2026-03-02T09:00:09+00:00"
        event = ProviderEvent.objects.get()
        assert (event.attempt_id, event.kind, event.outcome) == (sent.id, "b2c_result", "succeeded")
        books_balance()

    def test_that_comes_twice_is_kept_once_and_counted(self, sent, books_balance):
        for _ in range(3):
            assert b2c(sent).json() == ACCEPTED

        assert ProviderEvent.objects.get().times_received == 3
        books_balance()

    def test_before_our_own_answer_has_arrived_counts(self, rail, payout, approved):
        def overtake(order):
            b2c(PaymentAttempt.objects.get(provider_ref=order.provider_ref))

        rail.submit.append(overtake)
        engine.run_due(NOON)

        attempt = payout.attempts.get()
        assert (attempt.state, attempt.request_id) == ("succeeded", f"request-{attempt.provider_ref}")

    @pytest.mark.parametrize("facts", [{"TransactionAmount": 501}, {"ReceiverPartyPublicName": "254711000999 - X"}])
    def test_with_other_facts_posts_nothing(self, sent, approved, facts):
        b2c(sent, **facts)

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.APPROVED, "unknown")
        assert Case.objects.get().kind == "payout_mismatch"

    @pytest.mark.parametrize("other", ["0a1b2c3d-0000-4000-8000-000000000000", "", MISSING])
    def test_of_another_conversation_changes_nothing(self, sent, other):
        assert b2c(sent, OriginatorConversationID=other).status_code == 200
        assert state_of(sent) == "accepted"

    @pytest.mark.parametrize("name", ["TransactionReceipt", "TransactionAmount", "TransactionCompletedDateTime"])
    def test_that_lacks_a_fact_proves_nothing(self, sent, name):
        b2c(sent, **{name: MISSING})
        assert state_of(sent) == "unknown"

    def test_failure_then_success_ends_paid(self, sent, approved, books_balance):
        b2c(sent, "b2c_failed", ResultCode=2040)
        b2c(sent)

        approved.refresh_from_db()
        assert approved.state == Loan.State.LIVE
        assert Case.objects.get().kind == "payout_mismatch"
        books_balance()

    def test_success_then_failure_stays_paid(self, sent, approved, books_balance):
        b2c(sent)
        b2c(sent, "b2c_failed", ResultCode=2040)

        approved.refresh_from_db()
        assert approved.state == Loan.State.LIVE
        assert Case.objects.get().kind == "payout_mismatch"
        books_balance()

    @pytest.mark.parametrize("name", ["b2c_timeout_wrapped", "b2c_timeout_flat"])
    def test_time_out_is_no_failure_and_is_asked_about_at_once(self, rail, sent, approved, name):
        b2c(sent, name, end="timeout")

        approved.refresh_from_db()
        assert (state_of(sent), approved.state) == ("unknown", Loan.State.APPROVED)
        engine.run_due(NOON.replace(year=2027))
        assert len(rail.asked) == 1

    def test_time_out_after_success_changes_nothing(self, sent):
        b2c(sent)
        b2c(sent, "b2c_timeout_flat", end="timeout")
        assert state_of(sent) == "succeeded"

    def test_time_out_of_another_conversation_changes_nothing(self, sent):
        b2c(sent, "b2c_timeout_flat", end="timeout", OriginatorConversationID=str(uuid4()))
        assert state_of(sent) == "accepted"


class TestStatusResult:
    def test_settles_what_the_result_callback_never_told(self, sent, approved, books_balance):
        status(sent)

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.LIVE, "succeeded")
        books_balance()

    def test_and_the_result_callback_together_count_once(self, sent, books_balance):
        status(sent)
        b2c(sent)

        assert Case.objects.count() == 0
        books_balance()

    @pytest.mark.parametrize("facts", [{"CreditPartyName": "UNKNOWN"}, {"CreditPartyName": MISSING}], ids=str)
    def test_without_a_party_does_not_overrule_a_result_that_named_another(
        self, sent, approved, facts, books_balance
    ):
        b2c(sent, ReceiverPartyPublicName="254711000999 - X")
        status(sent, **facts)

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.APPROVED, "unknown")
        case = Case.objects.get()
        assert (case.kind, case.closed_at) == ("payout_mismatch", None)

        cases.close_case(case_id=case.id, officer=None, resolution="The operator's mistake.", at=NOON)
        status(sent, **facts, ReasonType="asked again")
        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.LIVE, "succeeded")
        books_balance()

    def test_that_names_our_party_settles_what_another_party_was_told_for(self, sent, approved):
        b2c(sent, ReceiverPartyPublicName="254711000999 - X")
        status(sent)

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.LIVE, "succeeded")

    def test_about_another_payout_changes_nothing(self, sent):
        status(sent, OriginatorConversationID=str(uuid4()))
        assert state_of(sent) == "accepted"

    @pytest.mark.parametrize(("told", "said"), [("Completed", "succeeded"), ("Failed", "failed")])
    def test_that_does_not_say_whose_it_is_changes_nothing(self, sent, told, said):
        body = recorded("status_completed", TransactionStatus=told)
        items = body["Result"]["ResultParameters"]["ResultParameter"]
        items[:] = [item for item in items if item["Key"] != "OriginatorConversationID"]
        tell(f"status/{token_for('status', sent.provider_ref)}/result", body)

        assert (state_of(sent), outcome()) == ("accepted", f"{said} without our id")

    def test_of_a_failure_releases_the_loan(self, sent, approved, books_balance):
        status(sent, TransactionStatus="Failed")

        approved.refresh_from_db()
        assert (approved.state, state_of(sent)) == (Loan.State.NOT_PAID_OUT, "failed")
        books_balance()

    def test_pending_is_no_answer(self, sent):
        status(sent, TransactionStatus="Pending")
        assert state_of(sent) == "unknown"


class TestPromptCallback:
    def test_of_a_payment_is_a_repayment(self, prompted, books_balance):
        assert stk(prompted).json() == ACCEPTED

        receipt = Receipt.objects.get()
        assert (receipt.receipt_no, receipt.amount_cents, receipt.attempt_id) == ("NLJ7RT61SV", 20_000, prompted.id)
        assert receipt.paid_at.isoformat() == "2026-03-02T10:00:42+00:00"
        books_balance()

    def test_of_a_refusal_ends_the_prompt(self, prompted):
        stk(prompted, "stk_cancelled")
        assert (state_of(prompted), outcome()) == ("failed", "failed: 1032")

    def test_of_another_prompt_changes_nothing(self, prompted):
        stk(prompted, CheckoutRequestID="ws_CO_other")
        assert (state_of(prompted), Receipt.objects.count()) == ("accepted", 0)

    @pytest.mark.parametrize("facts", [{"Amount": 201.0}, {"PhoneNumber": 254711000999}])
    def test_with_other_facts_posts_nothing(self, prompted, facts):
        stk(prompted, **facts)
        assert Receipt.objects.count() == 0
        assert Case.objects.get().kind == "payout_mismatch"

    def test_and_the_paybill_confirmation_count_once_in_either_order(self, prompted, aminas_loan, books_balance):
        told = {"TransID": "NLJ7RT61SV", "BillRefNumber": aminas_loan.reference, "TransTime": "20260302130042"}
        tell("c2b/confirmation", recorded("c2b_confirmation", **told))
        first = Receipt.objects.get()
        stk(prompted)

        assert state_of(prompted) == "succeeded"
        both = Receipt.objects.get()
        assert (both.id, both.attempt_id) == (first.id, prompted.id)
        assert (both.account_reference, both.amount_cents, both.paid_at) == (
            aminas_loan.reference,
            20_000,
            NOON + timedelta(hours=1, seconds=42),
        )
        books_balance()

    def test_after_the_paybill_confirmation_tells_the_same_facts(self, prompted, aminas_loan):
        stk(prompted)
        by_prompt = Receipt.objects.values("account_reference", "amount_cents", "currency", "paid_at").get()
        told = {"TransID": "OTHER12345", "BillRefNumber": aminas_loan.reference, "TransTime": "20260302130042"}
        tell("c2b/confirmation", recorded("c2b_confirmation", **told))

        by_paybill = Receipt.objects.values("account_reference", "amount_cents", "currency", "paid_at").get(
            source="c2b"
        )
        assert by_prompt == by_paybill


class TestConfirmation:
    def test_is_a_repayment_of_whoever_was_named(self, aminas_loan, books_balance):
        assert tell("c2b/confirmation", recorded("c2b_confirmation")).json() == ACCEPTED

        receipt = Receipt.objects.get()
        assert (receipt.borrower_id, receipt.party, receipt.source) == (
            aminas_loan.borrower_id,
            "2547 ***** 101",
            "c2b",
        )
        assert receipt.paid_at.isoformat() == "2026-03-02T09:13:25+00:00"
        books_balance()

    def test_by_a_hashed_payer_who_typed_nonsense_is_still_theirs(self, aminas_loan):
        tell("c2b/confirmation", recorded("c2b_confirmation_hashed"))
        assert Receipt.objects.get().borrower_id == aminas_loan.borrower_id

    def test_that_fits_nobody_goes_to_suspense(self, law, books_balance):
        tell("c2b/confirmation", recorded("c2b_confirmation", BillRefNumber="Robert'); --"))
        assert Receipt.objects.get().state == Receipt.State.SUSPENSE
        assert Case.objects.get().kind == "unmatched_receipt"
        books_balance()

    @pytest.mark.parametrize("typed", ["31234578", "3123-4578", " 3123 4578", 31234578, "31\u00a0234578"], ids=repr)
    def test_keeps_no_national_id_that_was_typed_as_account(self, law, typed, books_balance):
        for path in ("c2b/validation", "c2b/confirmation"):
            tell(path, recorded("c2b_confirmation", BillRefNumber=typed))

        receipt, case = Receipt.objects.get(), Case.objects.get()
        assert (receipt.state, case.kind) == (Receipt.State.SUSPENSE, "unmatched_receipt")
        bodies = ProviderEvent.objects.values_list("body", flat=True)
        assert len(bodies) == 2
        for text in (*bodies, receipt.account_reference, case.note):
            assert "******78" in text and "234578" not in re.sub(r"\W|_|u00a0", "", text.replace("*", "x"))
        books_balance()

    @pytest.mark.parametrize("body", ['{"BillRefNumber": "31234578", ', '{"BillRefNumber": "31234578\\x"}'])
    def test_keeps_no_national_id_of_what_is_malformed(self, law, body):
        tell("c2b/confirmation", body)
        assert "******78" in ProviderEvent.objects.get().body

    def test_to_a_national_id_is_of_whose_it_is(self, aminas_loan, books_balance):
        tell("c2b/confirmation", recorded("c2b_confirmation", BillRefNumber="2345 6781"))

        receipt, event = Receipt.objects.get(), ProviderEvent.objects.get()
        assert (receipt.borrower_id, receipt.state) == (aminas_loan.borrower_id, Receipt.State.ALLOCATED)
        assert receipt.account_reference.startswith("******81 #") and "2345 6781" not in event.body
        books_balance()

    def test_that_comes_twice_counts_once(self, aminas_loan, books_balance):
        tell("c2b/confirmation", recorded("c2b_confirmation"))
        tell("c2b/confirmation", recorded("c2b_confirmation"))
        tell(
            "c2b/confirmation", recorded("c2b_confirmation", OrgAccountBalance="1.00")
        )  # the same, worded otherwise

        assert Receipt.objects.count() == 1 and ProviderEvent.objects.count() == 2
        books_balance()

    def test_of_the_same_receipt_with_another_amount_changes_nothing(self, aminas_loan, books_balance):
        tell("c2b/confirmation", recorded("c2b_confirmation"))
        owed = Loan.objects.get().outstanding_cents
        tell("c2b/confirmation", recorded("c2b_confirmation", TransAmount="900.00"))

        assert (Receipt.objects.get().amount_cents, Loan.objects.get().outstanding_cents) == (20_000, owed)
        assert Case.objects.get().kind == "receipt_mismatch"
        books_balance()

    @pytest.mark.parametrize(
        "facts",
        [
            {"TransID": MISSING},
            {"TransID": "'; --"},
            {"TransAmount": MISSING},
            {"TransAmount": "1,000.00"},
            {"TransAmount": "0"},
            {"TransAmount": "-5.00"},
            {"TransAmount": "1e3"},
            {"TransAmount": "٥٠٠"},
            {"BusinessShortCode": MISSING},
        ],
        ids=str,
    )
    def test_that_cannot_be_counted_is_for_a_person_once(self, aminas_loan, facts, books_balance):
        for _ in range(2):
            assert tell("c2b/confirmation", recorded("c2b_confirmation", **facts)).json() == ACCEPTED

        event, case = ProviderEvent.objects.get(), Case.objects.get()
        assert (case.kind, case.subject_key) == ("unreadable_payment", f"event:{event.id}")
        assert ("without TransID" if "TransID" in facts else "RKL51ZDR4F") in case.note
        assert Receipt.objects.count() == 0 and event.processed_at
        books_balance()

    @pytest.mark.parametrize(
        "facts",
        [
            {"BusinessShortCode": "600999"},
            {"BusinessShortCode": "600999", "TransAmount": "1e3"},
            {"BusinessShortCode": MISSING, "TransID": MISSING},
        ],
        ids=str,
    )
    def test_that_is_no_payment_to_us_has_no_effect(self, aminas_loan, facts):
        assert tell("c2b/confirmation", recorded("c2b_confirmation", **facts)).status_code == 200
        assert Receipt.objects.count() == Case.objects.count() == 0
        assert ProviderEvent.objects.get().processed_at

    @pytest.mark.parametrize("time", ["soon", "00010101000000", "99991231235959"])
    def test_at_a_time_that_makes_no_sense_still_counts(self, aminas_loan, time):
        tell("c2b/confirmation", recorded("c2b_confirmation", TransTime=time))
        assert Receipt.objects.get().paid_at == ProviderEvent.objects.get().received_at


class TestValidation:
    @pytest.mark.parametrize(
        ("facts", "code"),
        [
            ({}, "0"),
            ({"BillRefNumber": "254711000101"}, "0"),
            ({"BillRefNumber": "+254 711-000-101"}, "0"),
            ({"BillRefNumber": "711000101"}, "0"),
            ({"BillRefNumber": "LOAN"}, "0"),
            ({"BillRefNumber": " loan "}, "0"),
            ({"BillRefNumber": "2345-6781"}, "0"),
            ({"BillRefNumber": "0711000999"}, "C2B00012"),
            ({"BillRefNumber": "31234578"}, "C2B00012"),
            ({"BillRefNumber": ""}, "C2B00012"),
            ({"BillRefNumber": MISSING}, "C2B00012"),
            ({"BillRefNumber": "' OR 1=1"}, "C2B00012"),
            ({"BillRefNumber": "\x00"}, "C2B00012"),
            ({"TransAmount": "0"}, "C2B00013"),
            ({"TransAmount": "-5"}, "C2B00013"),
            ({"TransAmount": "1e3"}, "C2B00013"),
            ({"TransAmount": MISSING}, "C2B00013"),
            ({"BusinessShortCode": "600999"}, "C2B00015"),
            ({"TransID": MISSING}, "C2B00016"),
        ],
        ids=str,
    )
    def test_answers_by_account_and_amount_and_posts_nothing(self, aminas_loan, facts, code):
        typed = facts.get("BillRefNumber")
        if isinstance(typed, str) and "loan" in typed.lower():
            written = aminas_loan.reference if "LOAN" in typed else f" {aminas_loan.reference.lower()} "
            facts = {"BillRefNumber": written}
        answer = tell("c2b/validation", recorded("c2b_validation", **facts))

        assert (answer.status_code, answer.json()["ResultCode"]) == (200, code)
        assert Receipt.objects.count() == 0
        assert ProviderEvent.objects.get().outcome == f"answered {code}"

    def test_lets_money_in_when_we_are_in_trouble(self, law, monkeypatch):
        def broken(*args):
            raise OperationalError("the database is away")

        monkeypatch.setattr(views, "borrower_of_account", broken)
        assert tell("c2b/validation", recorded("c2b_validation")).json()["ResultCode"] == "0"

    def test_asks_postgresql_a_few_times_and_nobody_else(self, aminas_loan, django_assert_max_num_queries):
        with django_assert_max_num_queries(10):
            tell("c2b/validation", recorded("c2b_validation"))


class TestLaterTries:
    def test_an_event_that_fails_now_is_taken_up_by_the_engine(self, rail, aminas_loan, monkeypatch, books_balance):
        self.break_receipts(monkeypatch)
        assert tell("c2b/confirmation", recorded("c2b_confirmation")).json() == ACCEPTED
        event = ProviderEvent.objects.get()
        assert (event.processed_at, event.outcome) == (None, "waiting: RuntimeError")

        monkeypatch.undo()
        engine.run_due(event.received_at + timedelta(seconds=1))
        assert Receipt.objects.count() == 0, "the view may still be at it"
        engine.run_due(event.received_at + timedelta(seconds=6))
        assert Receipt.objects.count() == 1
        books_balance()

    def test_an_event_that_keeps_failing_goes_to_a_person_who_can_try_it_again(
        self, rail, aminas_loan, monkeypatch
    ):
        self.break_receipts(monkeypatch)
        tell("c2b/confirmation", recorded("c2b_confirmation"))
        event = ProviderEvent.objects.get()
        engine.run_due(event.received_at + timedelta(minutes=61))
        assert Case.objects.get().kind == "bad_task"
        assert events.waiting(event.received_at + timedelta(days=1), 10) == []

        monkeypatch.undo()
        assert events.process_again(event.id, event.received_at + timedelta(days=1))
        assert Receipt.objects.count() == 1

    @staticmethod
    def break_receipts(monkeypatch) -> None:
        def broken(**facts):
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(receipts, "record_receipt", broken)


class TestRaces:
    pytestmark = pytest.mark.django_db(transaction=True)

    def test_the_same_callback_eight_times_at_once_counts_once(self, sent, approved, books_balance):
        start = threading.Barrier(8)

        def call(_: int) -> int:
            start.wait()
            try:
                return b2c(sent).status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(call, range(8))) == [200] * 8

        approved.refresh_from_db()
        assert approved.state == Loan.State.LIVE
        assert ProviderEvent.objects.get().times_received == 8
        assert Case.objects.count() == 0
        books_balance()

    def test_both_roads_of_one_payment_at_once_count_once(self, prompted, aminas_loan, books_balance):
        told = {"TransID": "NLJ7RT61SV", "BillRefNumber": aminas_loan.reference}
        start = threading.Barrier(4)

        def call(n: int) -> int:
            start.wait()
            try:
                body = recorded("c2b_confirmation", OrgAccountBalance=str(n), **told)
                answer = stk(prompted) if n % 2 else tell("c2b/confirmation", body)
                return answer.status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(call, range(4))) == [200] * 4

        assert Receipt.objects.count() == 1
        loan = Loan.objects.get(id=aminas_loan.id)
        assert loan.outstanding_cents == aminas_loan.outstanding_cents - 20_000
        assert state_of(prompted) == "succeeded"
        assert PaymentIntent.objects.get(id=prompted.intent_id).state == "succeeded"
        assert money.show(loan.total_cents - loan.outstanding_cents, "KES") == "KES 200"
        books_balance()
