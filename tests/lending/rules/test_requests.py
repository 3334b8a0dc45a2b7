"""Clocks of requests, and the parts of a day in which somebody wants to be called."""

from datetime import UTC, datetime, time, timedelta

import pytest

from lending.rules import identity, requests
from lending.rules.country import Contact
from tests.lending.rules.packs import LAWS

KENYA = LAWS["ke"]
NOON = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # in Nairobi


def contact(opens: str, closes: str) -> Contact:
    return KENYA.contact.model_copy(
        update={"opens": time.fromisoformat(opens), "closes": time.fromisoformat(closes)}
    )


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_country_has_a_day_for_the_answer(name: str) -> None:
    assert requests.complaint_clocks(LAWS[name], NOON).answer_by is not None
    assert requests.correction_due(LAWS[name], NOON) is not None
    assert requests.copy_due(LAWS[name], NOON) is not None


def test_a_complaint_in_kenya_is_acknowledged_in_two_days_and_answered_in_thirty() -> None:
    clocks = requests.complaint_clocks(KENYA, NOON)
    assert clocks == requests.Clocks(NOON + timedelta(hours=48), NOON + timedelta(days=30))


def test_a_pack_that_names_no_time_promises_none() -> None:
    silent = KENYA.model_copy(update={"complaints": None, "data_rights": None})
    assert requests.complaint_clocks(silent, NOON) == requests.Clocks(None, None)
    assert requests.correction_due(silent, NOON) is None and requests.copy_due(silent, NOON) is None


@pytest.mark.parametrize(
    ("opens", "closes", "marks"),
    [("08:00", "19:00", "08 12 15 19"), ("09:00", "18:00", "09 12 15 18"), ("07:30", "19:30", "07 12 16 19")],
)
def test_the_parts_of_a_day_are_its_contact_hours(opens: str, closes: str, marks: str) -> None:
    parts = requests.parts_of_day(contact(opens, closes))
    assert [f"{part.begins:%H}" for part in parts] + [f"{parts[-1].ends:%H}"] == marks.split()
    assert parts[0].begins.isoformat("minutes") == opens and parts[-1].ends.isoformat("minutes") == closes


@pytest.mark.parametrize(
    ("utc", "part", "when"),
    [
        ("05:00", 0, "2026-03-02 08:00"),  # eight o'clock in Nairobi
        ("08:29", 0, "2026-03-02 08:00"),
        ("08:31", 0, "2026-03-03 08:00"),  # less than half an hour of the morning is left
        ("08:31", 1, "2026-03-02 12:00"),
        ("20:00", 2, "2026-03-03 15:00"),
        ("21:30", 0, "2026-03-03 08:00"),  # after midnight in Nairobi
    ],
)
def test_a_part_that_is_nearly_over_means_the_next_day(utc: str, part: int, when: str) -> None:
    at = datetime.fromisoformat(f"2026-03-02T{utc}+00:00")
    begins, ends = requests.next_time(KENYA, requests.parts_of_day(KENYA.contact)[part], at)
    assert f"{begins:%Y-%m-%d %H:%M}" == when and begins.utcoffset() == timedelta(hours=3) and ends > at


@pytest.mark.parametrize(("utc", "part"), [("04:00", 0), ("08:31", 1), ("11:45", 2), ("15:45", 0)])
def test_the_soonest_part_is_the_one_that_ends_next(utc: str, part: int) -> None:
    assert requests.soonest_part(KENYA, datetime.fromisoformat(f"2026-03-02T{utc}+00:00")) == part


@pytest.mark.parametrize("typed", ["", "0711", "07110001011", "+255711000101", "0011000101", "٠٧١١٠٠٠١٠١", "x"])
def test_what_is_no_number_of_the_country_is_refused(typed: str) -> None:
    with pytest.raises(identity.InvalidNumber):
        identity.clean_number(typed, "254")
