"""The mobile-loan record of Kenya's credit bureaus: 31 fields in order, and what keeps a record out of the file.

Source: Data Specification Template version 4, mobile facilities, as public code has it; to be confirmed against
the template in force before a file goes out. Own rules: docs/domain/metrics.md, "Bureau file".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from lending.rules.arrears import classify

MOBILE_LOAN = "I"
NATIONAL_ID = "001"
# A notice is owed when a loan is so many days late. Source: docs/domain/metrics.md, "Bureau file".
NOTICE_AFTER_DAYS = 30
CLASS_CODES = {"normal": "A", "watch": "B", "substandard": "C", "doubtful": "D", "loss": "E"}


@dataclass(frozen=True)
class MobileLoan:
    """A loan as it stands on the day of the file. Amounts are cents; `closed_on` is None while it owes anything.

    `noticed_on` is the day on which the notice about these arrears was delivered, if nothing was paid since;
    `disputed_on` the one on which the customer said that something is wrong, until a person has answered.
    """

    on: date
    full_name: str
    national_id: str
    msisdn: str
    client_number: str
    reference: str
    currency: str
    principal_cents: int
    owed_cents: int
    overdue_cents: int
    items_overdue: int
    unpaid_since: date | None
    first_due_on: date
    last_due_on: date
    first_installment_cents: int
    disbursed_on: date
    closed_on: date | None
    written_off_on: date | None
    restructured_on: date | None
    is_deceased: bool
    paid_on: date | None
    paid_cents: int
    may_share: bool
    noticed_on: date | None
    disputed_on: date | None = None

    @property
    def days_late(self) -> int:
        return max(0, (self.on - self.unpaid_since).days) if self.unpaid_since else 0


@dataclass(frozen=True)
class Listing:
    """When a country's law lets a bad record be shared. `minimum_cents`: it must be about more than this."""

    notice_days: int
    minimum_cents: int


@dataclass(frozen=True)
class Field:
    """One field of the record. A check returns what is wrong with a value that is there, or nothing."""

    name: str
    value: Callable[[MobileLoan], str]
    mandatory: bool = False
    width: int = 50
    check: Callable[[str], str] = lambda value: ""


@dataclass(frozen=True)
class Fault:
    """Why a record stays out: `field` is a field's name, or `consent` or `listing` for our own rules."""

    field: str
    reason: str


def _nothing(loan: MobileLoan) -> str:
    """We do not ask our customers for it. Where the template wants it, the bureau warns and accepts."""
    return ""


