"""The conversation by SMS: threads, costs, codes, one's own book; nothing moves by a word alone."""

from datetime import timedelta

import pytest

from lending.models import BookEntry, Borrower, Loan, PaymentIntent
from tests import factories
from tests.lending import saving
from ussd import texting, threads
from ussd.models import IncomingSms, Sms, SmsThread

pytestmark = pytest.mark.django_db
NOON = factories.NOON
MINUTE = timedelta(minutes=1)


class Texter:
    """Amina's phone: what she writes, and what comes back."""

    def __init__(self, msisdn: str = "254711000101") -> None:
        self.msisdn, self.at, self.count = msisdn, NOON, 0

    def says(self, text: str, *, after: timedelta = MINUTE, message_id: str = "") -> str:
        self.count += 1
        self.at += after
        message_id = message_id or f"m{self.count}"
        texting.take_incoming(
            gateway="africastalking", message_id=message_id, msisdn=self.msisdn, sent_to="20384", text=text,
            at=self.at,
        )  # fmt: skip
        answer = IncomingSms.objects.get(message_id=message_id).answer
        assert answer is not None
        return answer.text


@pytest.fixture
def texter(amina: Borrower) -> Texter:
    return Texter()


def code_in(text: str) -> str:
    return text.split("send us ")[1][:4]


class TestAReview:
    def test_brings_the_customer_s_words_to_the_officer(
        self, texter: Texter, amina: Borrower, fixed_scorer
    ) -> None:  # type: ignore[no-untyped-def]
        application = factories.apply(amina)
        factories.decide(application, "decline")
        assert application.reference in texter.says("REVIEW")
        application.refresh_from_db()
        assert (application.state, application.appeal_words) == ("referred", "")
        assert application.reference in texter.says("Review, I was in hospital in May. My PIN is 2580")
        application.refresh_from_db()
        assert application.appeal_words == "Review, I was in hospital in May. My PIN is ****"


class TestALoan:
    def test_asks_how_much_and_then_says_item_by_item_what_it_costs(self, texter: Texter) -> None:
        assert texter.says("LOAN") == (
            "How much do you want, from KES 200 to KES 1,000? Send the amount, like 500."
        )
        assert texter.says("five hundred") == (
            "You get KES 500. Fee KES 25, tax KES 5. You repay KES 530 by 1 Apr. "
            "To take it dial *384*77*1*500# and enter your PIN there."
        )
        assert not Loan.objects.exists() and not PaymentIntent.objects.exists()

    def test_of_too_much_is_asked_for_again(self, texter: Texter) -> None:
        assert "to KES 1,000?" in texter.says("I want to borrow 5,000")
        assert "You repay KES 212" in texter.says("200")

    def test_is_not_asked_for_twice(self, texter: Texter, aminas_loan: Loan) -> None:
        assert "You owe KES 530" in texter.says("loan 500")

    def test_an_amount_out_of_nowhere_means_nothing(self, texter: Texter) -> None:
        assert "dial *384*77# for loans" in texter.says("500")

    def test_a_question_is_forgotten_after_a_while(self, texter: Texter) -> None:
        texter.says("LOAN")
        assert "dial *384*77# for loans" in texter.says("500", after=threads.LASTS + MINUTE)

    def test_in_kiswahili(self, texter: Texter) -> None:
        Borrower.objects.update(language="sw")
        assert "Unapata KES 500. Ada KES 25, kodi KES 5." in texter.says("Nataka mkopo wa mia tano")


