"""What happened, by SMS: once, in the customer's language, and only when it may disturb."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from lending.models import (
    Application,
    Borrower,
    Case,
    LimitRaise,
    Loan,
    OutboxMessage,
    PaymentIntent,
    Promise,
    Receipt,
    Refund,
    SavingsAccount,
    SavingsProductVersion,
)
from lending.payments.settling import GAVE_UP
from lending.selectors import deposits
from lending.services import (
    agents,
    cases,
    changes,
    complaints,
    consents,
    corrections,
    data_copies,
    deaths,
    help,
    holds,
    lateness,
    next_of_kin,
    people,
    preferences,
    receipts,
    refunds,
    repayments,
    savings_instructions,
    savings_locks,
)
from lending.services import deposits as deposit_services
from tests import factories
from tests.factories import NAIROBI, NOON
from tests.lending import saving
from tests.lending.lending import happen, lend, product
from tests.ussd.test_sms import Aggregator, aggregator
from ussd import notices
from ussd.models import Hop, Session, Sms

__all__ = ["aggregator"]
NIGHT = datetime(2026, 3, 30, 21, 30, tzinfo=NAIROBI)


def tell(topic: str, at: datetime = NOON, **payload: Any) -> Sms | None:
    """Handle one outbox row, twice, as a crash would make happen; return what is on record."""
    for _ in range(2):
        notices.send_notice(topic=topic, payload=payload, at=at)
    return Sms.objects.filter(kind=topic).order_by("-id").first()


def said(sms: Sms | None) -> str:
    assert sms is not None, "nothing was sent"
    assert sms.segments == 1
    return sms.text


class TestADecision:
    @pytest.fixture
    def application(self, amina: Borrower, fixed_scorer: Any) -> Application:
        return factories.apply(amina)

    def shown(self, application: Application, final: bool = True) -> None:
        session = Session.objects.create(
            gateway="test", gateway_session="1", msisdn="254711000101", began_at=NOON, last_hop_at=NOON
        )
        Hop.objects.create(
            session=session,
            position=1,
            answer="Approved",
            ends=True,
            final=final,
            decision_shown=final,
            application_id=application.id,
            answered_at=NOON,
        )

    def test_is_told_when_the_screen_did_not_show_it(
        self, application: Application, aggregator: Aggregator
    ) -> None:
        factories.decide(application, "decline")
        assert "Little money comes into your wallet." in said(
            tell("application_decided", application_id=application.id)
        )
        assert len(aggregator.received) == 1

    def test_is_not_told_twice(self, application: Application, aggregator: Aggregator) -> None:
        factories.decide(application)
        self.shown(application)
        assert tell("application_decided", application_id=application.id) is None

    def test_is_told_when_the_hop_died_before_showing_it(
        self, application: Application, aggregator: Aggregator
    ) -> None:
        factories.decide(application)
        self.shown(application, final=False)
        assert "Approved. KES 500" in said(tell("application_decided", application_id=application.id))

    @pytest.mark.parametrize(
        ("approve", "words"),
        [
            (True, "approved your loan"),
            (
                False,
                "not this time. Little money comes into your wallet. Use your wallet for a month, then ask again.",
            ),
        ],
    )
    def test_of_an_officer_is_told_after_the_screen_showed_the_referral(
        self, application: Application, aggregator: Aggregator, admin_user: Any, approve: bool, words: str
    ) -> None:
        factories.decide(application, "refer")
        self.shown(application)
        factories.applications.review(
            application_id=application.id,
            officer=admin_user,
            approve=approve,
            reason="Spoke with her.",
            code="" if approve else "low_inflow",
            at=NOON,
        )
        assert words in said(tell("application_decided", application_id=application.id))

    @pytest.mark.parametrize("reviewed", [False, True])
    def test_is_not_announced_after_the_money(
        self, application: Application, aggregator: Aggregator, admin_user: Any, reviewed: bool
    ) -> None:
        factories.decide(application, "refer" if reviewed else "approve")
        if reviewed:
            factories.applications.review(
                application_id=application.id, officer=admin_user, approve=True, reason="Spoke with her.", at=NOON
            )
        loan = factories.pay_out(Loan.objects.get(application=application))
        assert "is in your M-PESA" in said(tell("loan_disbursed", loan_id=loan.id))
        assert tell("application_decided", application_id=application.id) is None

    def test_is_not_announced_after_the_payout_failed(
        self, application: Application, aggregator: Aggregator
    ) -> None:
        factories.decide(application)
        Loan.objects.filter(application=application).update(state=Loan.State.NOT_PAID_OUT)
        assert tell("application_decided", application_id=application.id) is None


class TestMoney:
    def test_that_arrived_is_told_with_what_to_repay(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        text = said(tell("loan_disbursed", loan_id=aminas_loan.id))
        assert "KES 500 is in your M-PESA" in text and "Repay KES 530 by 1 Apr" in text
        assert "paybill 600200 account 0711000101" in text

    def test_that_did_not_arrive_is_not_owed(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        assert "You owe nothing" in said(tell("disbursement_failed", loan_id=aminas_loan.id))

    @pytest.mark.parametrize(
        ("cents", "words"),
        [
            (20_000, "Received KES 200, receipt SFC7XK2. You owe KES 330 by 1 Apr."),
            (53_000, "Received KES 530, receipt SFC7XK2. You owe nothing. Thank you."),
            (60_000, "You paid KES 70 too much: it is kept for you."),
        ],
    )
    def test_that_came_in_is_receipted(
        self, aminas_loan: Loan, aggregator: Aggregator, cents: int, words: str
    ) -> None:
        receipt = factories.pay("254711000101", cents)
        assert words in said(tell("repayment_received", receipt_id=receipt.id, nth=0))

    @pytest.mark.parametrize(
        ("cents", "words"),
        [
            (20_000, "Received KES 200 for loan {} that was written off. Thank you."),
            (
                60_000,
                "Received KES 600 for loan {} that was written off. Thank you. "
                "You paid KES 70 too much: it is kept for you.",
            ),
        ],
    )
    def test_for_a_loan_written_off_is_thanked_for(
        self, aminas_loan: Loan, aggregator: Aggregator, cents: int, words: str
    ) -> None:
        factories.write_off(aminas_loan, at=NOON + timedelta(days=200))
        receipt = factories.pay(aminas_loan.reference, cents, at=NOON + timedelta(days=210))
        assert said(tell("repayment_received", receipt_id=receipt.id, nth=0)) == words.format(aminas_loan.reference)

    def test_for_a_loan_written_off_is_thanked_for_in_swahili(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        factories.write_off(aminas_loan, at=NOON + timedelta(days=200))
        people.set_language(borrower_id=aminas_loan.borrower_id, language="sw", at=NOON)
        receipt = factories.pay(aminas_loan.reference, 20_000, at=NOON + timedelta(days=210))
        assert f"ya mkopo {aminas_loan.reference} uliofutwa" in said(
            tell("repayment_received", receipt_id=receipt.id, nth=0)
        )

    def test_from_another_number_of_hers_leaves_what_her_loan_owes(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        factories.register(msisdn="254711000999")
        receipt = factories.pay("0711000999", 20_000)
        assert "You owe KES 330 by 1 Apr." in said(tell("repayment_received", receipt_id=receipt.id, nth=0))

    def test_that_no_loan_took_says_nothing_of_debts_while_one_is_open(
        self, amina: Borrower, fixed_scorer: Any, aggregator: Aggregator
    ) -> None:
        factories.decide(factories.apply(amina))
        receipt = factories.pay("254711000101", 20_000)
        text = said(tell("repayment_received", receipt_id=receipt.id, nth=0))
        assert text == "Received KES 200, receipt SFC7XK2. You paid KES 200 too much: it is kept for you."

    def test_that_repays_one_loan_says_nothing_of_debts_while_another_was_written_off(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        factories.write_off(aminas_loan, at=NOON + timedelta(days=200))
        new = factories.live_loan(aminas_loan.borrower, at=NOON + timedelta(days=210))
        receipt = factories.pay(new.reference, 53_000, at=NOON + timedelta(days=211))
        assert "owe" not in said(tell("repayment_received", receipt_id=receipt.id, nth=0))

    def test_that_fits_nobody_is_told_to_nobody(self, law: None, aggregator: Aggregator) -> None:
        receipt = factories.pay("nobody", 20_000)
        assert Receipt.objects.get().borrower is None
        assert tell("repayment_received", receipt_id=receipt.id, nth=0) is None

    @pytest.mark.parametrize(
        ("language", "why", "owed"),
        [
            (
                "en",
                "M-PESA took back your payment of KES 530, receipt SFC7XK2. It no longer counts.",
                "You owe KES 530",
            ),
            ("sw", "M-PESA imerudisha malipo yako ya KES 530, risiti SFC7XK2.", "Unadaiwa KES 530 hadi"),
        ],
    )
    def test_that_the_operator_took_back_is_owed_again(
        self, aminas_loan: Loan, aggregator: Aggregator, language: str, why: str, owed: str
    ) -> None:
        people.set_language(borrower_id=aminas_loan.borrower_id, language=language, at=NOON)
        receipt = factories.pay(aminas_loan.reference, 53_000)
        assert tell("repayment_received", receipt_id=receipt.id, nth=0)
        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="theirs", at=NOON)
        text = said(tell("repayment_undone", **OutboxMessage.objects.get(topic="repayment_undone").payload))
        assert text.startswith(why) and owed in text

    def test_that_was_counted_by_mistake_says_so_and_thanks_whose_it_is(
        self, aminas_loan: Loan, brian: Borrower, aggregator: Aggregator
    ) -> None:
        receipt = factories.pay(aminas_loan.reference, 20_000)
        tell("repayment_received", receipt_id=receipt.id, nth=0)
        receipts.release_receipt(receipt_id=receipt.id, actor=None, reason="Brian's", at=NOON)
        late = aminas_loan.due_on + timedelta(days=3)  # type: ignore[operator]
        undone = OutboxMessage.objects.get(topic="repayment_undone")
        text = said(
            tell(
                "repayment_undone", datetime(late.year, late.month, late.day, 12, tzinfo=NAIROBI), **undone.payload
            )
        )
        assert text == (
            "We counted KES 200, receipt SFC7XK2, for you by mistake: it is not your payment. "
            "You owe KES 530; it was due 1 Apr."
        )
        receipts.match_receipt(receipt_id=receipt.id, borrower_id=brian.id, officer=None, reason="his", at=NOON)
        for message in OutboxMessage.objects.filter(topic="repayment_received").order_by("id"):
            tell("repayment_received", **message.payload)
        thanked = Sms.objects.filter(kind="repayment_received").order_by("id")
        assert [one.borrower for one in thanked] == [aminas_loan.borrower, brian]

    def test_that_nobody_was_thanked_for_is_taken_back_in_silence(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        receipt = factories.pay(aminas_loan.reference, 20_000)
        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="theirs", at=NOON)
        assert tell("repayment_received", receipt_id=receipt.id, nth=0) is None
        assert tell("repayment_undone", **OutboxMessage.objects.get(topic="repayment_undone").payload) is None

    def test_that_a_prompt_did_not_take_has_another_way(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        intent = failed_prompt(aminas_loan, "1032")
        assert "nothing was taken" in said(tell("repayment_not_made", intent_id=intent.id))

    def test_of_unknown_fate_is_not_called_untaken(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        text = said(tell("repayment_not_made", intent_id=failed_prompt(aminas_loan, GAVE_UP).id))
        assert "No answer yet" in text and "nothing was taken" not in text

    def test_that_came_by_another_road_is_not_called_untaken(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        intent = failed_prompt(aminas_loan, "1032")
        factories.pay(aminas_loan.reference, 53_000)
        assert tell("repayment_not_made", intent_id=intent.id) is None


def failed_prompt(loan: Loan, code: str) -> PaymentIntent:
    intent = repayments.request_repayment(
        borrower_id=loan.borrower_id, amount_cents=20_000, origin="ussd:test:9", at=NOON
    )
    PaymentIntent.objects.filter(id=intent.id).update(state="failed")
    intent.attempts.create(number=1, provider="daraja", state="failed", result_code=code, created_at=NOON)
    return intent


class TestARefund:
    @pytest.fixture
    def refund(self, aminas_loan: Loan) -> Refund:
        factories.pay(aminas_loan.reference, 60_000)
        return refunds.refund_to_wallet(borrower_id=aminas_loan.borrower_id, origin="ussd:1", at=NOON)

    def test_that_arrived_is_told_with_its_receipt(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        factories.pay(aminas_loan.reference, 60_000)
        refund = factories.give_back(aminas_loan.borrower, "SGBACK1")
        assert said(tell("refund_given", refund_id=refund.id)) == (
            "KES 70 that you paid too much is in your M-PESA, receipt SGBACK1. Thank you."
        )

    def test_that_went_into_savings_is_told(self, refund: Refund, aggregator: Aggregator) -> None:
        Refund.objects.update(way="savings", intent=None)
        assert "KES 70 that you paid too much is in your savings" in said(tell("refund_given", refund_id=refund.id))

    def test_that_failed_is_still_kept_and_not_told_once_it_arrived(
        self, refund: Refund, aggregator: Aggregator
    ) -> None:
        assert tell("refund_failed", refund_id=refund.id) is None
        Refund.objects.update(state="failed")
        assert "It is still kept for you." in said(tell("refund_failed", refund_id=refund.id))


class TestAReminder:
    DUE = NOON + timedelta(days=28)

    def of(self, loan: Loan) -> dict[str, Any]:
        return {"loan_id": loan.id, "due_on": "2026-04-01"}

    def test_names_amount_day_and_how_to_stop(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        text = said(tell("repayment_reminder", self.DUE, **self.of(aminas_loan), days=2))
        assert "KES 530 is due on 1 Apr." in text and "STOP" in text

    def test_speaks_swahili(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        people.set_language(borrower_id=aminas_loan.borrower_id, language="sw", at=NOON)
        text = said(
            tell(
                "repayment_reminder",
                self.DUE + timedelta(days=5),
                loan_id=aminas_loan.id,
                due_on="2026-04-01",
                days=-3,
            )
        )
        assert "KES 530 imechelewa siku 3." in text and "ACHA" in text

    def test_waits_for_the_morning(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        assert tell("repayment_reminder", NIGHT, **self.of(aminas_loan), days=2) is None
        again = OutboxMessage.objects.get(topic="repayment_reminder")
        assert again.due_at == datetime(2026, 3, 31, 8, 0, tzinfo=NAIROBI)
        assert tell("repayment_reminder", again.due_at, **again.payload) is not None

    def test_is_the_only_message_of_its_day_that_nobody_asked_for(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        assert tell("repayment_reminder", self.DUE, **self.of(aminas_loan), days=2) is not None
        tell("repayment_reminder", self.DUE + timedelta(hours=1), **self.of(aminas_loan), days=1)
        assert len(aggregator.received) == 1
        again = OutboxMessage.objects.get(topic="repayment_reminder")
        assert again.due_at == datetime(2026, 3, 31, 8, 0, tzinfo=NAIROBI)
        tell("repayment_reminder", again.due_at, **again.payload)
        assert len(aggregator.received) == 2

    def test_never_goes_to_who_said_stop(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        preferences.stop(msisdn="254711000101", at=NOON)
        stopped = tell("repayment_reminder", self.DUE, **self.of(aminas_loan), days=2)
        assert stopped is not None and stopped.state == "stopped" and not aggregator.received

    def test_is_never_about_a_paid_loan(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        factories.pay("254711000101", 53_000)
        assert tell("repayment_reminder", self.DUE, **self.of(aminas_loan), days=2) is None
        assert not aggregator.received


class TestAReminderOfAPart:
    """Of one installment of four, while others are still to come."""

    @pytest.fixture
    def loan(self, law: None) -> Loan:
        term = {"installments": 4, "every": 1, "unit": "week"}
        weekly = {"kind": "flat", "term": term, "interest": {"rate": "0.08", "per": "term"}}
        return lend(product(weekly), 100_000, NOON)

    def remind(self, loan: Loan, due_on: str, days: int) -> Sms | None:
        at = datetime.combine(date.fromisoformat(due_on), NOON.timetz()) + timedelta(days=days)
        return tell("repayment_reminder", at, loan_id=loan.id, due_on=due_on, days=days)

    def test_says_what_is_due_and_what_is_owed_in_all(self, loan: Loan, aggregator: Aggregator) -> None:
        assert "KES 270 is due on 9 Mar. You owe KES 1,080 in all." in said(self.remind(loan, "2026-03-09", -3))
        happen(loan, "pay", NOON + timedelta(days=6), amount_cents=20_000)
        assert "KES 70 was due 1 day ago. You owe KES 880 in all." in said(self.remind(loan, "2026-03-09", 1))

    def test_says_one_amount_where_it_is_all(self, loan: Loan, aggregator: Aggregator) -> None:
        happen(loan, "pay", NOON + timedelta(days=6), amount_cents=81_000)
        assert "KES 270 is due today. Dial" in said(self.remind(loan, "2026-03-30", 0))

    def test_is_never_about_a_part_that_is_paid(self, loan: Loan, aggregator: Aggregator) -> None:
        happen(loan, "pay", NOON + timedelta(days=6), amount_cents=27_000)
        assert self.remind(loan, "2026-03-09", 0) is None
        assert self.remind(loan, "2026-03-16", -3) is not None

    def test_is_never_sent_after_a_death(self, loan: Loan, aggregator: Aggregator) -> None:
        happen(loan, "death", NOON + timedelta(days=6))
        assert self.remind(loan, "2026-03-09", 0) is None

    def test_speaks_swahili(self, loan: Loan, aggregator: Aggregator) -> None:
        people.set_language(borrower_id=loan.borrower_id, language="sw", at=NOON)
        assert "Deni lote ni KES 1,080." in said(self.remind(loan, "2026-03-09", 0))


class TestTheLadder:
    """What each step says; Amina's KES 530 were due on 1 April."""

    DUE_ON = date(2026, 4, 1)

    def remind(self, loan: Loan, late: int) -> Sms | None:
        at = datetime(2026, 4, 1, 17, 30, tzinfo=NAIROBI) + timedelta(days=late)
        return tell("repayment_reminder", at, loan_id=loan.id, due_on="2026-04-01", days=late)

    @pytest.mark.parametrize(
        ("late", "expected"),
        [
            (-3, "Jirani: KES 530 is due on 1 Apr. Dial *384*77# to pay all or a part. No reminders: send STOP."),
            (0, "Jirani: KES 530 is due today. Dial *384*77# to pay all or a part. No reminders: send STOP."),
            (
                1,
                "Jirani: KES 530 was due 1 day ago. Tell us why or pay a part: dial *384*77*1*6#. "
                "No reminders: send STOP.",
            ),
            (3, "Jirani: KES 530 was due 3 days ago. Dial *384*77# to pay all or a part. No reminders: send STOP."),
            (
                7,
                "Jirani: KES 530 was due 7 days ago. Pay a part or promise another day: dial *384*77*1*6#. "
                "No reminders: send STOP.",
            ),
            (
                28,
                "Jirani, formal notice: KES 530 of loan {ref} was due on 1 Apr. "
                "Pay a part or talk with us: dial *384*77*1*6#.",
            ),
        ],
    )
    def test_says_what_the_day_is_for(
        self, aminas_loan: Loan, aggregator: Aggregator, late: int, expected: str
    ) -> None:
        assert said(self.remind(aminas_loan, late)) == expected.format(ref=aminas_loan.reference)

    def test_says_how_late_it_is_by_the_time_it_goes_out(self, aminas_loan: Loan, aggregator: Aggregator) -> None:
        at = datetime(2026, 4, 3, 8, 0, tzinfo=NAIROBI)
        text = said(tell("repayment_reminder", at, loan_id=aminas_loan.id, due_on="2026-04-01", days=1))
        assert "was due 2 days ago. Tell us why" in text

    def test_says_that_an_officer_calls_while_one_still_has_to(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        case = lateness.queue_call(aminas_loan.id, self.DUE_ON, NOON)
        text = said(self.remind(aminas_loan, 14))
        assert "was due 14 days ago. An officer calls you to find a way." in text
        Sms.objects.all().delete()
        cases.close_case(case_id=case.id, officer=None, resolution="spoken", at=NOON)
        assert self.remind(aminas_loan, 14) is None

    @pytest.mark.parametrize(
        ("skips", "broken", "offered"),
        [
            (1, 0, "Pay a part, promise another day or skip one payment: dial"),
            (0, 1, "Pay a part or promise another day: dial"),
            (1, 2, "Pay a part or skip one payment: dial"),
            (0, 2, "You can pay a part: dial"),
        ],
    )
    def test_offers_only_what_would_be_granted(
        self, law: None, aggregator: Aggregator, skips: int, broken: int, offered: str
    ) -> None:
        term = {"installments": 4, "every": 2, "unit": "week"}
        loan = lend(product({"kind": "flat", "term": term, "skips": skips}), 100_000, NOON)
        for nth in range(broken):
            Promise.objects.create(
                loan=loan, borrower=loan.borrower, origin=str(nth), amount_cents=100, promised_on=self.DUE_ON,
                channel="phone", made_at=NOON, state="broken", judged_at=NOON,
            )  # fmt: skip
        at = datetime(2026, 3, 23, 17, 30, tzinfo=NAIROBI)
        assert offered in said(tell("repayment_reminder", at, loan_id=loan.id, due_on="2026-03-16", days=7))

    def test_ends_with_one_notice_where_a_bureau_would_hear_of_it(
        self, law: None, fixed_scorer: Any, aggregator: Aggregator
    ) -> None:
        agreed = factories.CONSENTS | {"bureau": True}
        brian = factories.register("Brian Otieno", "254711000102", "23456782", consents=agreed)
        Borrower.objects.update(limit_cents=200_000)
        assert self.remind(factories.live_loan(brian, 150_000), 28) is None

    @pytest.mark.parametrize(("principal_cents", "agrees"), [(150_000, False), (20_000, True)])
    def test_ends_with_ours_where_none_would(
        self, law: None, fixed_scorer: Any, aggregator: Aggregator, principal_cents: int, agrees: bool
    ) -> None:
        agreed = factories.CONSENTS | {"bureau": agrees}
        brian = factories.register("Brian Otieno", "254711000102", "23456782", consents=agreed)
        Borrower.objects.update(limit_cents=200_000)
        assert "formal notice" in said(self.remind(factories.live_loan(brian, principal_cents), 28))


class TestAWishForAnotherDate:
    def test_that_is_not_granted_says_what_is_owed_when(
        self, aminas_loan: Loan, aggregator: Aggregator, admin_user: Any
    ) -> None:
        wish = changes.wish_another_date(loan_id=aminas_loan.id, due_on=NOON.date() + timedelta(days=31), at=NOON)
        changes.keep_dates(case_id=wish.id, officer=admin_user, resolution="Late before.", at=NOON)
        assert said(tell("dates_stay", case_id=wish.id)) == (
            "We could not move your dates. You owe KES 530 by 1 Apr. A part helps. Dial *384*77#."
        )

    def test_is_answered_no_more_to_who_asked_to_be_forgotten(
        self, aminas_loan: Loan, aggregator: Aggregator, admin_user: Any
    ) -> None:
        wish = changes.wish_another_date(loan_id=aminas_loan.id, due_on=NOON.date() + timedelta(days=31), at=NOON)
        changes.keep_dates(case_id=wish.id, officer=admin_user, resolution="Late before.", at=NOON)
        factories.pay(aminas_loan.reference, 53_000)
        Case.objects.filter(id=wish.id).update(details={})
        assert tell("dates_stay", case_id=wish.id) is None

    def test_is_answered_no_more_when_all_is_paid(
        self, aminas_loan: Loan, aggregator: Aggregator, admin_user: Any
    ) -> None:
        wish = changes.wish_another_date(loan_id=aminas_loan.id, due_on=NOON.date() + timedelta(days=31), at=NOON)
        changes.keep_dates(case_id=wish.id, officer=admin_user, resolution="Late before.", at=NOON)
        factories.pay(aminas_loan.reference, 53_000)
        assert tell("dates_stay", case_id=wish.id) is None


class TestAPin:
    def test_that_is_locked_has_a_way_back(self, amina: Borrower, aggregator: Aggregator) -> None:
        for _ in range(3):
            with pytest.raises((people.WrongPin, people.PinLocked)):
                people.check_pin(borrower_id=amina.id, pin="9753", at=NOON)
        text = said(tell("pin_locked", borrower_id=amina.id))
        assert "It opens by itself on 2 Mar at 12:15. Forgot it? Send HELP." in text

    def test_that_was_reset_warns_who_did_not_ask(
        self, amina: Borrower, aggregator: Aggregator, admin_user: Any
    ) -> None:
        for day in (0, 1):
            people.reset_pin(
                borrower_id=amina.id, officer=admin_user, reason="Seen with ID.", at=NOON + timedelta(days=day)
            )
            assert "If you did not ask for this" in said(tell("pin_reset", borrower_id=amina.id))
        assert Sms.objects.filter(kind="pin_reset").count() == 2


class TestAChangeOfSavingsTerms:
    AT = saving.after(1)
    FIRST = date(2026, 3, 1)

    def change(self, rate: str = "0.035", on: date = FIRST, **more: Any) -> SavingsProductVersion:
        version = SavingsProductVersion.objects.filter(code="jirani-goal").latest("version")
        interest = version.terms["interest"] | {"tiers": [{"from_cents": 0, "rate": rate}]}
        return saving.next_version(effective_on=on, terms={"interest": interest} | more)

    def tell(self, account: SavingsAccount, version: SavingsProductVersion, at: datetime = AT) -> Sms | None:
        facts = {"account_id": account.id, "version_id": version.id, "borrower_id": account.borrower_id}
        return tell("savings_terms_change", at=at, **facts)

    def test_worse_terms_are_told_with_old_rate_new_rate_day_and_way_out(
        self, amina: Borrower, aggregator: Aggregator
    ) -> None:
        account = saving.pot(amina)
        assert said(self.tell(account, self.change())) == (
            "Jirani: from 1 Mar your savings earn 3.5% a year, now 4-6%."
            " Until then you can take your money out free."
        )
        assert len(aggregator.received) == 1

    def test_in_their_language(self, amina: Borrower, aggregator: Aggregator) -> None:
        Borrower.objects.filter(id=amina.id).update(language="sw")
        text = said(self.tell(saving.pot(amina), self.change()))
        assert text.startswith("Jirani: kuanzia 1 Machi akiba itapata 3.5% kwa mwaka, sasa 4-6%.")

    def test_better_terms_ask_nobody_to_leave(self, amina: Borrower, aggregator: Aggregator) -> None:
        text = said(self.tell(saving.pot(amina), self.change("0.08")))
        assert text == "Jirani: from 1 Mar your savings earn 8% a year, now 4-6%."

    def test_a_locked_goal_is_told_its_own_day(self, amina: Borrower, aggregator: Aggregator) -> None:
        account = saving.pot(amina)
        until = self.FIRST + timedelta(days=30)
        savings_locks.lock_goal(account_id=account.id, until=until, exit_after_hours=24, at=self.AT)
        text = said(self.tell(account, self.change(minimum_balance_cents=500)))
        assert text == (
            "Jirani: from 1 Apr your savings earn 3.5% a year, now 4-6%."
            " Until your lock ends nothing changes. More changes: send HELP."
        )

    def test_a_goal_that_is_locked_until_then_is_not_told_to_leave(
        self, amina: Borrower, aggregator: Aggregator
    ) -> None:
        account, last = saving.pot(amina), self.FIRST - timedelta(days=1)
        savings_locks.lock_goal(account_id=account.id, until=last, exit_after_hours=24, at=self.AT)
        assert said(self.tell(account, self.change())) == (
            "Jirani: from 1 Mar your savings earn 3.5% a year, now 4-6%. Until your lock ends nothing changes."
        )

    def test_a_second_change_is_told_against_the_first(self, amina: Borrower, aggregator: Aggregator) -> None:
        account = saving.pot(amina)
        self.change("0.02")
        second = self.change("0.03", on=self.FIRST + timedelta(days=9))
        assert "earn 3% a year, now 2%" in said(self.tell(account, second))

    def test_it_waits_for_contact_hours_and_comes_after_stop_too(
        self, amina: Borrower, aggregator: Aggregator
    ) -> None:
        account, version = saving.pot(amina), self.change()
        preferences.stop(msisdn=amina.msisdn, at=self.AT)
        assert self.tell(account, version, at=NIGHT) is None
        assert OutboxMessage.objects.filter(topic="savings_terms_change").count() == 1
        assert self.tell(account, version) is not None

    def test_who_closed_the_account_is_not_told(self, amina: Borrower, aggregator: Aggregator) -> None:
        account, version = saving.pot(amina), self.change()
        savings_instructions.close_account(account_id=account.id, at=self.AT)
        assert self.tell(account, version) is None


def test_every_topic_of_ours_has_words(settings: Any) -> None:
    ours = {
        topic for topic, (handler, _) in settings.OUTBOX_HANDLERS.items() if handler == "ussd.notices.send_notice"
    }
    assert ours == set(notices.NOTICES)


def test_receipts_still_go_to_who_said_stop(aminas_loan: Loan, aggregator: Aggregator) -> None:
    preferences.stop(msisdn="254711000101", at=NOON)
    tell("loan_disbursed", loan_id=aminas_loan.id)
    assert len(aggregator.received) == 1


class TestAnOffer:
    @pytest.fixture
    def offered(self, aminas_loan: Loan) -> LimitRaise:
        return LimitRaise.objects.create(
            borrower_id=aminas_loan.borrower_id, earned_by=aminas_loan, rung=1, limit_cents=150_000, offered_at=NOON
        )

    def agree(self, offered: LimitRaise, granted: bool = True) -> None:
        consents.answer(
            borrower_id=offered.borrower_id, purpose="marketing", granted=granted, text_version="1", language="en",
            at=NOON - timedelta(days=1),
        )  # fmt: skip

    def test_goes_to_who_agreed_to_offers(self, offered: LimitRaise, aggregator: Aggregator) -> None:
        self.agree(offered)
        assert "Your limit can be KES 1,500" in said(tell("limit_raise_offered", raise_id=offered.id))
        assert len(aggregator.received) == 1

    def test_goes_to_nobody_who_did_not(self, offered: LimitRaise, aggregator: Aggregator) -> None:
        kept = tell("limit_raise_offered", raise_id=offered.id)
        assert kept is not None and kept.state == "stopped" and not aggregator.received

    def test_goes_to_nobody_who_stopped_offers_and_reminders_still_do(
        self, offered: LimitRaise, aggregator: Aggregator
    ) -> None:
        self.agree(offered)
        preferences.stop(msisdn="254711000101", at=NOON, purposes=["offers"])
        tell("limit_raise_offered", raise_id=offered.id)
        assert not aggregator.received
        due = datetime(2026, 3, 30, 17, 30, tzinfo=NAIROBI)
        tell("repayment_reminder", due, loan_id=offered.earned_by_id, due_on="2026-04-01", days=2)
        assert len(aggregator.received) == 1


class TestRequests:
    def test_a_promised_call_is_told_each_time_that_it_moves(self, amina: Borrower, aggregator: Aggregator) -> None:
        case = help.call_back(msisdn=amina.msisdn, part=2, language="en", at=NOON)
        assert "on 2 Mar between 15:00 and 19:00" in said(tell("request_taken", case_id=case.id))
        help.call_back(msisdn=amina.msisdn, part=0, language="en", at=NOON)
        assert "on 3 Mar between 08:00 and 12:00" in said(tell("request_taken", case_id=case.id))
        assert len(aggregator.received) == 2

    def test_a_stranger_is_told_on_the_phone_that_asked(self, law: None, aggregator: Aggregator) -> None:
        case = help.call_back(msisdn="254722000999", part=2, language="sw", at=NOON)
        sent = tell("request_taken", case_id=case.id)
        assert sent is not None and (sent.msisdn, sent.borrower, sent.language) == ("254722000999", None, "sw")

    @pytest.mark.parametrize(
        ("outcome", "words", "elsewhere"),
        [
            ("put_right", "you were right, and we put it right. The fee is back.", False),
            ("no_fault", "no mistake", True),
        ],
    )
    def test_a_complaint_is_told_from_its_taking_to_its_answer(
        self, amina: Borrower, aggregator: Aggregator, admin_user: Any, outcome: str, words: str, elsewhere: bool
    ) -> None:
        case = complaints.complain(msisdn=amina.msisdn, topic="price", language="en", at=NOON)
        taken = said(tell("request_taken", case_id=case.id))
        assert case.reference in taken and "We answer by 1 Apr." in taken
        complaints.take_up(case_id=case.id, officer=admin_user, at=NOON)
        assert "looks into your complaint now" in said(tell("request_taken_up", case_id=case.id))
        complaints.answer(
            case_id=case.id, officer=admin_user, outcome=outcome, words="The fee is back.", resolution="x", at=NOON
        )
        answered = said(tell("request_answered", case_id=case.id))
        assert words in answered and ("dcps@centralbank.go.ke" in answered) == elsewhere
        assert tell("request_taken", case_id=case.id).text == taken  # type: ignore[union-attr]

    def test_a_corrected_name_is_told(self, amina: Borrower, aggregator: Aggregator, admin_user: Any) -> None:
        case = corrections.ask_correction(msisdn=amina.msisdn, field="other", value="", language="en", at=NOON)
        corrections.settle(case_id=case.id, officer=admin_user, put_right=True, resolution="x", at=NOON)
        assert "are corrected" in said(tell("request_answered", case_id=case.id))

    def test_a_copy_comes_in_three_messages(self, amina: Borrower, aggregator: Aggregator) -> None:
        data_copies.send_summary(borrower_id=amina.id, origin="ussd:1", at=NOON)
        for row in OutboxMessage.objects.filter(topic="data_copy"):
            tell("data_copy", **row.payload)
        texts = list(Sms.objects.filter(kind="data_copy").order_by("id").values_list("text", flat=True))
        assert [text[:14] for text in texts] == ["Your data 1/3:", "Your data 2/3:", "Your data 3/3:"]
        assert "ID ending 781" in texts[0] and "23456781" not in texts[0]

    def test_a_next_of_kin_is_asked_without_a_word_about_loans(
        self, amina: Borrower, aggregator: Aggregator
    ) -> None:
        kin = next_of_kin.name_kin(borrower_id=amina.id, name="Juma Ali", number="0733000111", at=NOON)
        text = said(tell("kin_asked", kin_id=kin.id))
        assert text.startswith("Amina names you") and "loan" not in text.lower()

    def test_an_agent_and_a_newcomer_are_told(
        self, amina: Borrower, aggregator: Aggregator, admin_user: Any
    ) -> None:
        asked = agents.ask_to_be_agent(borrower_id=amina.id, at=NOON)
        agents.decide(agent_id=asked.id, state="approved", officer=admin_user, reason="Met", at=NOON)
        assert "help others to register" in said(tell("agent_decided", agent_id=asked.id))
        made = agents.invite(
            agent_borrower_id=amina.id, msisdn="254722000999", full_name="Cheptoo K", national_id="23456783",
            origin="1", at=NOON,
        )  # fmt: skip
        assert made is not None
        sent = tell("newcomer_invited", invitation_id=made.id)
        assert sent is not None and sent.msisdn == "254722000999" and "Amina" not in sent.text
        agents.refuse(msisdn="254722000999", at=NOON)
        Sms.objects.all().delete()
        assert tell("newcomer_invited", invitation_id=made.id) is None


class TestTheDead:
    def test_nothing_is_asked_of_them_from_the_moment_that_it_is_said(
        self, aminas_loan: Loan, aggregator: Aggregator
    ) -> None:
        holds.hold(aminas_loan.borrower, Borrower.Hold.DEATH, NOON)
        due = datetime(2026, 3, 30, 17, 30, tzinfo=NAIROBI)
        tell("repayment_reminder", due, loan_id=aminas_loan.id, due_on="2026-04-01", days=2)
        assert not aggregator.received

    @pytest.mark.parametrize("hold", ["death", ""])
    def test_nothing_goes_to_their_own_phone(self, aminas_loan: Loan, aggregator: Aggregator, hold: str) -> None:
        state = Borrower.State.ACTIVE if hold else Borrower.State.DECEASED
        Borrower.objects.update(hold=hold, held_at=NOON if hold else None, state=state)
        sms = tell("loan_disbursed", loan_id=aminas_loan.id)
        assert sms is not None and sms.state == Sms.State.STOPPED and not aggregator.received

    def test_their_next_of_kin_is_told_that_nothing_is_asked_of_the_family(
        self, amina: Borrower, aggregator: Aggregator, admin_user: Any
    ) -> None:
        case = deaths.report(reporter="254733000111", deceased=amina.msisdn, language="en", at=NOON)
        deaths.confirm(case_id=case.id, officer=admin_user, resolution="Seen", at=NOON)
        sent = tell("request_answered", case_id=case.id)
        assert sent is not None and sent.msisdn == "254733000111" and "ask nothing of the family" in sent.text


class TestSavings:
    @pytest.fixture
    def pot(self, amina: Borrower) -> SavingsAccount:
        return saving.pot(amina, goal="School fees", at=NOON)

    @pytest.fixture
    def receipt(self, amina: Borrower, pot: SavingsAccount) -> Receipt:
        return factories.pay(deposits.paybill_account(pot, amina), 10_000, "SAV1")

    def test_a_deposit_is_thanked_for_and_says_when_it_counts(
        self, receipt: Receipt, aggregator: Aggregator
    ) -> None:
        sms = tell("deposit_received", receipt_id=receipt.id, nth=0)
        assert said(sms) == (
            "Received KES 100 for School fees, receipt SAV1. "
            "It counts as saved when Umoja Bank has it, in 1 or 2 days."
        )
        assert len(aggregator.received) == 1

    def test_a_deposit_that_was_taken_back_is_told(self, receipt: Receipt, aggregator: Aggregator) -> None:
        tell("deposit_received", receipt_id=receipt.id, nth=0)
        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="wrong number", at=NOON)
        sms = tell("repayment_undone", receipt_id=receipt.id, nth=0, borrower_id=receipt.borrower_id)
        assert "M-PESA took back your payment of KES 100" in said(sms)

    def test_a_deposit_that_the_holder_refused_is_kept_and_told(
        self, receipt: Receipt, aggregator: Aggregator
    ) -> None:
        savings_instructions.reject_instruction(reference="deposit:daraja:SAV1", at=NOON)
        assert tell("deposit_received", receipt_id=receipt.id, nth=0) is None
        assert "It is kept for you" in said(tell("deposit_kept", receipt_id=receipt.id, nth=0))

    @pytest.mark.parametrize(
        ("confirmed", "words"),
        [
            (True, "Umoja Bank sent you KES 40 from School fees. KES 60 stays saved."),
            (
                False,
                "Umoja Bank did not send KES 40 from School fees. The money is still saved. Dial *384*77# to ask",
            ),
        ],
    )
    def test_what_became_of_money_taken_out_is_told(
        self, pot: SavingsAccount, aggregator: Aggregator, confirmed: bool, words: str
    ) -> None:
        saving.deposit(pot, 10_000, NOON)
        asked = savings_instructions.instruct_withdrawal(
            account_id=pot.id, amount_cents=4_000, reference="w", at=NOON
        )
        if confirmed:
            savings_instructions.confirm_instruction(
                reference="w",
                amount_cents=4_000,
                partner_reference="UB",
                moved_at=NOON,
                value_on=NOON.date(),
                at=NOON,
            )
        else:
            savings_instructions.reject_instruction(reference="w", at=NOON)
        topic = "savings_paid_out" if confirmed else "savings_not_paid_out"
        assert words in said(tell(topic, instruction_id=asked.id))

    def test_a_prompt_that_failed_names_the_account_of_the_savings(
        self, amina: Borrower, pot: SavingsAccount, aggregator: Aggregator
    ) -> None:
        intent = deposit_services.request_deposit(
            borrower_id=amina.id, account_id=pot.id, amount_cents=10_000, origin="hop", at=NOON
        )
        PaymentIntent.objects.filter(id=intent.id).update(state="failed")
        sms = tell("repayment_not_made", intent_id=intent.id)
        assert f"account {deposits.paybill_account(pot, amina)}." in said(sms)
