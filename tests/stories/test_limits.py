"""Limits in the customer's hands, and those that hold whatever anybody wants."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, close_old_connections, connection
from django.test import Client
from django.utils import timezone

from lending import closing
from lending.models import Application, AuditEvent, Borrower, Case, LimitRaise, Loan, OutboxMessage
from lending.rules import calendar
from lending.services import applications, brakes, cases, limits
from tests import factories
from tests.factories import NOON
from tests.lending.rules.packs import invented
from tests.lending.test_law import enact
from tests.phone import Phone
from ussd import notices
from ussd.screens.borrow import RAISE_VERSION

pytestmark = pytest.mark.usefixtures("fixed_scorer")
DAYS = timedelta(days=1)


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


def repaid(borrower: Borrower, *, taken_at: Any, after_days: int) -> Borrower:
    """Let a borrower take KES 500 and repay it after so many days."""
    loan = factories.live_loan(borrower, at=taken_at)
    at = taken_at + after_days * DAYS
    factories.pay(f"0{borrower.msisdn[3:]}", loan.total_cents, f"R{loan.id}", at=at)
    borrower.refresh_from_db()
    return borrower


# --- wanting less -------------------------------------------------------------------------------------------
class TestOptDown:
    def test_amina_wants_to_be_offered_less_and_later_all_again(self, aminas_phone: Phone, amina: Borrower) -> None:
        aminas_phone.dials("*384*77#").types("5", "2").sees("2 My limit").types("2", "1").sees("At most KES 1,000")
        aminas_phone.types("100").sees("At least KES 200.").types("1500").sees("At most KES 1,000.")
        aminas_phone.types("400").ends_with("Your limit is now KES 400")

        aminas_phone.dials("*384*77#").sees("your limit is KES 400").types("1").sees("Your limit is KES 400")
        aminas_phone.types("500").sees("That is above your limit.")
        with pytest.raises(applications.AboveLimit):
            factories.apply(amina, 50_000, at=timezone.now())

        aminas_phone.dials("*384*77#").sees("The line dropped").types("2", "5", "2", "2", "1", "1000").ends_with(
            "Your limit is now KES 1,000"
        )
        amina.refresh_from_db()
        assert (amina.own_limit_cents, amina.offered_limit_cents) == (None, 100_000)
        told = [event.detail["limit_cents"] for event in AuditEvent.objects.filter(action="limit_chosen")]
        assert told == [40_000, 100_000]

    def test_her_wish_stays_when_she_climbs(self, amina: Borrower) -> None:
        limits.choose_limit(borrower_id=amina.id, limit_cents=60_000, at=NOON)
        repaid(amina, taken_at=NOON, after_days=10)
        assert (amina.rung, amina.limit_cents, amina.offered_limit_cents) == (1, 150_000, 60_000)

    @pytest.mark.parametrize("limit_cents", [-1, 0, 19_999, 100_001])
    def test_a_limit_that_is_none_of_hers_is_refused(self, amina: Borrower, limit_cents: int) -> None:
        with pytest.raises(limits.LimitRefused, match="from 20000 to 100000 cents"):
            limits.choose_limit(borrower_id=amina.id, limit_cents=limit_cents, at=NOON)


# --- a raise only with a yes --------------------------------------------------------------------------------
class TestConsentForARaise:
    @pytest.fixture(autouse=True)
    def the_law_asks_for_consent(self, law: None) -> None:
        enact(date(2026, 1, 1), raises=invented(need_consent=True))

    def test_amina_is_offered_more_and_gets_it_only_when_she_says_yes(
        self, aminas_phone: Phone, amina: Borrower
    ) -> None:
        repaid(amina, taken_at=NOON, after_days=10)
        assert (amina.rung, amina.limit_cents) == (0, 100_000)
        offered = LimitRaise.objects.get()
        assert (offered.state, offered.rung, offered.limit_cents, offered.text_version) == (
            "offered",
            1,
            150_000,
            "",
        )
        owed = OutboxMessage.objects.get(topic="limit_raise_offered")
        notice = notices.NOTICES[owed.topic](owed.payload, NOON)
        assert notice and notice.unasked and "KES 1,500 if you want it" in notice.say()

        aminas_phone.dials("*384*77#").types("1").sees("a limit of KES 1,500 instead of KES 1,000", "You need not")
        aminas_phone.types("1").sees("Your limit is KES 1,500")
        amina.refresh_from_db()
        offered.refresh_from_db()
        assert (amina.rung, amina.limit_cents) == (1, 150_000)
        assert (offered.state, offered.text_version, offered.language) == ("accepted", RAISE_VERSION, "en")
        assert offered.answered_at is not None
        assert notices.NOTICES[owed.topic](owed.payload, NOON) is None

    def test_amina_says_no_and_is_not_asked_again_for_this_loan(self, aminas_phone: Phone, amina: Borrower) -> None:
        repaid(amina, taken_at=NOON, after_days=10)
        aminas_phone.dials("*384*77#").types("1", "2").sees("Your limit is KES 1,000")
        aminas_phone.dials("*384*77#").types("1").sees("Your limit is KES 1,000")
        assert LimitRaise.objects.get().state == "declined"
        with pytest.raises(limits.NothingOffered):
            limits.answer_raise(
                borrower_id=amina.id, accepted=True, text_version=RAISE_VERSION, language="en", at=NOON
            )

    def test_a_shortcut_cannot_answer_what_was_not_seen(self, aminas_phone: Phone, amina: Borrower) -> None:
        repaid(amina, taken_at=NOON, after_days=10)
        aminas_phone.dials("*384*77*1*1*500#").sees("a limit of KES 1,500 instead of KES 1,000")
        assert LimitRaise.objects.get().state == "offered"

    def test_a_late_loan_withdraws_what_was_offered(self, amina: Borrower) -> None:
        repaid(amina, taken_at=NOON, after_days=10)
        Borrower.objects.filter(id=amina.id).update(rung=2, limit_cents=200_000)
        amina.refresh_from_db()
        repaid(amina, taken_at=NOON + 20 * DAYS, after_days=35)
        assert (amina.rung, LimitRaise.objects.get().state) == (1, "withdrawn")

    def test_an_answer_without_its_words_is_refused_by_the_database(self, amina: Borrower) -> None:
        repaid(amina, taken_at=NOON, after_days=10)
        with pytest.raises(IntegrityError, match="limit_raise_answer_has_its_words"):
            LimitRaise.objects.update(state="accepted", answered_at=NOON)


def test_where_the_law_does_not_ask_the_limit_grows_by_itself(amina: Borrower) -> None:
    repaid(amina, taken_at=NOON, after_days=10)
    assert (amina.rung, amina.limit_cents, LimitRaise.objects.count()) == (1, 150_000, 0)


def stranger(number: int) -> Borrower:
    """Return one of four who have nothing to say in these stories but whether they pay."""
    return factories.register(f"Person {'ABCD'[number]}", f"25472000010{number}", f"3000000{number}")


# --- the loss brake -----------------------------------------------------------------------------------------
class TestLossBrake:
    @pytest.fixture
    def brake(self, law: None) -> dict[str, Any]:
        """The brake as it ships, for a book of four."""
        brake = factories.usual_product().loss_brake | {"least_loans": 4}
        factories.next_version(loss_brake=brake)
        return brake

    @pytest.fixture
    def unpaid(self, brake: dict[str, Any]) -> Callable[[int], list[Loan]]:
        """Four loans due on the same day, of which so many were not paid seven days later."""

        def make(missing: int) -> list[Loan]:
            made = []
            for number in range(4):
                borrower = factories.register(
                    f"Person {'ABCD'[number]}", f"25472000010{number}", f"3000000{number}"
                )
                made.append(factories.live_loan(borrower, at=NOON))
                if number >= missing:
                    factories.pay(f"072000010{number}", made[-1].total_cents, f"P{number}", at=NOON + 37 * DAYS)
            return made

        return make

    def close(self, after_days: int) -> list[str]:
        """Close the date so many days after the four were due; return what was paused."""
        at = NOON + (30 + after_days) * DAYS
        on = calendar.business_date(at, "Africa/Nairobi")
        assert closing.close_business(on, calendar.start_of(on + DAYS, "Africa/Nairobi"))
        return list(closing.JobRun.objects.get(business_date=on).result["paused"])

    def test_too_many_first_payments_missing_stops_the_product_until_a_person_lifts_it(
        self, unpaid: Callable[[int], list[Loan]], aminas_phone: Phone, amina: Borrower
    ) -> None:
        waiting = factories.apply(amina, at=NOON + 36 * DAYS)
        unpaid(2)
        assert self.close(6) == []
        assert self.close(7) == ["jirani-30"]
        case = Case.objects.get(kind="loss_brake")
        assert "2 of 4 first payments (50.0%) were not whole 7 days after their date" in case.note
        assert self.close(8) == [] and Case.objects.filter(kind="loss_brake").count() == 1

        decision = factories.decide(waiting, at=NOON + 38 * DAYS)
        assert (decision.outcome, decision.reasons[0]["code"], decision.next_step) == (
            "decline",
            "product_paused",
            "try_tomorrow",
        )
        aminas_phone.dials("*384*77#").types("1", "500").sees("You get KES 500", "Fee KES 15")
        with pytest.raises(applications.Paused):
            factories.apply(amina, origin="ussd:test:paused", at=NOON + 38 * DAYS)

        officer = get_user_model().objects.create_user("wambui")
        cases.close_case(case_id=case.id, officer=officer, resolution="Floods; limits cut.", at=NOON + 39 * DAYS)
        assert self.close(10) == [], "what a person has looked at pulls no brake again"
        assert factories.live_loan(amina, at=NOON + 41 * DAYS).state == "live"

    def test_an_officer_cannot_approve_past_it(self, amina: Borrower, brake: dict[str, Any]) -> None:
        application = factories.apply(amina)
        factories.decide(application, "refer")
        cases.open_case(kind="loss_brake", subject_key="product:jirani-30", note="Too many.", at=NOON)
        officer = get_user_model().objects.create_user("wambui")
        with pytest.raises(applications.Paused):
            applications.review(
                application_id=application.id, officer=officer, approve=True, reason="Knows her", at=NOON
            )
        assert not Loan.objects.exists()

    @pytest.mark.parametrize(("missing", "paused"), [(0, []), (1, []), (2, ["jirani-30"]), (4, ["jirani-30"])])
    def test_it_is_pulled_above_its_share_and_not_at_it(
        self, unpaid: Callable[[int], list[Loan]], missing: int, paused: list[str]
    ) -> None:
        unpaid(missing)
        assert self.close(7) == paused

    def test_it_is_pulled_while_a_person_has_stopped_all_lending(self, unpaid: Callable[[int], list[Loan]]) -> None:
        unpaid(4)
        officer = get_user_model().objects.create_user("wambui")
        brakes.stop(what="lending", officer=officer, reason="A fault in the feed", at=NOON)
        assert self.close(7) == ["jirani-30"]
        brakes.let_go(what="lending", officer=officer, reason="Mended", at=NOON)
        assert Case.objects.get(kind="loss_brake").closed_at is None

    def test_few_loans_prove_nothing(self, unpaid: Callable[[int], list[Loan]], brake: dict[str, Any]) -> None:
        factories.next_version(loss_brake=brake | {"least_loans": 5})
        unpaid(4)
        assert self.close(7) == []

    def test_what_the_model_expects_of_new_loans_pulls_it_too(self, brake: dict[str, Any], law: None) -> None:
        for number in range(4):
            borrower = stranger(number)
            factories.decide(factories.apply(borrower, origin=f"ussd:test:{number}"), score=0.13)
        assert self.close(-30) == ["jirani-30"]
        assert "are expected to default at 13.0%" in Case.objects.get(kind="loss_brake").note


# --- one person, one loan -----------------------------------------------------------------------------------
def test_a_second_open_loan_of_a_national_id_is_refused_by_the_database(aminas_loan: Loan) -> None:
    second_sim = factories.register(msisdn="254711000199")
    application = Application.objects.get()
    application.pk, application.origin, application.reference = None, "ussd:test:sim2", "SECOND"
    application.borrower = second_sim
    application.save()
    aminas_loan.pk, aminas_loan.borrower, aminas_loan.application = None, second_sim, application
    aminas_loan.reference = "SECOND"
    with pytest.raises(IntegrityError, match="loan_one_open_per_identity"):
        aminas_loan.save(force_insert=True)


@pytest.fixture
def committed_law(transactional_db: None, law: None) -> Iterator[None]:
    yield


def test_one_person_on_six_sims_at_once_gets_one_loan(committed_law: None) -> None:
    sims = [factories.register(msisdn=f"25471100020{number}") for number in range(6)]
    asked = [factories.apply(sim, origin=f"ussd:test:sim{sim.id}") for sim in sims]
    factories.FixedScorer.says = factories.verdict("approve")

    def decide(application: Application) -> str:
        close_old_connections()
        try:
            return applications.decide(application.id, NOON).outcome
        except IntegrityError:
            return "again"  # the row that was first stands; the outbox asks again and sees it
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(decide, asked))
    outcomes = [decide(one) if said == "again" else said for one, said in zip(asked, outcomes, strict=True)]
    assert sorted(outcomes) == ["approve", *["decline"] * 5]
    assert Loan.objects.count() == 1