@pytest.mark.usefixtures("aminas_loan")
class TestPaying:
    def test_takes_a_code_that_came_to_the_number_and_then_brings_the_prompt(self, texter: Texter) -> None:
        asked = texter.says("pay 200")
        assert asked.startswith("To repay KES 200, send us ")
        assert not PaymentIntent.objects.filter(purpose="collect").exists()
        assert texter.says(code_in(asked)).startswith("An M-PESA prompt for KES 200 comes now.")
        assert PaymentIntent.objects.get(purpose="collect").amount_cents == 20_000

    def test_without_an_amount_asks_for_one(self, texter: Texter) -> None:
        assert texter.says("lipa").startswith("You owe KES 530 in all.")
        assert texter.says("100").startswith("To repay KES 100")

    def test_of_more_than_is_owed_asks_again(self, texter: Texter) -> None:
        assert texter.says("pay 5000").startswith("You owe KES 530 in all.")

    def test_a_wrong_code_brings_nothing_and_the_third_ends_it(self, texter: Texter) -> None:
        right = code_in(texter.says("pay 200"))
        wrong = "0000" if right != "0000" else "1111"
        for _ in range(threads.MOST_TRIES):
            assert texter.says(wrong).startswith("That is not the code.")
        assert "for loans" in texter.says(right), "it was guessed too often"
        assert not PaymentIntent.objects.filter(purpose="collect").exists()

    def test_a_code_of_another_number_is_not_taken(self, texter: Texter, brian: Borrower) -> None:
        code = code_in(texter.says("pay 200"))
        assert "for loans" in Texter(brian.msisdn).says(code, message_id="b1")

    def test_a_code_counts_once(self, texter: Texter) -> None:
        code = code_in(texter.says("pay 200"))
        texter.says(code)
        texter.says(code)
        assert PaymentIntent.objects.filter(purpose="collect").count() == 1

    def test_a_code_is_kept_nowhere_but_in_the_message(self, texter: Texter) -> None:
        code = code_in(texter.says("pay 200"))
        texter.says(code)
        assert not IncomingSms.objects.filter(text__contains=code).exists()
        assert not SmsThread.objects.exclude(code_mac="").filter(code_mac__contains=code).exists()


class TestSaving:
    def test_who_has_no_goal_is_told_how_to_open_one(self, texter: Texter) -> None:
        assert texter.says("SAVE 100").startswith("To open a savings goal, dial *384*77#")

    def test_takes_a_code_and_then_brings_the_prompt(self, texter: Texter, amina: Borrower) -> None:
        saving.pot(amina, goal="School", at=NOON - 30 * MINUTE)
        assert texter.says("weka").startswith("School: KES 0. How much do you put in?")
        asked = texter.says("mia moja")
        assert asked.startswith("To save KES 100, send us ")
        assert texter.says(code_in(asked)).startswith("An M-PESA prompt for KES 100 comes now.")
        assert PaymentIntent.objects.get().amount_cents == 10_000


class TestTheBook:
    def test_a_line_is_written_once(self, texter: Texter) -> None:
        assert texter.says("SALE 350") == "In your book: sold KES 350."
        assert texter.says("exp 200 fuel") == "In your book: spent KES 200."
        texter.says("exp 200 fuel", message_id="m2")
        kept = [(one.kind, one.amount_cents, one.note) for one in BookEntry.objects.order_by("id")]
        assert kept == [("sale", 35_000, ""), ("expense", 20_000, "fuel")]

    def test_without_an_amount_says_how(self, texter: Texter) -> None:
        assert texter.says("sale").startswith("Write the amount, too")


class TestTheSameTextAgain:
    def test_within_seconds_is_answered_once(self, texter: Texter) -> None:
        texter.says("SALE 350")
        again = texter.says("SALE  350", after=timedelta(seconds=5))
        assert again == "In your book: sold KES 350." and BookEntry.objects.count() == 1
        assert Sms.objects.filter(kind="answer_sale").count() == 1

    def test_a_minute_later_is_another_one(self, texter: Texter) -> None:
        texter.says("SALE 350")
        texter.says("SALE 350")
        assert BookEntry.objects.count() == 2

    def test_of_somebody_else_is_another_one(self, texter: Texter, brian: Borrower) -> None:
        texter.says("BAL")
        assert Texter(brian.msisdn).says("BAL", message_id="other")
        assert Sms.objects.filter(kind="answer_balance").count() == 2


def test_the_language_follows_its_own_name(texter: Texter, amina: Borrower) -> None:
    texter.says("Kiswahili")
    amina.refresh_from_db()
    assert amina.language == "sw"


def test_every_answer_is_one_or_two_parts(texter: Texter, aminas_loan: Loan) -> None:
    for text in ("BAL", "LIMIT", "STATEMENT", "PAY", "HELP", "what", "YES", "REVIEW", "LOAN"):
        texter.says(text)
    assert Sms.objects.filter(kind__startswith="answer_", segments__gt=2).count() == 0


def test_a_stranger_is_told_how_to_begin(law: None) -> None:
    for text in ("BAL", "PAY 100", "SAVE 100", "SALE 5"):
        assert Texter("254733000999").says(text).startswith("To borrow, dial")


def test_codes_are_not_foreseen() -> None:
    assert len({threads.new_code() for _ in range(200)}) > 150
