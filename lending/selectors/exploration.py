"""What was lent by lot, from which pot, and what became of it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Q, Sum

from lending.models import Decision, ExplorationPot, Loan
from lending.rules import calendar


@dataclass(frozen=True)
class Spending:
    """First loans lent by lot. ripe: due more than 30 days ago; defaulted: of those, over 30 days late or lost."""

    loans: int = 0
    cents: int = 0
    ripe: int = 0
    defaulted: int = 0


def taken(country: str, day: date) -> tuple[int, int]:
    """Return how many loans and cents the day's pot has given."""
    pot = ExplorationPot.objects.filter(country=country, day=day).values_list("loans", "cents").first()
    return pot or (0, 0)


def drew(identity_index: str, at: datetime, days: int) -> bool:
    """Say whether a lot decided on an application of this person in the days before, whichever way it fell."""
    drawn = Decision.objects.filter(propensity__lt=1, application__borrower__identity_index=identity_index)
    return drawn.filter(decided_at__lt=at, decided_at__gt=at - timedelta(days=days)).exists()


def spending(country: str, first: date, last: date, on: date) -> Spending:
    """Return what the pots of some days gave, the last day included, and what had become of it on a day."""
    pots = ExplorationPot.objects.filter(country=country, day__range=(first, last))
    given = pots.aggregate(loans=Sum("loans", default=0), cents=Sum("cents", default=0))
    lent = Loan.objects.filter(
        product_version__country=country,
        application__decision__outcome=Decision.Outcome.APPROVE,
        application__decision__propensity__lt=1,
        application__submitted_at__gte=calendar.start_of(first, settings.TIME_ZONE),
        application__submitted_at__lt=calendar.start_of(last + timedelta(days=1), settings.TIME_ZONE),
    )
    ripe = lent.filter(due_on__lt=on - timedelta(days=30))
    late = Q(worst_days_past_due__gt=30) | Q(written_off_at__isnull=False)
    return Spending(**given, **ripe.aggregate(ripe=Count("id"), defaulted=Count("id", filter=late)))
