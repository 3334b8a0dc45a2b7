"""One check of a business date: claimed by its row, kept whole or not at all, and a person called if it rings."""

from datetime import date, datetime, timedelta
from itertools import groupby

from django.conf import settings
from django.db import transaction

from lending.models import Case
from lending.rules import calendar
from lending.services import cases
from scoring.models import HealthCheck, HealthFigure
from scoring.monitor import applicants, matured, running
from scoring.monitor.figures import MEASURES, Figure, Night, State


class NotOver(ValueError):
    """The business date still goes on: what is checked now would not be the whole of it."""


def yesterday(at: datetime) -> date:
    """Return the latest business date that is over."""
    return calendar.business_date(at, settings.TIME_ZONE) - timedelta(days=1)


@transaction.atomic
def check(on: date, at: datetime) -> HealthCheck:
    """Measure how the model stood at the end of a business date, and open a case for each measure that rings.

    Repeats safely: a date that was checked stays as it was found. Who comes at the same time waits for the first.
    Nobody is called for a date when a later one has been checked: what rings now, that one says.

    Raises:
        NotOver: the date has not ended yet.
    """
    if on > yesterday(at):
        raise NotOver(f"{on} is not over yet, the latest date that is: {yesterday(at)}")
    made, is_new = HealthCheck.objects.get_or_create(business_date=on, defaults={"checked_at": at})
    if is_new:
        rows = [figure.as_row() for figure in figures(on)]
        for row in rows:
            row.night = made
        HealthFigure.objects.bulk_create(rows)
        if not HealthCheck.objects.filter(business_date__gt=on).exists():
            call_somebody(rows, at)
    return made


def figures(on: date) -> list[Figure]:
    """Return every figure of a date, as far as it is known at its end."""
    night = Night.of(on)
    return [*matured.figures(night), *applicants.figures(night), *running.figures(night)]


def call_somebody(rows: list[HealthFigure], at: datetime) -> None:
    """Open a case for each measure of a model that rings; while it is open no other one is.

    A case that was closed while it still rings is opened anew by the next night: nothing was mended.
    """

    def about(row: HealthFigure) -> tuple[str, str]:
        return row.measure, row.version

    ringing = sorted((row for row in rows if row.state == State.ALARM), key=about)
    for (measure, version), found in groupby(ringing, key=about):
        title = MEASURES[measure].title
        note = f"{title}: {'; '.join(row.words for row in found)}"
        subject = ":".join(filter(None, ("health", measure, version)))
        cases.open_case(kind=Case.Kind.MODEL_HEALTH, subject_key=subject, note=note, at=at)
