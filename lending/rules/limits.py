"""Limits: the ladder, what an income carries, how fast one may borrow, and when a product must pause.

The figures are the product's, the country pack's and the policy's. Source: docs/domain/limits.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median_low
from typing import Annotated, Any

from pydantic import Field

from lending.rules.reading import Count, Frozen, Rate, read

DAY, WEEK = timedelta(days=1), timedelta(days=7)


# --- the ladder ---------------------------------------------------------------------------------------------
def next_rung(rung: int, worst_days_late: int, top: int) -> int:
    """Return the rung after a loan is settled: paid by its due date is one up, 1-7 days late one down,
    8-30 two down, more than 30 back to the first.

    Raising without limit makes people repay worse (docs/domain/limits.md), hence one rung at a time.

    >>> next_rung(2, 0, 9), next_rung(2, 3, 9), next_rung(2, 20, 9), next_rung(5, 31, 9), next_rung(9, 0, 9)
    (3, 1, 0, 0, 9)
    """
    if worst_days_late > 30:
        return 0
    if worst_days_late > 7:
        return max(0, rung - 2)
    if worst_days_late > 0:
        return max(0, rung - 1)
    return min(top, rung + 1)


def limit_at(rung: int, ladder_cents: Sequence[int]) -> int:
    """Return the limit in cents at a rung; beyond the last rung the last holds."""
    return ladder_cents[min(rung, len(ladder_cents) - 1)]


def explained_rung(rung: int, clean_on: Sequence[date], on: date, *, window_days: int, most: int) -> int:
    """Return the rung that clean loans explain: one for each, and at most `most` within the last days.

    `clean_on`: the days on which loans were settled in time. A ring that means to run climbs by many small
    quick loans; the difference to `rung` is what only a person lends.

    >>> days = [date(2026, 3, day) for day in (1, 2, 3, 4)]
    >>> [explained_rung(4, days, date(2026, 3, 5), window_days=30, most=most) for most in (4, 2)]
    [4, 2]
    """
    lately = sum(1 for day in clean_on if (on - day).days < window_days)
    return max(0, min(rung, len(clean_on)) - max(0, lately - most))


# --- what an income carries ---------------------------------------------------------------------------------
def estimated_inflow(monthly_inflows: Sequence[int]) -> int | None:
    """Return what usually comes in within a month, None where nothing is known.

    The median, and of an even number the lower of the middle two: one sale of a cow is not an income.

    >>> estimated_inflow([900_000, 4_000_000, 1_000_000]), estimated_inflow([])
    (1000000, None)
    """
    return median_low(monthly_inflows) if monthly_inflows else None


def poor_week(weekly_inflows: Sequence[int]) -> int | None:
    """Return what comes in in a poor week, the lower quartile of the weeks; None where nothing is known.

    >>> poor_week([0, 100_000, 250_000, 250_000, 300_000, 300_000, 400_000, 900_000]), poor_week([])
    (100000, None)
    """
    return sorted(weekly_inflows)[(len(weekly_inflows) - 1) // 4] if weekly_inflows else None


def repayable_cents(inflow_cents: int, share: Decimal, debts_cents: int) -> int:
    """Return what may be repaid within a month: the country's share of the inflow, less what is owed already.

    >>> repayable_cents(1_000_000, Decimal("0.30"), 100_000)
    200000
    """
    return max(0, int(share * inflow_cents) - debts_cents)


def room_cents(limit_cents: int, owing_cents: int) -> int:
    """Return what may still be lent to one person within a limit over all products."""
    return max(0, limit_cents - owing_cents)


# --- how fast -----------------------------------------------------------------------------------------------
def counted(moments: Iterable[datetime], at: datetime) -> tuple[int, int]:
    """Return how many moments lie in the day and in the week before `at`."""
    ages = [at - moment for moment in moments]
    return sum(age < DAY for age in ages), sum(age < WEEK for age in ages)


def too_many(in_day: int, in_week: int, *, per_day: int, per_week: int) -> bool:
    """Say whether one more would be more than a day or a week allows.

    >>> too_many(2, 2, per_day=3, per_week=5), too_many(3, 3, per_day=3, per_week=5)
    (False, True)
    """
    return in_day >= per_day or in_week >= per_week


# --- when a product must pause ------------------------------------------------------------------------------
class LossBrake(Frozen):
    """When new approvals of a product stop until a person has looked. Rates are shares.

    A first payment counts as defaulted when it is not whole `grace_days` after its date. `window_days`: how
    long back is looked; fewer than `least_loans` prove nothing.
    """

    window_days: Annotated[int, Field(strict=True, ge=1)]
    grace_days: Count
    least_loans: Annotated[int, Field(strict=True, ge=1)]
    max_first_payment_default: Rate
    max_expected_default: Rate


def brake_from(given: Mapping[str, Any]) -> LossBrake:
    """Read the brake of a product version.

    Raises:
        Refused: with the path of the first field at fault.
    """
    return read(LossBrake, given)


@dataclass(frozen=True)
class Losses:
    """What a product lost and is expected to lose over the window of its brake."""

    first_payments: int
    defaulted: int
    approvals: int
    expected_default: float | None


def brake_reason(losses: Losses, brake: LossBrake) -> str:
    """Return in words why a product must pause, empty while it need not."""
    if losses.first_payments >= brake.least_loans:
        share = Decimal(losses.defaulted) / losses.first_payments
        if share > brake.max_first_payment_default:
            return (
                f"{losses.defaulted} of {losses.first_payments} first payments ({share:.1%}) were not whole "
                f"{brake.grace_days} days after their date; the brake is at {brake.max_first_payment_default:.1%}"
            )
    expected = losses.expected_default
    if expected is not None and losses.approvals >= brake.least_loans and expected > brake.max_expected_default:
        return (
            f"the {losses.approvals} loans approved in {brake.window_days} days are expected to default at "
            f"{expected:.1%}; the brake is at {brake.max_expected_default:.1%}"
        )
    return ""
