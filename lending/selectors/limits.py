"""What bounds a person beside their rung: what they owe, earn and asked for, and whether the product rests."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, Sum, Value
from django.db.models.functions import Concat

from lending.models import (
    Application,
    AuditEvent,
    Borrower,
    Case,
    Decision,
    LimitRaise,
    Loan,
    ProductVersion,
    WalletMovement,
)
from lending.rules import calendar, limits
from lending.rules.limits import LossBrake, Losses

MONTH = timedelta(days=30)
# Numbers that follow each other are sold together: a block is all numbers that share all but the last digits.
BLOCK_DIGITS = 3
# Reasons that only say "too soon": an application refused for one must not push the next one further away.
PACE_REASONS = ("asked_often", "borrowed_often")
BRAKE_SUBJECT = "product:"
# A person stops lending at once: every product, or the computer alone, whose approvals a person then looks at.
ALL_PRODUCTS = f"{BRAKE_SUBJECT}*"
COMPUTER = "computer"


# --- a product that rests -----------------------------------------------------------------------------------
def brake_subject(code: str) -> str:
    """Return what the case of a product's loss brake is about."""
    return f"{BRAKE_SUBJECT}{code}"


OPEN_BRAKES = Case.objects.filter(kind__in=[Case.Kind.LOSS_BRAKE, Case.Kind.STOPPED], closed_at__isnull=True)
# The same two questions as parts of a query that reads something else.
PAUSED = Exists(
    OPEN_BRAKES.filter(Q(subject_key=Concat(Value(BRAKE_SUBJECT), OuterRef("code"))) | Q(subject_key=ALL_PRODUCTS))
)


def raise_waits(borrower_id: int | OuterRef) -> Exists:
    """Ask, within another query, whether a higher limit waits for a borrower's answer."""
    return Exists(LimitRaise.objects.filter(borrower_id=borrower_id, state=LimitRaise.State.OFFERED))


def is_paused(code: str) -> bool:
    """Say whether new approvals of a product rest until a person closes the case of its loss brake, or the one by
    which all lending was stopped."""
    return OPEN_BRAKES.filter(subject_key__in=[brake_subject(code), ALL_PRODUCTS]).exists()


def brake_is_pulled(code: str) -> bool:
    """Say whether the case of a product's own loss brake is open, whatever else rests."""
    return OPEN_BRAKES.filter(kind=Case.Kind.LOSS_BRAKE, subject_key=brake_subject(code)).exists()


def computer_is_stopped() -> bool:
    """Say whether a person has stopped the computer from approving."""
    return OPEN_BRAKES.filter(subject_key=COMPUTER).exists()


def stops() -> Sequence[Case]:
    """Return the open cases by which people stopped lending, the wider first."""
    return list(OPEN_BRAKES.filter(kind=Case.Kind.STOPPED).order_by("-subject_key"))


def lifted_on(code: str) -> date | None:
    """Return the day on which a person last closed the case of a product's brake, None for never."""
    closed = Case.objects.filter(
        kind=Case.Kind.LOSS_BRAKE, subject_key=brake_subject(code), closed_at__isnull=False
    ).order_by("-closed_at")
    last = closed.values_list("closed_at", flat=True).first()
    return calendar.business_date(last, settings.TIME_ZONE) if last else None


# A first payment is whole when what came in by the end of its grace covers all of the first installment.
FIRST_PAYMENTS = """
    SELECT count(*), count(*) FILTER (WHERE paid.cents IS NULL OR paid.cents < first.owed)
      FROM (SELECT item.id, item.due_on, item.principal_cents + item.interest_cents + item.fee_cents
                   + item.tax_cents + item.penalty_cents AS owed
              FROM lending_installment item
              JOIN lending_loan loan ON loan.id = item.loan_id
              JOIN lending_productversion product ON product.id = loan.product_version_id
             WHERE item.number = 1 AND product.code = %(code)s
               AND item.due_on > %(after)s AND item.due_on <= %(until)s) first
      LEFT JOIN LATERAL (
           SELECT sum(part.principal_cents + part.interest_cents + part.fee_cents + part.tax_cents
                      + part.penalty_cents) AS cents
             FROM lending_allocation part
            WHERE part.installment_id = first.id AND part.kind = 'paid'
              AND part.business_date <= first.due_on + %(grace)s) paid ON true
"""


def losses(code: str, brake: LossBrake, on: date) -> Losses:
    """Count first payments whose grace ended in the window up to the end of a day, and what is expected of new
    loans. What lies before the last time that a person let the product go on is not counted again."""
    window = timedelta(days=brake.window_days)
    since = max(on - window, lifted_on(code) or date.min)
    until = on - timedelta(days=brake.grace_days)
    with connection.cursor() as cursor:
        cursor.execute(
            FIRST_PAYMENTS,
            {
                "code": code,
                "after": max(until - window, since - timedelta(days=brake.grace_days)),
                "until": until,
                "grace": brake.grace_days,
            },
        )
        first_payments, defaulted = cursor.fetchone()
    approved = Decision.objects.filter(
        application__product_version__code=code,
        outcome=Decision.Outcome.APPROVE,
        score__isnull=False,
        decided_at__gte=calendar.start_of(since + timedelta(days=1), settings.TIME_ZONE),
        decided_at__lt=calendar.start_of(on + timedelta(days=1), settings.TIME_ZONE),
    ).aggregate(count=Count("id"), mean=Avg("score"))
    return Losses(first_payments, defaulted, approved["count"], approved["mean"])


