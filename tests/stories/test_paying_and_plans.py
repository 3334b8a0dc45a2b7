"""Paying off, paying for others and from savings, and what to do when the money does not come in time."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from lending import closing
from lending.models import (
    Borrower,
    Case,
    LateReason,
    Loan,
    LoanEvent,
    OutboxMessage,
    PaymentIntent,
    Promise,
    SavingsInstruction,
)
from lending.rules import calendar
from lending.selectors import contracts
from lending.services import life
from tests import factories
from tests.factories import PIN
from tests.lending import saving
from tests.lending.lending import happen, lend, product
from tests.phone import Phone
from ussd import notices
from ussd.models import Session

DAY = timedelta(days=1)
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "unit": "week"},
    "interest": {"rate": "0.01", "per": "period"},
    "skips": 1,
    "cooling_off_days": 1,
}


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


@pytest.fixture
def brians_phone(client: Client, brian: Borrower) -> Phone:
    return Phone(client, brian.msisdn)


def owing(borrower: Borrower, days_ago: int = 0) -> Loan:
    """Let a borrower owe KES 530 since some days ago, for 30 days."""
    return factories.live_loan(borrower, at=timezone.now() - days_ago * DAY)


def told(topic: str) -> str:
    """Return what the newest message of a topic says."""
    owed = OutboxMessage.objects.filter(topic=topic).latest("id")
    notice = notices.NOTICES[topic](owed.payload, timezone.now())
    assert notice is not None
    return notice.say()


def dialled(client: Client, loan: Loan) -> Phone:
    return Phone(client, loan.borrower.msisdn).dials("*384*77#")


def day(in_days: int) -> str:
    """Return a day as the phone says it in English."""
    on = calendar.business_date(timezone.now(), "Africa/Nairobi") + in_days * DAY
    return f"{on:%-d %b}"


@pytest.mark.usefixtures("fixed_scorer")
class TestPayingForSomebodyElse:
    def test_brian_pays_for_amina_and_learns_nothing_of_what_she_owes(
        self, brians_phone: Phone, amina: Borrower, brian: Borrower
    ) -> None:
        owing(amina)
        brians_phone.dials("*384*77#").types("2").sees("You have no loan to repay", "1 Pay for someone else")
        brians_phone.types("1", "0711 000101").sees("You pay for Am*** W.").sees_no("530", "owe KES")
        brians_phone.types("200").ends_with("M-PESA prompt for KES 200, for Am*** W.", "Both get an SMS")
        brians_phone.repeats()
        intent = PaymentIntent.objects.get(purpose="collect")
        assert (intent.borrower, intent.payer, intent.msisdn) == (amina, brian, brian.msisdn)

        attempt = intent.attempts.create(number=1, provider="daraja", state="succeeded", created_at=timezone.now())
        factories.pay(amina.msisdn, 20_000, party=brian.msisdn, attempt=attempt, at=timezone.now())
        assert told("paid_for_another") == "You paid KES 200 for Am*** W., receipt SFC7XK2. Thank you."
        assert "You owe KES 330 by" in told("repayment_received")

    def test_a_number_that_is_nobodys_reads_like_one_that_owes_nothing(
        self, aminas_phone: Phone, brian: Borrower
    ) -> None:
        for number in ("0711000102", "0711999999"):
            aminas_phone.dials("*384*77#").types("2", "1", number).sees("We can take no payment for this number")
        for _ in range(3):
            aminas_phone.dials("*384*77#").types("2", "1", "0711999999")
        aminas_phone.dials("*384*77#").types("2", "1", "0711999999").ends_with(
            "many numbers today", "paybill 600200"
        )


@pytest.mark.usefixtures("fixed_scorer")
class TestPayingFromSavings:
    def test_amina_lets_her_savings_pay_with_her_pin(
        self, aminas_phone: Phone, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        owing(amina)
        saving.deposit(saving.pot(amina, goal="Cow"), 30_050)
        aminas_phone.dials("*384*77#").types("2").sees("4 From savings").types("4").sees("1 Cow KES 300")
        aminas_phone.types("1").sees("At most KES 300").types("400").sees("That is too much").types("200")
        aminas_phone.sees("KES 200 goes from your savings to your loan", "costs nothing", "PIN")
        aminas_phone.types("9753").sees("2 tries left").types(PIN).ends_with("on its way to your loan")
        aminas_phone.repeats().ends_with("on its way to your loan")
        assert SavingsInstruction.objects.get().amount_cents == 20_000

        aminas_phone.dials("*384*77#").types("2", "4", "1", "100", PIN).ends_with("on its way to your loan already")
        books_balance()


class TestPayingAllToday:
    def test_saves_what_the_plan_would_still_cost(self, client: Client, law: None) -> None:
        loan = lend(product(WEEKLY), 50_000, timezone.now())
        phone = dialled(client, loan).sees(f"KES 130 due {day(7)}; in all KES 520 by {day(28)}")
        phone.types("2").sees("1 Pay all", "2 Pay KES 130").types("1")
        phone.sees("By your plan you owe KES 520", "Paid all today: KES 500", "You save KES 20").types("1")
        phone.ends_with("M-PESA prompt for KES 500")

    def test_or_only_what_is_due_next(self, client: Client, law: None) -> None:
        loan = lend(product(WEEKLY), 50_000, timezone.now())
        dialled(client, loan).types("2", "2").ends_with("M-PESA prompt for KES 130")

    def test_each_way_keeps_its_number_when_another_is_not_there(self, client: Client, law: None) -> None:
        """Whoever dials by heart pays the last part as the first."""
        loan = lend(product(WEEKLY), 50_000, timezone.now())
        phone = dialled(client, loan).types("2")
        while "5 For someone else" not in phone.text:
            phone.types("98")
        phone.types("3").sees("How much do you pay now?")
        happen(loan, "skip", timezone.now())
        factories.pay(loan.reference, 39_000, at=timezone.now())
        phone = dialled(client, loan).types("2").sees("1 Pay all", "3 Another amount", "5 For someone else")
        phone.sees_no("2 Pay").types("2").sees("Not an option.").types("3").sees("How much do you pay now?")

    def test_a_dialogue_that_began_before_the_numbers_stayed_ends_with_its_own(
        self, client: Client, aminas_loan: Loan
    ) -> None:
        phone = Phone(client, aminas_loan.borrower.msisdn).dials("*384*77#")
        Session.objects.update(flow_version="2")
        phone.types("2").sees("1 Pay all", "2 Another amount", "3 For someone else").types("2").sees("How much")


@pytest.mark.usefixtures("fixed_scorer")
class TestWhoOwesElsewhere:
    def test_sees_and_pays_a_loan_on_another_number(self, client: Client, amina: Borrower) -> None:
        owing(amina)
        other = factories.register("Amina Wanjiru", "254711000199", "23456781")
        phone = (
            Phone(client, other.msisdn)
            .dials("*384*77#")
            .sees("You owe KES 530 by")
            .types("1")
            .sees("You owe KES 530")
        )
        phone.types("2", "1").ends_with("M-PESA prompt for KES 530")

    def test_sees_and_pays_a_loan_that_was_written_off(self, aminas_phone: Phone, amina: Borrower) -> None:
        factories.write_off(owing(amina, 100), at=timezone.now())
        aminas_phone.dials("*384*77#").sees("You owe KES 530").types("1").sees("You owe KES 530").types("2", "1")
        aminas_phone.ends_with("M-PESA prompt for KES 530")


@pytest.mark.usefixtures("fixed_scorer")
class TestWhyBrianIsLate:
    """He is a day late; the message of that day says what to dial."""

    @pytest.fixture
    def asked(self, brians_phone: Phone, brian: Borrower) -> Phone:
        loan = owing(brian, 31)
        due = {"loan_id": loan.id, "due_on": loan.due_on.isoformat() if loan.due_on else "", "days": 1}
        notice = notices.NOTICES["repayment_reminder"](due, timezone.now())
        assert notice is not None
        dial = re.search(r"dial (\S+#)", notice.say())
        assert dial is not None
        return brians_phone.dials(dial[1]).sees("What happened?", "1 I forgot", "2 A customer has not paid me")

    def reason(self) -> str:
        return LateReason.objects.get().reason

    def test_he_forgot_and_comes_to_the_ways_to_pay(self, asked: Phone) -> None:
        asked.types("1").sees("Pay all")
        assert self.reason() == "forgot"

    @pytest.mark.parametrize(
        ("key", "reason"), [("2", "not_paid"), ("3", "sick"), ("4", "cannot"), ("6", "lost_phone")]
    )
    def test_a_hardship_leads_to_what_his_loan_grants(
        self, asked: Phone, key: str, reason: str, client: Client
    ) -> None:
        asked.types(key).sees("Thank you for telling us", "1 Pay a part", "2 Promise another day")
        asked.repeats().sees("3 More time for a fee", "4 Call me").sees_no("Skip")
        assert self.reason() == reason
        asked.types("2").sees("How much can you pay within 14 days?")
        officer = get_user_model().objects.create_superuser("wambui", password="x" * 12)
        client.force_login(officer)
        page = client.get(f"/admin/lending/loan/{LateReason.objects.get().loan_id}/change/").content.decode()
        assert "Why it is late" in page and LateReason.objects.get().get_reason_display() in page

    def test_something_is_wrong_and_nobody_asks_for_money_meanwhile(self, asked: Phone) -> None:
        asked.types("5").ends_with("An officer looks at your loan", "no reminders")
        assert Case.objects.get(kind="dispute").borrower == LateReason.objects.get().borrower
        loan = LateReason.objects.get().loan
        due = {"loan_id": loan.id, "due_on": loan.due_on.isoformat() if loan.due_on else "", "days": 1}
        assert notices.NOTICES["repayment_reminder"](due, timezone.now()) is None

    def test_who_is_not_late_is_not_asked(self, aminas_phone: Phone, amina: Borrower) -> None:
        owing(amina)
        aminas_phone.dials("*384*77*1*6#").sees("Not an option.").sees_no("Why I am late")

    def test_a_loan_that_may_be_skipped_offers_it(self, client: Client, law: None) -> None:
        loan = lend(product(WEEKLY), 50_000, timezone.now() - 9 * DAY)
        Phone(client, loan.borrower.msisdn).dials("*384*77*1*6#").types("4").sees("3 Skip one payment").types(
            "3"
        ).sees("Skip one payment: no fee")


@pytest.mark.usefixtures("fixed_scorer")
class TestAPromise:
    def test_of_who_is_late_rests_the_reminders_and_is_confirmed(
        self, brians_phone: Phone, brian: Borrower, books_balance: Callable[[], None]
    ) -> None:
        loan = owing(brian, 33)
        brians_phone.dials("*384*77#").sees("You owe KES 530; it was due").types("1").sees("3 days late")
        brians_phone.types("4").sees("How much can you pay within 14 days?").types("600").sees("You owe less")
        brians_phone.types("200").sees("No fee", f"1 {day(1)}", f"4 {day(14)}").types("2")
        brians_phone.sees(f"You promised KES 200 by {day(3)}", "No reminders until then")
        assert f"You promised KES 200 by {day(3)}" in told("promise_made")
        reminder = {"loan_id": loan.id, "due_on": loan.due_on.isoformat() if loan.due_on else "", "days": -3}
        assert notices.NOTICES["repayment_reminder"](reminder, timezone.now()) is None
        assert notices.NOTICES["repayment_reminder"](reminder, timezone.now() + 4 * DAY) is not None

        brians_phone.dials("*384*77#").types("1", "4").sees("You promised KES 200")
        promise = Promise.objects.get()
        at = timezone.now() + 4 * DAY
        closing.close_business(promise.promised_on, at)
        promise.refresh_from_db()
        assert promise.state == "broken" and Case.objects.get().kind == "promise_broken"
        books_balance()

    def test_is_nothing_for_who_is_not_late(self, aminas_phone: Phone, amina: Borrower) -> None:
        owing(amina)
        aminas_phone.dials("*384*77#").types("1").sees_no("Promise")

    def test_of_who_broke_two_is_a_talk(self, brians_phone: Phone, brian: Borrower) -> None:
        loan = owing(brian, 40)
        for number in range(2):
            Promise.objects.create(
                loan=loan, borrower=brian, origin=f"{number}", amount_cents=100, promised_on="2026-01-01",
                channel="phone", made_at=timezone.now(), state="broken", judged_at=timezone.now(),
            )  # fmt: skip
        brians_phone.dials("*384*77#").types("1", "4").sees("an officer will call you", "1 Pay a part")


@pytest.mark.usefixtures("fixed_scorer")
class TestMoreTime:
    def test_amina_extends_after_she_saw_the_fee_and_the_new_day(
        self, aminas_phone: Phone, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        loan = owing(amina, 10)
        aminas_phone.dials("*384*77#").types("1", "4").sees("1 More time for a fee", "2 Ask for another date")
        aminas_phone.types("1").sees("Fee KES 10, tax KES 2, due today", f"Last day {day(34)}, not {day(20)}")
        aminas_phone.sees("You owe KES 542 in all", "0 Cancel").types("1").sees("PIN").types(PIN)
        aminas_phone.sees(f"Done. KES 12 due {day(0)}; in all KES 542 by {day(34)}")
        aminas_phone.repeats().sees("Done.")
        loan.refresh_from_db()
        assert loan.outstanding_cents == 54_200
        assert f"Your loan {loan.reference} has more time. KES 12 due" in told("loan_changed")
        # Once: the product gives no second one.
        aminas_phone.dials("*384*77#").types("1")
        aminas_phone.types("5" if "5 More time" in aminas_phone.text else "4").sees_no("More time for a fee")
        books_balance()

    @pytest.mark.parametrize(("keys", "said"), [("1", "You owe KES 441 in all"), ("2", "You give back KES 400")])
    def test_what_has_changed_since_it_was_shown_is_shown_anew(
        self, aminas_phone: Phone, amina: Borrower, keys: str, said: str
    ) -> None:
        loan = owing(amina)
        aminas_phone.dials("*384*77#").types("1", "4", keys, "1").sees("PIN")
        factories.pay(loan.reference, 10_000, at=timezone.now())
        aminas_phone.types(PIN).sees(said, "1 Accept")
        assert not LoanEvent.objects.filter(kind__in=("extend", "cancel")).exists()
        aminas_phone.types("1", PIN).sees("Done.")
        assert LoanEvent.objects.filter(kind__in=("extend", "cancel")).count() == 1

    @pytest.mark.parametrize("kind", ["extend", "cancel"])
    def test_that_is_paid_while_it_is_looked_at_is_no_change_any_more(
        self, aminas_phone: Phone, amina: Borrower, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loan was read before the payment, what was paid is read after it."""
        loan = owing(amina)
        aminas_phone.dials("*384*77#").types("1", "4")
        read = contracts.facts_of

        def pays_first(events: Any) -> Any:
            factories.pay(loan.reference, 53_000, at=timezone.now())
            return read(life.events_of(loan))

        monkeypatch.setattr(contracts, "facts_of", pays_first)
        aminas_phone.types({"extend": "1", "cancel": "2"}[kind]).sees("Nothing was changed")

    def test_amina_gives_the_loan_back_on_the_day_after(self, aminas_phone: Phone, amina: Borrower) -> None:
        loan = owing(amina)
        aminas_phone.dials("*384*77#").types("1", "4").sees("2 Give the loan back").types("2")
        aminas_phone.sees("You give back KES 500, today", "No fee: you owe KES 30 less").types("1", PIN)
        aminas_phone.sees("Done. You owe KES 500 by").types("1", "1").ends_with("M-PESA prompt for KES 500")
        factories.pay(loan.reference, 50_000, at=timezone.now())
        loan.refresh_from_db()
        assert loan.state == "cancelled"

    def test_a_payment_of_a_weekly_plan_can_be_skipped_once(self, client: Client, law: None) -> None:
        loan = lend(product(WEEKLY), 50_000, timezone.now() - 3 * DAY)
        phone = dialled(client, loan).types("1", "4").sees("1 Skip the next payment").types("1")
        phone.sees("Skip one payment: no fee", f"Next KES 130 on {day(11)}", "You owe KES 520 in all").types(
            "1", PIN
        )
        phone.sees(f"Done. KES 130 due {day(11)}; in all KES 520 by {day(32)}")
        assert LoanEvent.objects.filter(loan=loan, kind="skip").count() == 1

    def test_another_date_is_a_wish_for_officers(self, aminas_phone: Phone, amina: Borrower) -> None:
        owing(amina, 10)
        aminas_phone.dials("*384*77#").types("1", "4", "2").sees("An officer decides", f"2 {day(14)}").types("2")
        aminas_phone.ends_with(f"We have asked an officer about {day(14)}", "your dates stay")
        assert Case.objects.get().kind == "plan_wish"
        assert "An officer decides and tells you" in told("plan_wish")

    def test_nothing_happens_without_the_pin(self, aminas_phone: Phone, amina: Borrower) -> None:
        owing(amina, 10)
        aminas_phone.dials("*384*77*1*4*1*1*2580#").sees("Fee KES 10")  # a shortcut stops at the costs
        aminas_phone.types("1", "0").sees("Fee KES 10")
        assert not LoanEvent.objects.filter(kind="extend").exists()


@pytest.mark.usefixtures("fixed_scorer")
class TestLooking:
    def test_did_it_go_through_tells_of_a_prompt_that_took_nothing(
        self, aminas_phone: Phone, amina: Borrower
    ) -> None:
        owing(amina)
        aminas_phone.dials("*384*77#").types("2", "3", "100").ends_with("KES 100")
        aminas_phone.dials("*384*77#").types("1", "3").sees("asked for KES 100: no answer yet", "sent KES 500")
        PaymentIntent.objects.filter(purpose="collect").update(state="failed")
        aminas_phone.dials("*384*77#").types("5", "3").sees("1 Did it go through?").types("1")
        aminas_phone.sees("asked for KES 100: nothing was taken")

    def test_the_limit_says_what_moved_it_and_what_moves_it_next(
        self, aminas_phone: Phone, amina: Borrower
    ) -> None:
        owing(amina)
        factories.pay(amina.msisdn, 53_000, at=timezone.now())
        aminas_phone.dials("*384*77#").types("5", "2", "2").sees("Your limit is KES 1,500", "It went up on")
        aminas_phone.sees("Next loan repaid on time: KES 2,000", "1 Ask for less")
