"""Forgetting somebody: nothing that says who it was is left in any table, and the books still hold."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from lending import outbox
from lending.admin import asked
from lending.models import AuditEvent, Borrower, Case, Consent, Erasure, Loan, ProviderEvent, WalletMovement
from lending.selectors import erasing as selectors
from lending.selectors import personal_data
from lending.selectors.preferences import stopped
from lending.services import (
    access,
    applications,
    business,
    corrections,
    deaths,
    erasing,
    help,
    lost_phones,
    next_of_kin,
    preferences,
    proposals,
)
from tests import factories
from tests.factories import NOON
from tests.lending import saving
from ussd import texting, threads
from ussd.models import Session, SmsThread

KIN = "254733000111"


def rows_with(*secrets: str) -> list[str]:
    """Return every row of every table that holds one of these texts."""
    found = []
    with connection.cursor() as cursor:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        for table in tables:
            cursor.execute(f'SELECT row::text FROM "{table}" AS row')
            found += [f"{table}: {text}" for (text,) in cursor.fetchall() if any(part in text for part in secrets)]
    return found


def traces_of(borrower: Borrower) -> tuple[str, ...]:
    local = "0" + borrower.msisdn[3:]
    return (
        borrower.msisdn, local, borrower.msisdn_sha256, borrower.national_id, borrower.identity_index,
        *borrower.full_name.split(), KIN,
    )  # fmt: skip


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


def live(borrower: Borrower, officer: User) -> None:
    """Let a customer leave traces wherever they can."""
    said = {"language": "en", "at": NOON}
    WalletMovement.objects.create(borrower=borrower, kind="received", amount_cents=500, moved_at=NOON)
    next_of_kin.name_kin(borrower_id=borrower.id, name="Otieno Amina", number=KIN, at=NOON)
    help.ask_for_person(msisdn=borrower.msisdn, said="I am Amina, HELP", **said)
    wish = corrections.ask_correction(msisdn=borrower.msisdn, field="full_name", value="Amina Njeri", **said)
    proposal = corrections.propose_correction(
        case_id=wish.id, officer=officer, reason="She showed her card", full_name="Amina Njeri", at=NOON
    )
    checker = User.objects.create_user("kamau")
    proposals.decide(proposal_id=proposal.id, checker=checker, approve=True, remark="So it is", at=NOON)
    access.record_look(borrower_id=borrower.id, officer=officer, at=NOON)
    texting.take_incoming(
        gateway="at", message_id="1", msisdn=borrower.msisdn, sent_to="20384", text="STOP", at=NOON
    )
    book = {"borrower_id": borrower.id, "at": NOON}
    business.write(
        kind="credit_given", amount_cents=500, origin="b1", customer=borrower.msisdn, note="Amina", **book
    )
    business.undo_last(origin="b2", **book)
    threads.ask(borrower.msisdn, SmsThread.Awaiting.LOAN_AMOUNT, NOON)
    Session.objects.create(
        gateway="at", gateway_session="s1", msisdn=borrower.msisdn, service_code="*384*77#", flow_version="1",
        screen="home", language="en", answers="Amina", began_at=NOON, last_hop_at=NOON,
    )  # fmt: skip


class TestSomebodyWhoNeverBorrowed:
    def test_is_forgotten_at_once(self, amina: Borrower, officer: User, books_balance: Any) -> None:
        live(amina, officer)
        amina.refresh_from_db()
        traces = (*traces_of(amina), "Wanjiru")
        assert len(rows_with(*traces)) > 5
        done = erasing.erase(borrower_id=amina.id, at=NOON)
        assert rows_with(*traces) == []
        assert (done.kept_until, done.done_at) == (None, NOON)
        assert done.counts["wallet movements"] == 1 and done.counts["messages received"] == 1
        books_balance()

    def test_is_a_stranger_afterwards_whose_stop_still_holds(self, amina: Borrower) -> None:
        preferences.stop(msisdn="254711000101", at=NOON)
        erasing.erase(borrower_id=amina.id, at=NOON)
        again = factories.register()
        assert again.id != amina.id and not personal_data.held(again).loans
        assert stopped("254711000101") == ["reminders", "offers", "tips"]

    def test_repeats_safely(self, amina: Borrower) -> None:
        assert erasing.erase(borrower_id=amina.id, at=NOON) == erasing.erase(borrower_id=amina.id, at=NOON)


class TestSomebodyWhoReportedSomethingOfOthers:
    """Amina tells of her neighbour, who is no customer of hers to forget."""

    BRIAN = "254711000102"

    @pytest.fixture
    def death(self, amina: Borrower) -> Case:
        factories.register("Brian Otieno", self.BRIAN, "23456782")
        return deaths.report(reporter=amina.msisdn, deceased=self.BRIAN, language="en", at=NOON)

    def test_is_forgotten_and_an_officer_still_knows_whom_it_is_about(
        self, amina: Borrower, death: Case, officer: User
    ) -> None:
        traces = traces_of(amina)
        erasing.erase(borrower_id=amina.id, at=NOON)
        assert rows_with(*traces) == []
        deaths.confirm(case_id=death.id, officer=officer, resolution="Seen the paper", at=NOON)
        assert Borrower.objects.get(msisdn=self.BRIAN).state == Borrower.State.DECEASED

    def test_a_lost_phone_keeps_its_number(self, amina: Borrower) -> None:
        case = lost_phones.report(
            reporter=amina.msisdn, lost=self.BRIAN, national_id="1", first_name="B", language="en", at=NOON
        )
        erasing.erase(borrower_id=amina.id, at=NOON)
        case.refresh_from_db()
        assert (case.msisdn, case.details["lost number"]) == ("", self.BRIAN)

    def test_a_lost_phone_whose_number_is_forgotten_can_be_reported_again(self, amina: Borrower) -> None:
        brian = factories.register("Brian Otieno", self.BRIAN, "23456782")
        said = {"lost": self.BRIAN, "national_id": "1", "first_name": "B", "language": "en", "at": NOON}
        first = lost_phones.report(reporter=amina.msisdn, **said)
        erasing.erase(borrower_id=brian.id, at=NOON)
        assert lost_phones.report(reporter=amina.msisdn, **said) == first

    def test_what_is_settled_says_nothing_any_more(self, amina: Borrower, death: Case, officer: User) -> None:
        deaths.refuse(case_id=death.id, officer=officer, resolution="Spoke with Brian", at=NOON)
        erasing.erase(borrower_id=amina.id, at=NOON)
        death.refresh_from_db()
        assert (death.details, asked.named_customer(death)) == ({}, None)

    def test_a_report_about_who_is_forgotten_can_only_be_refused(self, death: Case, officer: User) -> None:
        erasing.erase(borrower_id=Borrower.objects.get(msisdn=self.BRIAN).id, at=NOON)
        act = {"case_id": death.id, "officer": officer, "resolution": "Asked to be forgotten", "at": NOON}
        with pytest.raises(ValueError, match="nobody is registered"):
            deaths.confirm(**act)
        assert deaths.refuse(**act).closed_at == NOON


class TestSomebodyWhoBorrowed:
    PAID = NOON + timedelta(days=10)

    @pytest.fixture
    def settled(self, aminas_loan: Loan, amina: Borrower, officer: User) -> Borrower:
        live(amina, officer)
        receipt = factories.pay("0711000101", 53_000, at=self.PAID, party=amina.msisdn_sha256)
        ProviderEvent.objects.create(
            provider="daraja", kind="c2b_confirmation", dedupe_key="1", received_at=NOON,
            body=json.dumps({"TransID": receipt.receipt_no, "MSISDN": "254711000101"}),
        )  # fmt: skip
        amina.refresh_from_db()
        return amina

    def test_is_kept_as_long_as_the_law_says_and_no_longer_used(
        self, settled: Borrower, books_balance: Any
    ) -> None:
        done = erasing.erase(borrower_id=settled.id, at=self.PAID)
        assert done.kept_until == date(2033, 3, 12) and done.done_at is None
        assert rows_with(KIN) == [] and not WalletMovement.objects.exists()
        assert not Consent.objects.filter(withdrawn_at__isnull=True).exists()
        settled.refresh_from_db()
        assert settled.state == Borrower.State.CLOSED and settled.full_name == "Amina Njeri"
        assert factories.register().id == settled.id  # the number is not free for anybody else meanwhile
        with pytest.raises(factories.applications.Blocked):
            factories.apply(settled, at=self.PAID)
        books_balance()

    def test_is_nameless_once_the_law_lets_go(self, settled: Borrower, books_balance: Any) -> None:
        traces = traces_of(settled)
        erasing.erase(borrower_id=settled.id, at=self.PAID)
        last_day = datetime(2033, 3, 12, 12, tzinfo=NOON.tzinfo)
        assert erasing.erase_due(last_day) == 0
        assert rows_with(*traces)
        assert erasing.erase_due(last_day + timedelta(days=1)) == 1
        assert rows_with(*traces) == []
        assert erasing.erase_due(last_day + timedelta(days=2)) == 0
        assert Loan.objects.get().state == Loan.State.SETTLED
        books_balance()

    def test_without_a_law_that_keeps_records_is_nameless_at_once(
        self, settled: Borrower, monkeypatch: pytest.MonkeyPatch, books_balance: Any
    ) -> None:
        rules = selectors.products.country_rules("KE", NOON.date())
        silent = rules.model_copy(update={"retention": None})
        monkeypatch.setattr(selectors.products, "country_rules", lambda *_: silent)
        traces = traces_of(settled)
        assert erasing.erase(borrower_id=settled.id, at=self.PAID).done_at == self.PAID
        assert rows_with(*traces) == []
        books_balance()


class TestAskedOnThePhone:
    def test_is_done_when_the_dialogue_is_over(self, amina: Borrower) -> None:
        erasing.ask_to_erase(borrower_id=amina.id, at=NOON)
        assert not outbox.drain(NOON + timedelta(minutes=4), queue="messages")
        assert outbox.drain(NOON + timedelta(minutes=6), queue="messages")
        assert Erasure.objects.get().done_at is not None

    def test_is_overtaken_by_what_came_in_between(self, amina: Borrower) -> None:
        erasing.ask_to_erase(borrower_id=amina.id, at=NOON)
        factories.apply(amina, at=NOON)
        outbox.drain(NOON + timedelta(minutes=6), queue="messages")
        assert not Erasure.objects.exists()
        assert AuditEvent.objects.get(action="erasure_overtaken").detail == {"by": "undecided"}


class TestObstacles:
    def why(self, borrower: Borrower) -> str:
        with pytest.raises(erasing.NotYet) as refused:
            erasing.erase(borrower_id=borrower.id, at=NOON)
        assert not Erasure.objects.exists()
        return refused.value.obstacle

    def test_a_loan(self, aminas_loan: Loan, amina: Borrower) -> None:
        assert self.why(amina) == "loan"

    def test_a_request(self, amina: Borrower) -> None:
        factories.apply(amina)
        assert self.why(amina) == "undecided"

    def test_money_of_hers(self, amina: Borrower) -> None:
        factories.pay("0711000101", 10_000)
        assert self.why(amina) == "kept"

    def test_savings(self, amina: Borrower) -> None:
        saving.deposit(saving.pot(amina), 10_000)
        assert self.why(amina) == "savings"

    def test_an_officer_s_open_proposal(self, amina: Borrower, officer: User) -> None:
        wish = corrections.ask_correction(
            msisdn=amina.msisdn, field="full_name", value="Amina Njeri", language="en", at=NOON
        )
        corrections.propose_correction(
            case_id=wish.id, officer=officer, reason="Card seen", full_name="Amina Njeri", at=NOON
        )
        assert self.why(amina) == "request"


def test_every_table_that_points_to_a_customer_is_thought_of() -> None:
    pointing = {relation.related_model.__name__ for relation in Borrower._meta.related_objects}
    assert pointing == set(erasing.RELATIONS)


def test_what_was_said_about_a_refusal_is_emptied(amina: Borrower, officer: User, fixed_scorer: Any) -> None:
    application = factories.apply(amina)
    factories.decide(application, "decline")
    applications.appeal(borrower_id=amina.id, at=NOON, said="REVIEW it was my sister Zawadi")
    applications.review(
        application_id=application.id, officer=officer, approve=False, reason="x", code="low_inflow", at=NOON
    )
    assert rows_with("Zawadi")
    erasing.erase(borrower_id=amina.id, at=NOON)
    assert Erasure.objects.get().done_at and not rows_with("Zawadi")
