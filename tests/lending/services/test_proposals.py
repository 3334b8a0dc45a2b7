"""Two people for what could hurt: one proposes, another one looks at the same preview and decides."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, close_old_connections, connection, transaction

from lending.models import AuditEvent, Loan, Proposal
from lending.selectors import contracts
from lending.services import changes, proposals
from tests import factories
from tests.factories import NOON, pay


@pytest.fixture
def wambui(db: None) -> User:
    return User.objects.create_user("wambui")


@pytest.fixture
def njeri(db: None) -> User:
    return User.objects.create_user("njeri")


def propose(loan: Loan, maker: User, *, reason: str = "the fee was our mistake", **fact: object) -> Proposal:
    return changes.propose_change(
        loan=contracts.with_contract().get(id=loan.id),
        kind="waive",
        details=fact or {"part": "fee"},
        maker=maker,
        reason=reason,
        at=NOON,
    )


@pytest.fixture
def waiting(aminas_loan: Loan, wambui: User) -> Proposal:
    """Wambui proposes to waive the fee of Amina's loan."""
    return propose(aminas_loan, wambui)


class TestPropose:
    def test_keeps_the_preview_and_changes_nothing_yet(self, waiting: Proposal, aminas_loan: Loan) -> None:
        shown = waiting.preview
        assert (shown["before"]["outstanding_cents"], shown["after"]["outstanding_cents"]) == (53_000, 50_500)
        aminas_loan.refresh_from_db()
        assert (aminas_loan.outstanding_cents, aminas_loan.events.count()) == (53_000, 1)
        assert AuditEvent.objects.get(action="loan_waive_proposed").actor == waiting.maker

    def test_the_same_act_waits_once(self, waiting: Proposal, aminas_loan: Loan, njeri: User) -> None:
        with pytest.raises(proposals.AlreadyPending, match="is waiting since") as refused:
            propose(aminas_loan, njeri)
        assert refused.value.proposal == waiting

    def test_needs_a_reason(self, aminas_loan: Loan, wambui: User) -> None:
        with pytest.raises(ValueError, match="needs a reason"):
            propose(aminas_loan, wambui, reason=" ")

    def test_knows_its_acts(self, wambui: User) -> None:
        with pytest.raises(ValueError, match="act must be one of"):
            proposals.propose(act="burn", subject="x", details={}, maker=wambui, reason="x", at=NOON)


class TestDecide:
    def test_an_approval_carries_it_out_under_both_names(
        self, waiting: Proposal, aminas_loan: Loan, wambui: User, njeri: User
    ) -> None:
        decided = proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)
        aminas_loan.refresh_from_db()
        assert (decided.state, aminas_loan.outstanding_cents) == ("approved", 50_500)
        event = aminas_loan.events.get(kind="waive")
        assert (event.actor, event.reason, event.happened_at) == (wambui, waiting.reason, waiting.made_at)
        assert AuditEvent.objects.get(action="loan_waive_approved").actor == njeri

    def test_a_refusal_needs_words_and_changes_nothing(
        self, waiting: Proposal, aminas_loan: Loan, njeri: User
    ) -> None:
        with pytest.raises(ValueError, match="needs a remark"):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=False, at=NOON)
        decided = proposals.decide(proposal_id=waiting.id, checker=njeri, approve=False, remark="not ours", at=NOON)
        aminas_loan.refresh_from_db()
        assert (decided.state, decided.remark, aminas_loan.outstanding_cents) == ("refused", "not ours", 53_000)
        propose(aminas_loan, njeri)  # it can be proposed anew

    def test_the_maker_is_not_the_checker(self, waiting: Proposal, wambui: User) -> None:
        for approve in (True, False):
            with pytest.raises(proposals.SamePerson):
                proposals.decide(proposal_id=waiting.id, checker=wambui, approve=approve, remark="me", at=NOON)

    def test_the_database_refuses_the_same_person_too(self, waiting: Proposal, wambui: User) -> None:
        with pytest.raises(IntegrityError, match="proposal_decided_by_another"), transaction.atomic():
            Proposal.objects.update(state="approved", checker=wambui, decided_at=NOON)

    def test_is_final_and_repeats_for_the_same_answer(
        self, waiting: Proposal, aminas_loan: Loan, njeri: User
    ) -> None:
        for _ in range(2):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)
        assert aminas_loan.events.filter(kind="waive").count() == 1
        with pytest.raises(proposals.NotPending, match="is approved"):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=False, remark="no", at=NOON)

    def test_what_a_payment_overtook_is_refused_and_stays_pending(
        self, waiting: Proposal, aminas_loan: Loan, njeri: User
    ) -> None:
        pay(aminas_loan.reference, 1_000)
        with pytest.raises(proposals.Overtaken, match="would not do any more what its preview showed"):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)
        waiting.refresh_from_db()
        assert (waiting.state, aminas_loan.events.filter(kind="waive").count()) == ("pending", 0)

    def test_what_is_settled_meanwhile_is_overtaken(
        self, waiting: Proposal, aminas_loan: Loan, njeri: User
    ) -> None:
        pay(aminas_loan.reference, 53_000)
        with pytest.raises(proposals.Overtaken, match="is settled"):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)


