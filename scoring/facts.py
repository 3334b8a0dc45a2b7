"""What the policy must know beside the model's features, as it stood when the borrower applied."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import date, datetime

from django.conf import settings
from django.db.models import Q, QuerySet

from lending.models import Application, Borrower, Consent, Loan
from lending.rules import calendar, limits
from lending.rules.country import country_from
from lending.selectors import exploration, offers, products
from lending.selectors import limits as standing
from scoring.policy import Facts, Policy, smaller_amounts

DEFAULT_DAYS = 30


def facts_of(application: Application, policy: Policy) -> Facts:
    """Return the facts of one application, dated before it was submitted.

    Loans are looked up by the person, not by the number: another SIM is not another history.
    """
    borrower, product, as_of = application.borrower, application.product_version, application.submitted_at
    all_loans = Loan.objects.filter(
        Q(borrower=borrower) | Q(identity_index=borrower.identity_index), approved_at__lt=as_of
    )
    loans = all_loans.filter(disbursed_at__lt=as_of)
    ladder, person = product.ladder_cents, borrower.identity_index
    law = country_from(application.country_pack.rules)
    # What a new loan pays off is neither in its way nor owed beside it.
    old = application.refinances
    due_on = offers.quote(product, application.principal_cents, local_day(as_of), application.country_pack).due_on
    least_cents = products.terms_of(product).min_cents
    lent_by_lot = exploration.taken(product.country, local_day(as_of))
    asked, paid_out = standing.applications_before(person, as_of), standing.payouts_before(person, as_of)
    return Facts(
        requested_cents=application.principal_cents,
        total_cents=application.total_cents,
        limit_cents=offers.limit_cents(borrower, product),
        min_cents=least_cents,
        first_rung_cents=ladder[0],
        automatic_cents=ladder[max(0, len(ladder) - 1 - policy.top_rungs_referred)],
        explained_cents=limits.limit_at(explained_rung(borrower, as_of, policy), ladder),
        max_share_of_inflow=str(law.affordability.max_share_of_monthly_inflow),
        monthly_inflow_cents=limits.estimated_inflow(standing.monthly_inflows(borrower.id, as_of)),
        owing_cents=standing.owing_cents(person) - (old.outstanding_cents if old else 0),
        may_score=consented(borrower, Consent.Purpose.SCORING, as_of),
        shares_wallet=consented(borrower, Consent.Purpose.WALLET, as_of),
        days_in_arrears=days_in_arrears(loans, as_of),
        has_open_loan=all_loans.filter(state__in=Loan.OPEN).exclude(id__in=[old.id] if old else []).exists(),
        unpaid_write_off=loans.filter(written_off_at__lt=as_of, settled_at__isnull=True).exists(),
        days_since_default=days_since_default(loans, as_of),
        identity_in_conflict=identity_in_conflict(borrower, as_of),
        applications_in_day=asked[0],
        applications_in_week=asked[1],
        payouts_in_day=paid_out[0],
        payouts_in_week=paid_out[1],
        registered_alike=standing.registered_alike(borrower, as_of),
        prices=prices(
            application, smaller_amounts(application.principal_cents, least_cents, policy.offer_step_cents)
        ),
        term_days=(due_on - local_day(as_of)).days,
        weekly_inflow_cents=limits.poor_week(standing.weekly_inflows(borrower.id, as_of)),
        draw=lot(application),
        drew_lately=exploration.drew(person, as_of, policy.explore_again_days),
        pot_loans=max(0, policy.explore_loans_per_day - lent_by_lot[0]),
        pot_cents=max(0, policy.explore_cents_per_day - lent_by_lot[1]),
    )


def prices(application: Application, smaller_cents: Sequence[int]) -> dict[str, int]:
    """Return fee and interest of what was asked for, as accepted, and of smaller amounts, by amount in cents."""
    on, pack = local_day(application.submitted_at), application.country_pack
    found = {str(application.principal_cents): application.fee_cents + application.interest_cents}
    for cents in smaller_cents:
        quoted = offers.quote(application.product_version, cents, on, pack)
        found[str(cents)] = quoted.fee_cents + quoted.interest_cents
    return found


def lot(application: Application) -> float:
    """Return the lot of an application, from [0, 1): the same whenever it is asked for, and guessed by nobody who
    does not have the key."""
    key = hashlib.sha256(b"lot of an application:" + settings.CALLBACK_KEY.encode()).digest()
    drawn = hmac.digest(key, application.reference.encode(), "sha256")
    return int.from_bytes(drawn[:6]) / 2**48


def explained_rung(borrower: Borrower, as_of: datetime, policy: Policy) -> int:
    """Return the rung that the person's clean loans explain."""
    return limits.explained_rung(
        borrower.rung,
        standing.clean_loan_days(borrower.identity_index, as_of),
        local_day(as_of),
        window_days=policy.climb_window_days,
        most=policy.climb_rungs,
    )


def consented(borrower: Borrower, purpose: str, at: datetime) -> bool:
    """Say whether the agreement to a purpose was in force at a moment."""
    given = Consent.objects.filter(borrower=borrower, purpose=purpose, granted=True, given_at__lte=at)
    return given.filter(Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gt=at)).exists()


def days_in_arrears(loans: QuerySet[Loan], as_of: datetime) -> int:
    """Return how late the oldest loan is that was open then and is not written off; 0 for none."""
    still_open = loans.filter(Q(settled_at__isnull=True) | Q(settled_at__gte=as_of)).filter(
        Q(written_off_at__isnull=True) | Q(written_off_at__gte=as_of)
    )
    today = local_day(as_of)
    return max((max((today - due).days, 0) for due in _due_dates(still_open)), default=0)


def days_since_default(loans: QuerySet[Loan], as_of: datetime) -> int | None:
    """Return the days since the latest loan over 30 days late was settled, None for no such loan."""
    settled = loans.filter(settled_at__lt=as_of).values_list("settled_at", "due_on")
    ends = [
        local_day(ended) for ended, due in settled if ended and due and (local_day(ended) - due).days > DEFAULT_DAYS
    ]
    return (local_day(as_of) - max(ends)).days if ends else None


def identity_in_conflict(borrower: Borrower, as_of: datetime) -> bool:
    """Say whether the same national ID is registered on another number under another name."""
    others = Borrower.objects.filter(identity_index=borrower.identity_index, registered_at__lt=as_of).exclude(
        id=borrower.id
    )
    return any(
        name.casefold() != borrower.full_name.casefold() for name in others.values_list("full_name", flat=True)
    )


def local_day(at: datetime) -> date:
    return calendar.business_date(at, settings.TIME_ZONE)


def _due_dates(loans: QuerySet[Loan]) -> list[date]:
    return [due for due in loans.values_list("due_on", flat=True) if due]