def _day(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _forename(place: int) -> Callable[[MobileLoan], str]:
    """Names are written given name first, family name last; what does not fit three forenames joins the third."""

    def value(loan: MobileLoan) -> str:
        given = loan.full_name.split()[:-1]
        return [*given[:2], " ".join(given[2:]), "", ""][place]

    return value


def _surname(loan: MobileLoan) -> str:
    names = loan.full_name.split()
    return names[-1] if len(names) > 1 else ""


def _status(loan: MobileLoan) -> tuple[str, date]:
    """Return code and date of the account's status, the gravest first."""
    if loan.closed_on:
        return "A", loan.closed_on
    if loan.is_deceased:
        return "L", loan.on
    if loan.written_off_on:
        return "C", loan.written_off_on
    if loan.restructured_on:
        return "G", loan.restructured_on
    return "F", loan.disbursed_on


def _months(loan: MobileLoan) -> str:
    """A term of 30 days is one month, a shorter one, too."""
    return str(max(1, -(-(loan.last_due_on - loan.disbursed_on).days // 31)))


def _is_name(value: str) -> str:
    return "" if re.fullmatch(r"[^\W\d_][\w' -]+", value) else "a name has two letters or more"


def _is_national_id(value: str) -> str:
    return "" if re.fullmatch(r"[0-9]{1,8}", value) else "a national ID has 1 to 8 digits"


def _is_phone(value: str) -> str:
    return "" if re.fullmatch(r"[0-9]{9,15}", value) else "a phone number has 9 to 15 digits"


def _is_shillings(value: str) -> str:
    return "" if value == "KES" else f"the balance in KES of a loan in {value} is not known"


FIELDS = (
    Field("Surname", _surname, True, 50, _is_name),
    Field("Forename1", _forename(0), True, 50, _is_name),
    Field("Forename2", _forename(1), check=_is_name),
    Field("Forename3", _forename(2), check=_is_name),
    Field("TradingAs", _nothing),
    Field("DateOfBirth", _nothing, width=8),
    Field("ClientNumber", lambda loan: loan.client_number, width=20),
    Field("AccountNumber", lambda loan: loan.reference, True, 20),
    Field("Gender", _nothing, width=1),
    Field("Nationality", _nothing, width=2),
    Field("PrimaryIDType", lambda loan: NATIONAL_ID, True, 3),
    Field("PrimaryIDNumber", lambda loan: loan.national_id, True, 8, _is_national_id),
    Field("MobilePhone", lambda loan: loan.msisdn, True, 15, _is_phone),
    Field("ProductType", lambda loan: MOBILE_LOAN, True, 1),
    Field("InstalmentDueDate", lambda loan: _day(loan.unpaid_since or loan.last_due_on), True, 8),
    Field("OriginalAmount", lambda loan: _amount(loan.principal_cents), True, 16),
    Field("Currency", lambda loan: loan.currency, True, 3, _is_shillings),
    Field("CurrentBalanceKES", lambda loan: _amount(loan.owed_cents), True, 16),
    Field("CurrentBalance", lambda loan: _amount(loan.owed_cents), True, 16),
    Field("OverdueBalance", lambda loan: _amount(loan.overdue_cents), True, 16),
    Field("OverdueDate", lambda loan: _day(loan.unpaid_since) if loan.overdue_cents else "", width=8),
    Field("DaysInArrears", lambda loan: str(loan.days_late), True, 5),
    Field("InstalmentsInArrears", lambda loan: str(loan.items_overdue), True, 5),
    Field("PrudentialClass", lambda loan: CLASS_CODES[classify(loan.days_late)], True, 1),
    Field("AccountStatus", lambda loan: _status(loan)[0], True, 1),
    Field("StatusDate", lambda loan: _day(_status(loan)[1]), True, 8),
    Field("RepaymentPeriod", _months, True, 3),
    Field("DisbursementDate", lambda loan: _day(loan.disbursed_on), width=8),
    Field("InstalmentAmount", lambda loan: _amount(loan.first_installment_cents), True, 16),
    Field("LatestPaymentDate", lambda loan: _day(loan.paid_on), width=8),
    Field("LastPaymentAmount", lambda loan: _amount(loan.paid_cents), True, 16),
)


def record_of(loan: MobileLoan) -> tuple[str, ...]:
    """Return the record's 31 values in order. Dates are YYYYMMDD, amounts have two decimals."""
    return tuple(field.value(loan) for field in FIELDS)


def faults(loan: MobileLoan, listing: Listing) -> list[Fault]:
    """Return all that keeps a loan out of the file; nothing for one that goes in."""
    return [*_formal(record_of(loan)), *_contradictions(loan), *_unlawful(loan, listing)]


def _formal(record: tuple[str, ...]) -> Iterator[Fault]:
    for field, value in zip(FIELDS, record, strict=True):
        if not value:
            if field.mandatory:
                yield Fault(field.name, "mandatory, and empty")
        elif len(value) > field.width:
            yield Fault(field.name, f"{len(value)} characters, at most {field.width}")
        elif wrong := field.check(value):
            yield Fault(field.name, wrong)


def _contradictions(loan: MobileLoan) -> Iterator[Fault]:
    if (loan.days_late > 0) != (loan.items_overdue > 0):
        yield Fault("InstalmentsInArrears", f"{loan.items_overdue} with {loan.days_late} days in arrears")
    if min(loan.owed_cents, loan.overdue_cents, loan.owed_cents - loan.overdue_cents) < 0:
        yield Fault("OverdueBalance", "balance and overdue balance contradict each other")


def _unlawful(loan: MobileLoan, listing: Listing) -> Iterator[Fault]:
    """What the law or our word to the customer keeps out.

    Source: Kenya, CRB Regulations 2020, reg. 26(1); CBK DCP Regulations 2022; fixtures/countries/ke.json.
    """
    if not loan.may_share:
        yield Fault("consent", "the customer did not agree that data go to credit bureaus")
    if loan.days_late == 0:
        return
    if loan.disputed_on is not None:
        yield Fault("listing", f"late, and disputed by the customer since {loan.disputed_on}")
    if loan.owed_cents <= listing.minimum_cents:
        yield Fault(
            "listing", f"late with {_amount(loan.owed_cents)}, listed above {_amount(listing.minimum_cents)}"
        )
    if loan.noticed_on is None or loan.noticed_on + timedelta(days=listing.notice_days) > loan.on:
        told = f"delivered on {loan.noticed_on}" if loan.noticed_on else "none is on record"
        yield Fault("listing", f"late, and needs a notice {listing.notice_days} days before; {told}")
