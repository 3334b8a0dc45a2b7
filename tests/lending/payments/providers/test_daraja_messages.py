"""Reading Daraja's callbacks: what proves something, what proves nothing, what is no callback at all."""

import hashlib
from datetime import UTC, datetime

import pytest

from lending.payments.parties import is_same_party
from lending.payments.providers import daraja_messages as messages
from lending.ports import Failed, NotFound, Succeeded, Unknown
from tests.lending.payments.recorded import MISSING, recorded

AMINA = "254711000101"
ARRIVAL = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


ABSURD = ["yesterday", "00010101000000", "20061231235959", "20260304120000", "99991231235959"]


@pytest.mark.parametrize(
    ("read", "name", "field"),
    [
        (messages.read_stk, "stk_paid", "TransactionDate"),
        (messages.read_b2c, "b2c_paid", "TransactionCompletedDateTime"),
        (messages.read_status, "status_completed", "FinalisedTime"),
    ],
)
@pytest.mark.parametrize("time", ABSURD)
def test_a_success_at_a_time_that_makes_no_sense_happened_when_we_heard_of_it(read, name, field, time):
    answer = read(recorded(name, **{field: time}), ARRIVAL).answer

    assert isinstance(answer, Succeeded)
    assert answer.at == ARRIVAL


class TestReadStk:
    def test_finds_receipt_amount_payer_and_time_in_east_africa(self):
        report = messages.read_stk(recorded("stk_paid"), ARRIVAL)

        assert report.request_id == "ws_CO_02032026130000172396192"
        assert isinstance(report.answer, Succeeded)
        assert (report.answer.receipt_no, report.answer.amount_cents, report.answer.party) == (
            "NLJ7RT61SV",
            20_000,
            AMINA,
        )
        assert report.answer.at.isoformat() == "2026-03-02T13:00:42+03:00"

    @pytest.mark.parametrize("code", [0, "0"])
    def test_reads_the_code_as_number_or_text(self, code):
        assert isinstance(messages.read_stk(recorded("stk_paid", ResultCode=code), ARRIVAL).answer, Succeeded)

    @pytest.mark.parametrize("name", ["MpesaReceiptNumber", "Amount", "TransactionDate"])
    def test_takes_a_success_that_lacks_a_fact_for_unknown(self, name):
        assert isinstance(messages.read_stk(recorded("stk_paid", **{name: MISSING}), ARRIVAL).answer, Unknown)
        assert isinstance(messages.read_stk(recorded("stk_paid", **{name: None}), ARRIVAL).answer, Unknown)

    @pytest.mark.parametrize(
        ("code", "ours", "again"),
        [
            (1, False, False),
            (17, False, False),
            (1001, False, True),
            (1019, False, False),
            (1025, False, False),
            (1032, False, False),
            (1037, False, False),
            (2001, False, False),  # the customer's PIN, not our credential
            (8006, False, False),
            (9999, False, False),
            (2028, True, False),
            ("SFC_IC0003", True, False),
        ],
    )
    def test_says_whose_fault_a_failure_is(self, code, ours, again):
        answer = messages.read_stk(recorded("stk_cancelled", ResultCode=code), ARRIVAL).answer

        assert isinstance(answer, Failed)
        assert (answer.code, answer.ours, answer.again_after_s >= 60) == (str(code), ours, again)

    def test_takes_a_code_nobody_has_heard_of_for_unknown(self):
        assert isinstance(messages.read_stk(recorded("stk_cancelled", ResultCode=4711), ARRIVAL).answer, Unknown)


class TestReadB2c:
    def test_finds_receipt_amount_party_and_time(self):
        report = messages.read_b2c(recorded("b2c_paid"), ARRIVAL)

        assert report.our_ref == "6f1b5c2e-0000-5000-8000-000000000000"
        assert isinstance(report.answer, Succeeded)
        assert (report.answer.receipt_no, report.answer.amount_cents, report.answer.party) == (
            "SG632NMUAB",
            50_000,
            AMINA,
        )
        assert report.answer.at.isoformat() == "2026-03-02T12:00:09+03:00"

    @pytest.mark.parametrize("code", [1, 11, 21, 2001, 2006, 2028, 8006])
    def test_takes_float_credential_and_account_for_our_fault(self, code):
        answer = messages.read_b2c(recorded("b2c_failed", ResultCode=code), ARRIVAL).answer

        assert isinstance(answer, Failed) and answer.ours

    @pytest.mark.parametrize("code", [2, 3, 4, 8, 2040, "SFC_IC0003"])
    def test_takes_limits_and_unknown_wallets_for_the_customers(self, code):
        answer = messages.read_b2c(recorded("b2c_failed", ResultCode=code), ARRIVAL).answer

        assert isinstance(answer, Failed) and not answer.ours

    def test_does_not_take_the_transaction_id_of_a_failure_for_a_payment(self):
        assert not isinstance(messages.read_b2c(recorded("b2c_failed"), ARRIVAL).answer, Succeeded)

    def test_takes_a_code_nobody_has_heard_of_for_unknown(self):
        assert isinstance(messages.read_b2c(recorded("b2c_failed", ResultCode=4711), ARRIVAL).answer, Unknown)


