"""The pot from which first loans are lent by lot: capped a day by PostgreSQL, not by timing."""

from django.conf import settings
from django.db.models import F

from lending.models import Application, ExplorationPot
from lending.ports import Exploration
from lending.rules import calendar


def take_from_pot(wanted: Exploration, application: Application) -> bool:
    """Take a loan from the pot of the day on which it was asked for, and say whether that pot held it.

    To be called in the transaction that approves: whoever else takes from the day's row waits for it, and what is
    rolled back is in the pot again. Source: docs/domain/decisions.md, "First loans by lot".
    """
    day = calendar.business_date(application.submitted_at, settings.TIME_ZONE)
    of_the_day = {"country": application.product_version.country, "day": day}
    ExplorationPot.objects.bulk_create([ExplorationPot(**of_the_day)], ignore_conflicts=True)
    cents = application.principal_cents
    room = {"loans__lt": wanted.loans_per_day, "cents__lte": wanted.cents_per_day - cents}
    taken = ExplorationPot.objects.filter(**of_the_day, **room).update(
        loans=F("loans") + 1, cents=F("cents") + cents
    )
    return taken == 1
