"""Help, complaints, a refusal looked at again, and everything that people may do with what is kept about them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from lending import outbox
from lending.models import Agent, Application, Borrower, Case, Consent, Erasure, Invitation, Proposal
from lending.selectors.preferences import stopped
from lending.services import access, agents, complaints, corrections, proposals
from tests import factories
from tests.phone import Phone
from tests.ussd.test_sms import Aggregator, aggregator
from ussd import texting
from ussd.models import Session, Sms

__all__ = ["aggregator"]
PIN = factories.PIN
# More; in it My data and Help.
MY_DATA, HELP = ("5", "4"), ("5", "5")


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


def texts_come() -> None:
    """Let the workers send what is due."""
    outbox.drain(timezone.now(), queue="messages")


class TestHelp:
    def test_amina_is_called_when_it_suits_her(self, aminas_phone: Phone, aggregator: Aggregator) -> None:
        aminas_phone.dials("*384*77#").types(*HELP).sees("1 Call me").types("1").sees(
            "1 08:00-12:00", "3 15:00-19:00"
        )
        aminas_phone.types("2").ends_with("between 12:00 and 15:00", "Nobody asks for your PIN")
        aminas_phone.repeats().ends_with("between 12:00 and 15:00")
        case = Case.objects.get()
        assert case.kind == Case.Kind.CALL_BACK and case.reference in aminas_phone.text
        texts_come()
        assert case.reference in Sms.objects.get().text

    def test_a_stranger_finds_a_person_too(self, phone: Phone) -> None:
        phone.dials("*384*77#").types("1").types("3").sees("1 Call me", "2 I lost my phone").types("1", "1")
        phone.ends_with("An officer calls you")
        assert Case.objects.get().msisdn == phone.msisdn and not Borrower.objects.exists()


class TestComplaints:
    def test_amina_complains_asks_after_it_and_is_answered(
        self, aminas_phone: Phone, officer: User, aggregator: Aggregator
    ) -> None:
        aminas_phone.dials("*384*77#").types(*HELP, "2", "1").sees("4 How I was treated").types("4")
        case = Case.objects.get()
        aminas_phone.ends_with("We have your complaint", case.reference, "You have our answer by")
        aminas_phone.dials("*384*77#").types(*HELP, "2", "2").sees(f"{case.reference} How I was treated: answer by")
        said = {"words": "He is sorry and will call.", "resolution": "Spoke with both."}
        complaints.answer(case_id=case.id, officer=officer, outcome="put_right", at=timezone.now(), **said)
        aminas_phone.dials("*384*77#").types(*HELP, "2", "2").sees("put right")
        texts_come()
        assert "He is sorry and will call." in Sms.objects.latest("id").text

    def test_a_refusal_is_looked_at_by_a_person_once(
        self, aminas_phone: Phone, amina: Borrower, officer: User, fixed_scorer: Any
    ) -> None:
        now = timezone.now()
        application = factories.apply(amina, at=now)
        factories.decide(application, "decline", at=now)
        aminas_phone.dials("*384*77#").types(*HELP, "2", "3").sees("KES 500 was refused: Little money comes in")
        aminas_phone.types("1").ends_with(f"looks at your request {application.reference} again")
        assert Application.objects.get().state == Application.State.REFERRED
        factories.applications.review(
            application_id=application.id, officer=officer, approve=False, reason="x", code="low_inflow", at=now
        )
        aminas_phone.dials("*384*77#").types(*HELP, "2", "3").ends_with("No refusal of the last 14 days")


class TestMyData:
    def test_amina_sees_what_is_kept_and_who_looked(
        self, aminas_phone: Phone, amina: Borrower, officer: User
    ) -> None:
        access.record_look(borrower_id=amina.id, officer=officer, at=timezone.now())
        aminas_phone.dials("*384*77#").types(*MY_DATA, "1").sees("Name: Amina Wanjiru", "ID: ends with 781")
        aminas_phone.sees_no("23456781")
        while "98 More" in aminas_phone.text:
            aminas_phone.types("98")
        aminas_phone.types("1").sees("Staff, no open work: 1 x")

    def test_amina_has_her_name_put_right(
        self, aminas_phone: Phone, amina: Borrower, officer: User, aggregator: Aggregator
    ) -> None:
        aminas_phone.dials("*384*77#").types(*MY_DATA, "2", "1", "Amina Njeri").sees("Enter your Jirani PIN")
        aminas_phone.types(PIN).ends_with("An officer calls you about it")
        corrections.propose_correction(
            case_id=Case.objects.get().id, officer=officer, reason="Card seen", full_name="Amina Njeri",
            at=timezone.now(),
        )  # fmt: skip
        proposals.decide(
            proposal_id=Proposal.objects.get().id, checker=User.objects.create_user("kamau"), approve=True,
            at=timezone.now(),
        )  # fmt: skip
        texts_come()
        assert "your data at Jirani are corrected" in Sms.objects.latest("id").text

    def test_amina_has_a_copy_by_sms(self, aminas_phone: Phone, aggregator: Aggregator) -> None:
        aminas_phone.dials("*384*77#").types(*MY_DATA, "3", "1", PIN).ends_with("3 SMS are on their way")
        aminas_phone.repeats()
        texts_come()
        assert Sms.objects.filter(kind="data_copy").count() == 3

    def test_amina_takes_an_agreement_back_after_reading_what_follows(
        self, aminas_phone: Phone, amina: Borrower
    ) -> None:
        aminas_phone.dials("*384*77#").types(*MY_DATA, "4").sees("2 See my M-PESA: yes").types("2")
        aminas_phone.sees("we look no more", "1 Take it back").types("1", PIN).sees("2 See my M-PESA: no")
        assert not Consent.objects.get(borrower=amina, purpose="wallet", withdrawn_at=None).granted
        aminas_phone.types("2").sees("If you agree", "1 I agree").types("0")

    def test_nobody_changes_an_agreement_without_the_pin(self, aminas_phone: Phone, amina: Borrower) -> None:
        aminas_phone.dials("*384*77#").types(*MY_DATA, "4", "2", "1", "9753").sees("Wrong PIN, 2 tries left")
        assert Consent.objects.get(borrower=amina, purpose="wallet").granted

    def test_amina_is_forgotten(self, aminas_phone: Phone, amina: Borrower, books_balance: Any) -> None:
        aminas_phone.dials("*384*77#").types(*MY_DATA, "5").sees("closes for good", "goes today").types("1", PIN)
        aminas_phone.ends_with("In a few minutes it is gone")
        aminas_phone.repeats().ends_with("In a few minutes it is gone")
        outbox.drain(timezone.now() + timedelta(minutes=6), queue="messages")
        assert Erasure.objects.get().done_at is not None
        assert not Session.objects.exists() and not Borrower.objects.filter(msisdn=amina.msisdn).exists()
        books_balance()
        aminas_phone.dials("*384*77#").sees("choose a language")

    def test_amina_is_told_what_has_to_end_before(
        self, aminas_phone: Phone, amina: Borrower, fixed_scorer: Any
    ) -> None:
        factories.live_loan(amina, at=timezone.now())
        aminas_phone.dials("*384*77#").types(*MY_DATA, "5").ends_with("Nothing is erased yet: a loan is open.")

    def test_who_closed_the_account_is_told_until_when_it_is_kept(
        self, aminas_phone: Phone, amina: Borrower, fixed_scorer: Any
    ) -> None:
        factories.live_loan(amina, at=timezone.now())
        factories.pay(amina.msisdn, 53_000, at=timezone.now())
        aminas_phone.dials("*384*77#").types(*MY_DATA, "5").sees("The law keeps records of your loans until")
        aminas_phone.types("1", PIN)
        outbox.drain(timezone.now() + timedelta(minutes=6), queue="messages")
        aminas_phone.dials("*384*77#").ends_with("You closed this account. The law keeps its records until")


def test_amina_stops_offers_and_starts_them_again(aminas_phone: Phone, amina: Borrower) -> None:
    aminas_phone.dials("*384*77#").types("5", "2", "3").sees("2 Stop offers").types("2").sees("3 Messages")
    assert stopped(amina.msisdn) == ["offers"]
    aminas_phone.types("3").sees("2 Offers again").types("2").sees("3 Messages")
    assert stopped(amina.msisdn) == []


class TestLostPhones:
    @pytest.mark.parametrize(("national_id", "is_stopped"), [("23456781", True), ("23456782", False)])
    def test_amina_stops_hers_from_a_neighbours(
        self, client: Client, amina: Borrower, national_id: str, is_stopped: bool
    ) -> None:
        neighbour = Phone(client, "254722000999")
        neighbour.dials("*384*77#").types("1", "3", "2").sees("number of the lost phone").types("0711 000101")
        neighbour.types(national_id, "Amina").ends_with("If all was right, that number is stopped now")
        thief = Phone(client, amina.msisdn).dials("*384*77#")
        if is_stopped:
            thief.sees("This account rests until an officer has spoken with you", "1 Call me").sees_no("Loan")
        else:
            thief.sees("1 Loan")

    def test_a_dialogue_that_is_open_takes_no_pin_any_more(self, client: Client, amina: Borrower) -> None:
        thief = Phone(client, amina.msisdn).dials("*384*77#").types("1", "500", "5", "2").sees("PIN")
        neighbour = Phone(client, "254722000999").dials("*384*77#")
        neighbour.types("1", "3", "2", "0711000101", "23456781", "Amina")
        thief.types(PIN).sees("locked")
        assert not Application.objects.exists()

    def test_amina_forgot_her_pin(self, aminas_phone: Phone, aggregator: Aggregator) -> None:
        aminas_phone.dials("*384*77#").types("5", "2", "4").sees("national ID").types("23456781")
        aminas_phone.ends_with("An officer calls you by tomorrow")
        assert Case.objects.get().details == {"national ID": "right", "tries": 1}


class TestPeople:
    def test_a_next_of_kin_is_named_agrees_and_tells_a_death(
        self,
        client: Client,
        aminas_phone: Phone,
        amina: Borrower,
        aggregator: Aggregator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # Whoever is no customer is written to in contact hours; the story may be told at night.
        monkeypatch.setattr("ussd.notices.may_contact", lambda *_: True)
        aminas_phone.dials("*384*77#").types(*MY_DATA, "2", "3").sees("Whom may we believe").types("1", "Juma Ali")
        aminas_phone.types("0711000101").sees("your own number").types("0733000111", PIN).ends_with(
            "We ask Juma Ali"
        )
        texts_come()
        assert Sms.objects.get().msisdn == "254733000111"
        texting.take_incoming(
            gateway="at", message_id="1", msisdn="254733000111", sent_to="20384", text="Yes", at=timezone.now()
        )
        aminas_phone.dials("*384*77#").types(*MY_DATA, "2", "3").sees("Juma Ali agreed to speak for you")

        juma = Phone(client, "254733000111").dials("*384*77#").types("1", "3", "3").sees("We are sorry")
        juma.types("0711000101").ends_with("Thank you for telling us", "ask the family for nothing")
        amina.refresh_from_db()
        assert amina.hold == Borrower.Hold.DEATH
        aminas_phone.dials("*384*77#").sees("This account rests")

    def test_an_agent_helps_and_the_newcomer_chooses_the_pin_alone(
        self, client: Client, aminas_phone: Phone, amina: Borrower, officer: User, aggregator: Aggregator
    ) -> None:
        aminas_phone.dials("*384*77#").types(*HELP, "5").sees("An officer meets you first").types("1")
        aminas_phone.ends_with("The answer comes by SMS")
        aminas_phone.dials("*384*77#").types(*HELP, "5").ends_with("An officer will call you")
        agents.decide(
            agent_id=Agent.objects.get().id, state="approved", officer=officer, reason="Met", at=timezone.now()
        )
        aminas_phone.dials("*384*77#").types(*HELP, "5").sees("you invited 0, of whom 0 registered").types("1")
        aminas_phone.types("0722000999", "Cheptoo Koech", "23456783", PIN).ends_with("0722000999 gets an SMS now")
        texts_come()
        assert Sms.objects.filter(msisdn="254722000999").count() == 1

        cheptoo = Phone(client, "254722000999").dials("*384*77#").types("1", "1", "2", "2")
        cheptoo.sees("An agent typed: Cheptoo Koech, ID ******83. Is that you?").types("1")
        cheptoo.sees("Choose a PIN").types("7391", "7391").sees("1 Loan")
        assert Borrower.objects.get(msisdn="254722000999").full_name == "Cheptoo Koech"
        aminas_phone.dials("*384*77#").types(*HELP, "5").sees("you invited 1, of whom 1 registered")

    def test_a_newcomer_who_refuses_leaves_nothing(self, client: Client, amina: Borrower, officer: User) -> None:
        asked = agents.ask_to_be_agent(borrower_id=amina.id, at=timezone.now())
        agents.decide(agent_id=asked.id, state="approved", officer=officer, reason="Met", at=timezone.now())
        agents.invite(
            agent_borrower_id=amina.id, msisdn="254722000999", full_name="Cheptoo K", national_id="23456783",
            origin="1", at=timezone.now(),
        )  # fmt: skip
        Phone(client, "254722000999").dials("*384*77#").types("1", "2").ends_with("We keep nothing about you")
        assert Invitation.objects.get().national_id == ""
