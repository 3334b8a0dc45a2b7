"""A customer wishes another date: officers answer it from its case, and the customer hears what came of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import Borrower, Case, Loan, OutboxMessage, Proposal
from lending.services import changes
from tests import factories
from tests.lending.admin.conftest import staff
from tests.lending.admin.test_changes import page, send, send_twice


@pytest.fixture
def loan(amina: Borrower, fixed_scorer: object) -> Loan:
    """KES 500 that reached Amina two days ago and falls due in four weeks."""
    return factories.live_loan(amina, at=timezone.now() - timedelta(days=2))


@pytest.fixture
def wish(loan: Loan) -> Case:
    until = timezone.localdate() + timedelta(days=30)
    return changes.wish_another_date(loan_id=loan.id, due_on=until, at=timezone.now())


@pytest.fixture
def manager(groups: None) -> Client:
    return staff("njeri", "Managers")


def told(topic: str) -> int:
    return OutboxMessage.objects.filter(topic=topic).count()


def proposed(officer: Client, wish: Case) -> Proposal:
    """Propose the wished date, which stands in the dialog already."""
    day = wish.details["due_on"]
    assert (
        f'value="{day}"' in officer.get(f"{page(wish).removesuffix('change/')}propose_reschedule/").content.decode()
    )
    send_twice(officer, wish, "propose_reschedule", due_on=day, installments="0", reason="Her harvest is late.")
    return Proposal.objects.get()


def test_the_case_says_what_is_wished_and_where(officer: Client, wish: Case, loan: Loan) -> None:
    shown = officer.get(page(wish)).content.decode()
    assert page(loan) in shown and "Propose another date" in shown and "The dates stay" in shown


def test_the_wished_date_is_proposed_approved_and_closes_the_case(
    officer: Client, manager: Client, wish: Case, loan: Loan, books_balance: Any
) -> None:
    proposal = proposed(officer, wish)
    assert "Reschedule, proposed by wambui" in officer.get(page(wish)).content.decode()
    send(manager, proposal, "approve", remark="")
    wish.refresh_from_db()
    loan.refresh_from_db()
    assert loan.due_on is not None and loan.due_on.isoformat() == wish.details["due_on"]
    assert wish.closed_at is not None and wish.closed_by is not None and told("loan_changed") == 1
    books_balance()


def test_dates_that_stay_are_told(officer: Client, wish: Case, loan: Loan) -> None:
    due_on = loan.due_on
    answer = send(officer, wish, "keep_dates", resolution="She was late three times.")
    assert "the customer is told" in answer.content.decode()
    wish.refresh_from_db()
    loan.refresh_from_db()
    assert (wish.closed_at is not None, loan.due_on, told("dates_stay")) == (True, due_on, 1)


def test_nobody_answers_while_a_date_waits_for_its_second_person(officer: Client, wish: Case) -> None:
    proposed(officer, wish)
    assert "Nothing was changed" in send(officer, wish, "keep_dates", resolution="x").content.decode()
    wish.refresh_from_db()
    assert wish.closed_at is None and not told("dates_stay")


def test_a_refused_proposal_leaves_the_wish_to_be_answered(
    officer: Client, manager: Client, wish: Case, loan: Loan
) -> None:
    send(manager, proposed(officer, wish), "refuse", remark="Not so far.")
    send(officer, wish, "keep_dates", resolution="The manager said no.")
    assert told("dates_stay") == 1


def test_an_extension_is_made_from_the_case_where_it_is_granted(officer: Client, wish: Case, loan: Loan) -> None:
    if "extend" not in changes.granted(loan, timezone.localdate()):
        pytest.fail("the product of the tests grants an extension")
    assert "Extend instead" in officer.get(page(wish)).content.decode()
    send_twice(officer, wish, "grant_extend", reason="She asked for it.")
    wish.refresh_from_db()
    assert wish.closed_at is not None and told("loan_changed") == 1
    assert loan.events.filter(kind="extend").count() == 1


def test_words_alone_do_not_close_it(officer: Client, wish: Case) -> None:
    assert "answer of its own kind" in send(officer, wish, "close", resolution="x").content.decode()


def test_who_may_only_look_answers_nothing(auditor: Client, wish: Case) -> None:
    for act in ("propose_reschedule", "grant_extend", "keep_dates"):
        assert send(auditor, wish, act, reason="x").status_code == 403
