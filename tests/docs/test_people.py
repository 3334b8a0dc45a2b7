"""The worked examples about people: requests, data rights, and numbers that stand still."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User

from lending.models import AccessRecord, Borrower, Case, Consent, Loan, Preference
from lending.payments import engine
from lending.rules import requests, retention
from lending.selectors.preferences import may_send
from lending.services import access, applications, cases, complaints, consents, holds, people
from tests import factories
from tests.docs.tables import Row, checked_tables
from tests.factories import NOON, PIN
from tests.lending.rules.packs import LAWS
from tests.ussd.test_notices import tell
from ussd import sms, texting

PAGES = ("requests", "data_rights", "people")
TABLES = {name: rows for name, rows in checked_tables().items() if name.split(".")[0] in PAGES}
NAIROBI = ZoneInfo("Africa/Nairobi")
CHECKED: set[str] = set()


def rows(name: str) -> Callable[[Any], Any]:
    """Run a test once for each row of a table."""
    CHECKED.add(name)
    return pytest.mark.parametrize("row", TABLES.get(name, []), ids=str)


def local(cell: str) -> datetime:
    return datetime.fromisoformat(cell).replace(tzinfo=NAIROBI)


def shown(at: datetime | None) -> str:
    return f"{at.astimezone(NAIROBI):%Y-%m-%d %H:%M}" if at else ""


@rows("requests.call")
def test_a_call_is_promised_for_the_hours_of_the_table(row: Row) -> None:
    part = requests.parts_of_day(LAWS["ke"].contact)[int(row["Part"]) - 1]
    begins, ends = requests.next_time(LAWS["ke"], part, local(row["Asked at (local time)"]))
    assert (shown(begins), f"{ends:%H:%M}") == (row["Called from"], row["to"])


@rows("requests.clocks")
def test_a_complaint_has_the_clocks_of_its_country(row: Row) -> None:
    clocks = requests.complaint_clocks(LAWS[row["Country"].lower()], local(row["Complaint made"]))
    assert shown(clocks.acknowledge_by) == row["Taken up by"]
    assert shown(clocks.answer_by) == row["Answered by"]


@rows("requests.wanted")
def test_a_message_is_sent_as_the_table_says(row: Row, amina: Borrower) -> None:
    agreed = row["Agreed to offers"] == "yes"
    consents.answer(
        borrower_id=amina.id, purpose="marketing", granted=agreed, text_version="1", language="en", at=NOON
    )
    if row["Said"]:
        texting.take_incoming(
            gateway="at", message_id="1", msisdn=amina.msisdn, sent_to="20384", text=row["Said"], at=NOON
        )
    for purpose in Preference.Purpose:
        assert may_send(amina, purpose, NOON) == (row[purpose.value.capitalize()] == "yes"), purpose


@rows("data_rights.agreements")
def test_an_agreement_is_taken_back_by_itself_or_not(row: Row) -> None:
    assert (Consent.Purpose(row["Agreement"]) in consents.WITHDRAWABLE) == (row["Taken back by itself"] == "yes")


def test_every_agreement_is_in_the_table() -> None:
    assert [row["Agreement"] for row in TABLES["data_rights.agreements"]] == Consent.Purpose.values


@rows("data_rights.kept")
def test_records_are_kept_as_long_as_the_law_says(row: Row) -> None:
    law, last_on = LAWS[row["Country"].lower()].retention, date.fromisoformat(row["Money last moved"])
    until = retention.kept_until(last_on, law.records_years) if law and law.records_years else None
    assert (until.isoformat() if until else "") == row["Kept until"]


@rows("data_rights.purposes")
def test_a_look_is_for_the_most_pressing_work(row: Row, aminas_loan: Loan, amina: Borrower) -> None:
    def open_case() -> None:
        cases.open_case(kind=Case.Kind.DISPUTE, subject_key="x", note="", borrower=amina, at=NOON)

    def late() -> None:
        Loan.objects.filter(id=aminas_loan.id).update(days_past_due=1)

    def referred() -> None:
        asked = applications.Application.objects
        asked.filter(id=aminas_loan.application_id).update(state=applications.Application.State.REFERRED)

    def request() -> None:
        complaints.complain(msisdn=amina.msisdn, topic="price", language="en", at=NOON)

    # Each line of the table also holds with what stands below it.
    steps = {
        "nothing": (),
        "another case about the customer": (open_case,),
        "a live loan that is late": (open_case, late),
        "a referred application": (open_case, late, referred),
        "a request of the customer, whatever else": (open_case, late, referred, request),
    }
    for step in steps[row["Open at that moment"]]:
        step()
    officer = User.objects.create_user("wambui")
    assert access.record_look(borrower_id=amina.id, officer=officer, at=NOON).purpose == row["What for"]


def test_every_purpose_of_a_look_is_in_the_table() -> None:
    assert [row["What for"] for row in TABLES["data_rights.purposes"]] == AccessRecord.Purpose.values


@rows("people.holds")
def test_a_hold_stops_what_the_table_says(
    row: Row, amina: Borrower, fixed_scorer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.decide(factories.apply(amina))
    if row["Hold"] != "none":
        holds.hold(amina, row["Hold"], NOON)
    try:
        people.check_pin(borrower_id=amina.id, pin=PIN, at=NOON)
        takes_pin = "yes"
    except people.PinLocked:
        takes_pin = "no"
    assert takes_pin == row["Takes a PIN"]
    is_due = bool(list(engine._due("daraja", ("disburse",), NOON)))
    assert is_due == (row["Is paid out to"] == "yes")
    loan = factories.pay_out(Loan.objects.get())
    monkeypatch.setattr(sms, "send", lambda *_: None)
    at = datetime(2026, 3, 30, 17, 30, tzinfo=NAIROBI)
    written = tell("repayment_reminder", at, loan_id=loan.id, due_on="2026-04-01", days=2)
    assert (written is not None and written.state != "stopped") == (row["Is reminded"] == "yes")


def test_every_hold_is_in_the_table() -> None:
    assert [row["Hold"] for row in TABLES["people.holds"]] == ["none", *Borrower.Hold.values]


def test_every_table_of_these_pages_is_checked() -> None:
    assert set(TABLES) == CHECKED
