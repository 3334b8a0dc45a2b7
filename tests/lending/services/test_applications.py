"""Applying and deciding."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.db import close_old_connections, connection

from lending import outbox, ports
from lending.models import Application, Borrower, Decision, Loan, OutboxMessage, PaymentIntent, Posting
from lending.services import applications
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.usefixtures("fixed_scorer")


class TestSubmit:
    def test_writes_the_application_and_owes_its_decision_in_one_go(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        owed = OutboxMessage.objects.get(topic="application_submitted")
        assert owed.payload == {"application_id": application.id}
        assert (application.principal_cents, application.fee_cents, application.tax_cents) == (
            50_000,
            2_500,
            500,
        )

    def test_returns_the_application_on_record_when_the_hop_repeats(self, amina: Borrower) -> None:
        assert factories.apply(amina).id == factories.apply(amina).id
        assert OutboxMessage.objects.filter(topic="application_submitted").count() == 1

    @pytest.mark.parametrize(
        ("principal_cents", "refusal"),
        [
            (100_100, applications.AboveLimit),
            (19_900, applications.BelowMinimum),
            (0, applications.BelowMinimum),
            (-500, applications.BelowMinimum),
            (50_050, applications.NotPayable),
            (50_001, applications.NotPayable),
        ],
    )
    def test_refuses_an_amount_that_was_not_offered(
        self, amina: Borrower, principal_cents: int, refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            factories.apply(amina, principal_cents)
        assert not Application.objects.exists()

    def test_refuses_while_another_is_undecided(self, amina: Borrower) -> None:
        factories.apply(amina)
        with pytest.raises(applications.AlreadyApplied):
            factories.apply(amina, origin="ussd:test:2")

    def test_refuses_a_second_loan_for_the_same_national_id_on_another_sim(self, aminas_loan: Loan) -> None:
        second_sim = factories.register(msisdn="254711000199")
        with pytest.raises(applications.HasOpenLoan):
            factories.apply(second_sim, origin="ussd:test:sim2")

    def test_refuses_a_blocked_borrower(self, amina: Borrower) -> None:
        Borrower.objects.filter(id=amina.id).update(state="blocked")
        amina.refresh_from_db()
        with pytest.raises(applications.Blocked):
            factories.apply(amina)


class TestDecide:
    def test_an_approval_reserves_the_money_and_asks_for_one_payout(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        factories.decide(application)
        loan = Loan.objects.get(application=application)
        assert (loan.state, loan.disbursed_at, loan.outstanding_cents) == ("approved", None, 53_000)
        assert PaymentIntent.objects.get().business_key == f"disburse:loan:{loan.id}"
        assert Posting.objects.get().kind == "reservation"

    def test_deciding_again_changes_nothing(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        first = factories.decide(application)
        again = factories.decide(application, "decline")
        assert (again.id, again.outcome) == (first.id, "approve")
        assert Loan.objects.count() == PaymentIntent.objects.count() == 1

    def test_a_decline_keeps_its_reason_and_next_step(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        decision = factories.decide(application, "decline")
        application.refresh_from_db()
        assert application.state == "declined"
        assert decision.reasons == [{"code": "low_inflow", "values": {}}]
        assert decision.next_step == "use_wallet"
        assert not Loan.objects.exists()

    def test_a_refusal_without_a_reason_is_refused_by_the_database(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        with pytest.raises(Exception, match="decision_refusal_has_reason_and_step"):
            factories.decide(application, "decline", reasons=(), next_step="")

    def test_an_approval_above_its_own_limit_lends_nothing(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        with pytest.raises(ValueError, match="above its own limit"):
            factories.decide(application, limit_cents=40_000)
        assert not Loan.objects.exists()

    def test_the_same_person_on_two_sims_gets_one_loan(self, amina: Borrower) -> None:
        second_sim = factories.register(msisdn="254711000199")
        first = factories.apply(amina)
        second = factories.apply(second_sim, origin="ussd:test:sim2")
        factories.decide(first)
        assert factories.decide(second).outcome == "decline"
        assert Loan.objects.count() == 1

    def test_a_failing_scorer_approves_nobody_and_is_tried_again(self, amina: Borrower, settings) -> None:  # type: ignore[no-untyped-def]
        factories.apply(amina)
        settings.CREDIT_SCORER = "tests.lending.services.test_applications.BrokenScorer"
        outbox.drain(NOON, queue="scoring")
        owed = OutboxMessage.objects.get(topic="application_submitted")
        assert (owed.done_at, owed.last_error, owed.tries) == (None, "RuntimeError", 1)
        assert owed.due_at > NOON and not Decision.objects.exists()

    def test_nobody_is_paid_who_was_blocked_meanwhile(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        Borrower.objects.filter(id=amina.id).update(state="deceased")
        assert factories.decide(application).outcome == "refer"
        officer = get_user_model().objects.create_user("wambui")
        with pytest.raises(applications.Blocked):
            applications.review(
                application_id=application.id, officer=officer, approve=True, reason="In error", at=NOON
            )
        assert not Loan.objects.exists()


class BrokenScorer:
    def assess(self, application_id: int, at: object) -> ports.Verdict:
        raise RuntimeError("the model file is gone")


class TestReview:
    def test_an_officer_approves_with_a_reason_and_the_loan_is_made(self, amina: Borrower) -> None:
        officer = get_user_model().objects.create_user("wambui")
        application = factories.apply(amina)
        factories.decide(application, "refer")
        applications.review(
            application_id=application.id, officer=officer, approve=True, reason="Knows the stall", at=NOON
        )
        assert Loan.objects.get().application_id == application.id

    def test_refuses_without_a_reason_and_when_somebody_was_first(self, amina: Borrower) -> None:
        wambui = get_user_model().objects.create_user("wambui")
        otieno = get_user_model().objects.create_user("otieno")
        application = factories.apply(amina)
        factories.decide(application, "refer")
        with pytest.raises(applications.ReasonMissing):
            applications.review(application_id=application.id, officer=wambui, approve=True, reason=" ", at=NOON)
        with pytest.raises(applications.ReasonMissing, match="low_inflow"):
            applications.review(application_id=application.id, officer=wambui, approve=False, reason="No", at=NOON)
        applications.review(
            application_id=application.id,
            officer=wambui,
            approve=False,
            reason="No stall",
            code="low_inflow",
            at=NOON,
        )
        with pytest.raises(applications.NotReferred):
            applications.review(application_id=application.id, officer=otieno, approve=True, reason="Yes", at=NOON)
        assert not Loan.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_eight_workers_deciding_at_once_make_one_decision_and_one_loan(law: None, fixed_scorer: object) -> None:
    application = factories.apply(factories.register())

    def decide(_: int) -> int:
        close_old_connections()
        try:
            return factories.decide(application).id
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(decide, range(8)))
    assert len(made) == 1
    assert Decision.objects.count() == Loan.objects.count() == Posting.objects.count() == 1
