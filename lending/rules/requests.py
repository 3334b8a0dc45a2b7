"""What people ask of us beside money, and by when they have an answer.

The law's clocks stand in the country pack (lending.rules.country); what is here is our own promise.
Source: docs/domain/requests.md.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise

from lending.rules.country import Contact, Country

# Somebody who asks for a person is called within so long.
CALL_WITHIN = timedelta(hours=24)
# So long after a refusal a person can be asked to look at it, once.
APPEAL_WITHIN = timedelta(days=14)
# The contact hours of a day are cut into so many parts, from which one is chosen to be called in.
PARTS_OF_A_DAY = 3
# A part of which less is left is over: nobody is found so quickly.
LEAST_LEFT = timedelta(minutes=30)


@dataclass(frozen=True)
class Clocks:
    """By when a request is to be acknowledged and answered; None: the pack names no time."""

    acknowledge_by: datetime | None
    answer_by: datetime | None


def complaint_clocks(law: Country, at: datetime) -> Clocks:
    """Return the clocks of a complaint made at a moment."""
    said = law.complaints
    if said is None:
        return Clocks(None, None)
    hours = said.acknowledge_hours
    return Clocks(
        None if hours is None else at + timedelta(hours=hours),
        at + timedelta(days=said.answer_days),
    )


def correction_due(law: Country, at: datetime) -> datetime | None:
    """Return by when a wish to correct data is answered."""
    return None if law.data_rights is None else at + timedelta(days=law.data_rights.correction_days)


def copy_due(law: Country, at: datetime) -> datetime | None:
    """Return by when a copy of all data is handed over."""
    return None if law.data_rights is None else at + timedelta(days=law.data_rights.access_days)


@dataclass(frozen=True)
class PartOfDay:
    """A stretch of local contact hours; the end is not included."""

    begins: time
    ends: time


def parts_of_day(contact: Contact) -> list[PartOfDay]:
    """Return the contact hours in parts that begin and end on the hour.

    08:00 to 19:00 are 08:00 to 12:00, 12:00 to 15:00 and 15:00 to 19:00.
    """
    opens, closes = (clock.hour * 60 + clock.minute for clock in (contact.opens, contact.closes))
    inner = [round((opens + (closes - opens) * part / PARTS_OF_A_DAY) / 60) for part in range(1, PARTS_OF_A_DAY)]
    marks = [contact.opens, *(time(hour) for hour in inner), contact.closes]
    return [PartOfDay(begins, ends) for begins, ends in pairwise(marks)]


def soonest_part(law: Country, at: datetime) -> int:
    """Return the part of the day that comes or goes on next."""
    parts = parts_of_day(law.contact)
    return min(range(len(parts)), key=lambda number: next_time(law, parts[number], at)[1])


def next_time(law: Country, part: PartOfDay, at: datetime) -> tuple[datetime, datetime]:
    """Return when a part of a day begins and ends next: today if enough of it is left, else tomorrow."""
    local = at.astimezone(law.zone)
    ends = local.replace(hour=part.ends.hour, minute=part.ends.minute, second=0, microsecond=0)
    day = local if ends - local >= LEAST_LEFT else local + timedelta(days=1)
    begins = day.replace(hour=part.begins.hour, minute=part.begins.minute, second=0, microsecond=0)
    return begins, day.replace(hour=part.ends.hour, minute=part.ends.minute, second=0, microsecond=0)