def latest_versions(on: date) -> Sequence[ProductVersion]:
    """Return the version of each product that is in force on a day."""
    in_force = ProductVersion.objects.filter(effective_on__lte=on).order_by("code", "-effective_on", "-version")
    return list(in_force.distinct("code"))


# --- a person -----------------------------------------------------------------------------------------------
def owing_cents(identity_index: str) -> int:
    """Return what the person behind a national ID owes over all products and numbers; lost money is still owed."""
    mine = Loan.objects.filter(identity_index=identity_index)
    return mine.aggregate(sum=Sum(F("outstanding_cents") + F("written_off_cents")))["sum"] or 0


def applications_before(identity_index: str, at: datetime) -> tuple[int, int]:
    """Count what a person asked for in the day and the week before, on any number."""
    too_soon = [Q(decision__reasons__contains=[{"code": code}]) for code in PACE_REASONS]
    asked = Application.objects.filter(
        borrower__identity_index=identity_index, submitted_at__lt=at, submitted_at__gt=at - limits.WEEK
    ).exclude(too_soon[0] | too_soon[1])
    return limits.counted(asked.values_list("submitted_at", flat=True), at)


def payouts_before(identity_index: str, at: datetime) -> tuple[int, int]:
    """Count the loans of a person that were sent off in the day and the week before; failed payouts are none."""
    sent = Loan.objects.filter(
        identity_index=identity_index, approved_at__lt=at, approved_at__gt=at - limits.WEEK
    ).exclude(state=Loan.State.NOT_PAID_OUT)
    return limits.counted(sent.values_list("approved_at", flat=True), at)


def clean_loan_days(identity_index: str, at: datetime) -> list[date]:
    """Return the days on which a person settled loans by their due date, without those that were written off or
    that a new loan paid off."""
    clean = Loan.objects.filter(
        identity_index=identity_index, settled_at__lt=at, written_off_at__isnull=True, worst_days_past_due=0
    ).exclude(refinanced_by__disbursed_at__lt=at)
    settled = clean.values_list("settled_at", flat=True)
    return [calendar.business_date(moment, settings.TIME_ZONE) for moment in settled if moment]


def registered_alike(borrower: Borrower, at: datetime) -> int:
    """Count who else had registered by a moment, within an hour of a borrower, from the same block of numbers."""
    return (
        Borrower.objects.filter(
            msisdn__startswith=borrower.msisdn[:-BLOCK_DIGITS],
            registered_at__gt=borrower.registered_at - timedelta(hours=1),
            registered_at__lt=min(borrower.registered_at + timedelta(hours=1), at),
        )
        .exclude(identity_index=borrower.identity_index)
        .count()
    )


def monthly_inflows(borrower_id: int, at: datetime, months: int = 3) -> list[int]:
    """Return what came into a borrower's wallet in each of the last months of 30 days, the latest first.

    Months before the wallet was first seen are unknown and left out; months without inflow count as zero.
    """
    return _inflows(borrower_id, at, MONTH, months)


def weekly_inflows(borrower_id: int, at: datetime, weeks: int = 12) -> list[int]:
    """Return the same of the last weeks."""
    return _inflows(borrower_id, at, limits.WEEK, weeks)


def _inflows(borrower_id: int, at: datetime, period: timedelta, periods: int) -> list[int]:
    seen = WalletMovement.objects.filter(borrower_id=borrower_id, moved_at__lt=at)
    first = seen.order_by("moved_at").values_list("moved_at", flat=True).first()
    if first is None:
        return []
    lately = seen.filter(kind__in=WalletMovement.INFLOWS, moved_at__gte=at - periods * period)
    sums = [0] * min(periods, (at - first) // period + 1)
    for moved_at, cents in lately.values_list(F("moved_at"), F("amount_cents")):
        sums[min((at - moved_at) // period, len(sums) - 1)] += cents
    return sums


def offered_raise(borrower_id: int) -> LimitRaise | None:
    """Return the higher limit that a borrower has earned and not answered yet."""
    return LimitRaise.objects.filter(borrower_id=borrower_id, state=LimitRaise.State.OFFERED).first()


# What the trail calls each move of a limit.
MOVES = ("limit_moved", "limit_taken_back", "limit_chosen")


def last_move(borrower_id: int) -> AuditEvent | None:
    """Return what moved a borrower's limit last; None: nothing has, since they registered."""
    return AuditEvent.objects.filter(borrower_id=borrower_id, action__in=MOVES).order_by("-id").first()


def after_a_clean_loan_cents(borrower: Borrower, version: ProductVersion) -> int:
    """Return the limit to which one more loan that is repaid in time leads."""
    ladder = version.ladder_cents
    return limits.limit_at(limits.next_rung(borrower.rung, 0, top=len(ladder) - 1), ladder)
