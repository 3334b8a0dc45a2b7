"""One question says for which others there is something to read."""

from datetime import date, timedelta

import pytest
from django.db import transaction

from lending.models import Borrower, Case, LimitRaise, Loan, ProductVersion
from lending.selectors import limits, products
from lending.selectors.glance import Glance, glance
from lending.services import cases
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def look(borrower: Borrower, since=NOON - HOUR) -> Glance:
    found = glance(borrower.msisdn, since)
    assert found is not None and found.borrower == borrower
    return found


def test_nobody_registered_this_number() -> None:
    assert glance("254799999999", NOON) is None


def test_there_is_nothing_to_read_about_who_just_came(amina: Borrower) -> None:
    seen = look(amina)
    assert not (seen.has_loan or seen.is_undecided or seen.raise_waits or seen.moved or seen.brakes)


def test_an_application_and_a_loan_are_seen_until_they_are_over(amina: Borrower, fixed_scorer: object) -> None:
    application = factories.apply(amina)
    assert look(amina).is_undecided
    factories.decide(application)
    seen = look(amina)
    assert (seen.is_undecided, seen.has_loan, seen.moved) == (False, True, False)


def test_money_that_came_and_went_is_seen_for_as_long_as_is_asked(aminas_loan: Loan) -> None:
    borrower = aminas_loan.borrower
    at = aminas_loan.disbursed_at
    assert at is not None
    assert look(borrower, at).moved and not look(borrower, at + timedelta(seconds=1)).moved
    factories.pay("0711000101", 10_000, at=at + HOUR)
    assert look(borrower, at + HOUR).moved


def test_a_loan_on_another_number_of_the_person_is_seen(aminas_loan: Loan) -> None:
    other = factories.register("Amina Wanjiru", "254711000999")
    assert look(other).has_loan and not look(other).moved


def test_a_raise_that_waits_is_seen(aminas_loan: Loan) -> None:
    borrower = aminas_loan.borrower
    raised = {"earned_by": aminas_loan, "rung": 2, "limit_cents": 200_000, "offered_at": NOON}
    LimitRaise.objects.create(borrower=borrower, **raised)
    assert look(borrower).raise_waits


def test_a_product_that_rests_is_seen_by_its_code(amina: Borrower) -> None:
    cases.open_case(
        kind=Case.Kind.LOSS_BRAKE, subject_key=limits.brake_subject("jirani-30"), note="Losses", at=NOON
    )
    seen = look(amina)
    assert seen.is_paused("jirani-30") and not seen.is_paused("jirani-3")


def test_a_new_version_is_offered_from_the_moment_that_it_is_there(amina: Borrower) -> None:
    before = look(amina).products("KE", NOON.date())
    assert before == products.products_in_force("KE", NOON.date())
    later = factories.next_version(effective_on=NOON.date())
    assert look(amina).products("KE", NOON.date())[0] == later
    assert ProductVersion.objects.count() > len(before)


def test_a_version_that_is_seen_after_a_newer_one_is_offered_too(amina: Borrower) -> None:
    """Of two that are approved at once, the one with the lower id may be committed last."""
    with transaction.atomic():
        early = factories.next_version(effective_on=NOON.date())
        transaction.set_rollback(True)
    other = factories.next_version(effective_on=date(2099, 1, 1))
    assert look(amina).products("KE", NOON.date())[0].version < early.version and other.id > early.id
    early.version, early._state.adding = other.version + 1, True
    early.save(force_insert=True)
    assert look(amina).products("KE", NOON.date())[0] == early