class TestWithdraw:
    def test_the_maker_takes_it_back_and_nothing_is_done(
        self, waiting: Proposal, aminas_loan: Loan, wambui: User, njeri: User
    ) -> None:
        for _ in range(2):
            taken = proposals.withdraw(proposal_id=waiting.id, maker=wambui, at=NOON)
        aminas_loan.refresh_from_db()
        assert (taken.state, taken.checker, aminas_loan.outstanding_cents) == ("withdrawn", None, 53_000)
        assert AuditEvent.objects.get(action="loan_waive_withdrawn").actor == wambui
        with pytest.raises(proposals.NotPending, match="is taken back"):
            proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)
        propose(aminas_loan, njeri)

    def test_also_when_it_was_overtaken(self, waiting: Proposal, aminas_loan: Loan, wambui: User) -> None:
        pay(aminas_loan.reference, 53_000)
        assert proposals.overtaken(waiting)
        assert proposals.withdraw(proposal_id=waiting.id, maker=wambui, at=NOON).state == "withdrawn"

    def test_nobody_else_does(self, waiting: Proposal, njeri: User) -> None:
        with pytest.raises(proposals.NotTheMaker, match="was proposed by wambui"):
            proposals.withdraw(proposal_id=waiting.id, maker=njeri, at=NOON)

    def test_not_what_was_decided(self, waiting: Proposal, wambui: User, njeri: User) -> None:
        proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON)
        with pytest.raises(proposals.NotPending, match="is approved"):
            proposals.withdraw(proposal_id=waiting.id, maker=wambui, at=NOON)

    def test_the_database_refuses_a_second_person_in_it(self, waiting: Proposal, njeri: User) -> None:
        with pytest.raises(IntegrityError, match="proposal_decided_by_another"), transaction.atomic():
            Proposal.objects.update(state="withdrawn", checker=njeri, decided_at=NOON)


def test_nobody_writes_off_alone(aminas_loan: Loan, wambui: User) -> None:
    with pytest.raises(changes.TwoPeopleNeeded):
        changes.change_loan(loan_id=aminas_loan.id, kind="write_off", origin="x", at=NOON, actor=wambui)


@pytest.mark.django_db(transaction=True)
def test_an_approval_and_a_payment_at_once_do_not_mix(law: None, fixed_scorer: object) -> None:
    loan = factories.live_loan(factories.register())
    wambui, njeri = (User.objects.create_user(name) for name in ("wambui", "njeri"))
    waiting = propose(loan, wambui)

    def pays() -> None:
        close_old_connections()
        try:
            pay(loan.reference, 1_000, at=NOON + timedelta(minutes=1))
        finally:
            connection.close()

    def decides() -> str:
        close_old_connections()
        try:
            return proposals.decide(proposal_id=waiting.id, checker=njeri, approve=True, at=NOON).state
        except proposals.Overtaken:
            return "overtaken"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        paid, decided = pool.submit(pays), pool.submit(decides)
        paid.result()
        outcome = decided.result()
    loan.refresh_from_db()
    # Approved first, the fee was waived and the payment covers principal; paid first, nothing is waived.
    assert (outcome, loan.outstanding_cents) in {("approved", 49_500), ("overtaken", 52_000)}