class TestReadTimeout:
    @pytest.mark.parametrize("name", ["b2c_timeout_wrapped", "b2c_timeout_flat"])
    def test_knows_nothing_in_either_form(self, name):
        report = messages.read_timeout(recorded(name))

        assert report.our_ref == "6f1b5c2e-0000-5000-8000-000000000000"
        assert isinstance(report.answer, Unknown)


class TestReadStatus:
    def test_reads_the_inner_status_and_the_id_of_the_original(self):
        report = messages.read_status(recorded("status_completed"), ARRIVAL)

        assert report.our_ref == "6f1b5c2e-0000-5000-8000-000000000000"
        assert isinstance(report.answer, Succeeded)
        assert (report.answer.receipt_no, report.answer.amount_cents) == ("SG632NMUAB", 50_000)

    def test_takes_the_first_of_a_key_that_repeats(self):
        body = recorded("status_completed")
        body["Result"]["ResultParameters"]["ResultParameter"].append({"Key": "Amount", "Value": "9"})

        assert messages.read_status(body, ARRIVAL).answer.amount_cents == 50_000

    @pytest.mark.parametrize(
        ("status", "kind"),
        [("Failed", Failed), ("Cancelled", Failed), ("Pending", Unknown), (None, Unknown), ("Reversed", Unknown)],
    )
    def test_a_query_that_worked_is_no_payment(self, status, kind):
        assert isinstance(
            messages.read_status(recorded("status_completed", TransactionStatus=status), ARRIVAL).answer, kind
        )

    def test_knows_when_the_rail_has_never_heard_of_it(self):
        assert isinstance(messages.read_status(recorded("status_not_found"), ARRIVAL).answer, NotFound)

    def test_a_query_that_failed_says_nothing_about_the_payout(self):
        assert isinstance(
            messages.read_status(recorded("status_not_found", ResultCode=2001), ARRIVAL).answer, Unknown
        )


class TestReadPayment:
    @pytest.mark.parametrize(
        ("facts", "field"),
        [
            ({"TransID": MISSING}, "TransID"),
            ({"TransID": "'; DROP TABLE"}, "TransID"),
            ({"TransID": ["RKL51ZDR4F"]}, "TransID"),
            ({"TransAmount": MISSING}, "amount"),
            ({"TransAmount": "1e3"}, "amount"),
            ({"TransAmount": "٥٠٠"}, "amount"),
            ({"TransAmount": "1.001"}, "amount"),
            ({"TransAmount": True}, "amount"),
            ({"TransAmount": "9" * 30}, "amount"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, facts, field):
        with pytest.raises(messages.Unreadable, match=field):
            messages.read_payment(recorded("c2b_confirmation", **facts), ARRIVAL)

    def test_keeps_text_that_postgresql_can_store(self):
        payment = messages.read_payment(
            recorded("c2b_confirmation", BillRefNumber="7K\x00Q2\ud800" + "x" * 90), ARRIVAL
        )

        assert payment.account_reference == "7KQ2" + "x" * 36

    @pytest.mark.parametrize("time", ABSURD)
    def test_does_not_lose_money_over_a_time_that_makes_no_sense(self, time):
        assert messages.read_payment(recorded("c2b_confirmation", TransTime=time), ARRIVAL).paid_at is None


@pytest.mark.parametrize(
    "read", [messages.read_stk, messages.read_b2c, messages.read_status, messages.read_payment]
)
@pytest.mark.parametrize("body", [None, [], {}, "text", 7, {"Result": []}, {"Body": {"stkCallback": None}}])
def test_what_is_no_callback_is_refused_by_name(read, body):
    with pytest.raises(messages.Unreadable):
        read(body, ARRIVAL)


@pytest.mark.parametrize(
    ("told", "same"),
    [
        (AMINA, True),
        (f"{AMINA} - AMINA WANJIRU", True),
        (f"+{AMINA}", True),
        ("0711000101 - AMINA", True),
        ("2547 ***** 101", True),
        (hashlib.sha256(AMINA.encode()).hexdigest(), True),
        ("", True),  # not told, so no contradiction
        ("254711000102", False),
        ("2547 ***** 102", False),
        ("2541 ***** 101", False),
        (hashlib.sha256(b"254711000102").hexdigest(), False),
        ("1", False),
    ],
)
def test_a_party_is_recognised_plain_masked_and_hashed(told, same):
    assert is_same_party(told, AMINA) is same
