"""What another lender's files say, row by row: read, checked, and compared with what our calculator gets.

Pure: files, database and clock are elsewhere. A value that cannot be taken is a Problem with file, line and
column, what is needed and what came; what tells who somebody is never stands in one.

Source: docs/domain/history.md.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, get_args
from zoneinfo import ZoneInfo

from lending.rules import calendar, identity, money, pricing
from lending.rules.country import Language
from lending.rules.facts import Life
from lending.rules.terms import Terms

BORROWERS, LOANS, REPAYMENTS = "borrowers", "loans", "repayments"
STATES = ("live", "settled", "written_off")
PURPOSES = ("service", "scoring", "wallet", "bureau", "marketing", "savings")
LANGUAGES = get_args(Language)
MOST_CENTS = 10**13  # 100 billion: more is a slip of the decimal point
FIRST = date(1990, 1, 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not add up. `line` is that of the file; in Parquet, the number of the row."""

    file: str
    line: int
    column: str
    needed: str
    got: str = ""

    def __str__(self) -> str:
        shown = f", got {self.got[:60]!r}" if self.got else ""
        return f"{self.file}:{self.line}: {self.column} must be {self.needed}{shown}"


class CannotTake(ValueError):
    """A cell does not hold what its column needs; the message says what that is."""


# --- cells ------------------------------------------------------------------------------------------------
def _text(cell: object) -> str:
    """Return a cell as text, as CSV has it; a number of Parquet is the number's digits."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, int | Decimal) and not isinstance(cell, bool):
        return str(cell)
    raise CannotTake("text")


def _identifier(cell: object) -> str:
    text = _text(cell)
    if not re.fullmatch(r"[\w./-]{1,24}", text, flags=re.ASCII):
        raise CannotTake("1 to 24 letters, digits, '.', '/', '_' or '-'")
    return text


def _msisdn(cell: object) -> str:
    digits = _text(cell).removeprefix("+")
    if not re.fullmatch(r"[1-9][0-9]{6,14}", digits, flags=re.ASCII):
        raise CannotTake("a number with its country code, such as 254700000000")
    return digits


def _name(cell: object) -> str:
    try:
        return identity.clean_name(_text(cell))
    except identity.InvalidName:
        raise CannotTake("a name of 2 to 60 letters") from None


def _cents(cell: object) -> int:
    """Return the cents of an amount in whole units of the currency, with at most two decimals."""
    needed = "an amount in plain digits with at most two decimals, such as 500 or 500.50"
    if not isinstance(cell, float) and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", _text(cell), flags=re.ASCII):
        raise CannotTake(needed)
    try:
        cents = money.from_units(cell if isinstance(cell, float) else _text(cell))
    except ValueError:
        raise CannotTake(needed) from None
    if not 0 <= cents <= MOST_CENTS:
        raise CannotTake(f"an amount from 0 to {MOST_CENTS // 100}")
    return cents


def _positive_cents(cell: object) -> int:
    if not (cents := _cents(cell)):
        raise CannotTake("an amount above 0")
    return cents


def _count(cell: object) -> int:
    digits = _text(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", digits, flags=re.ASCII):
        raise CannotTake("a whole number from 1 to 9999")
    return int(digits)


def _one_of(*words: str) -> Callable[[object], str]:
    def read(cell: object) -> str:
        word = _text(cell).lower()
        if word not in words:
            raise CannotTake(f"one of {', '.join(words)}")
        return word

    return read


def _currency(cell: object) -> str:
    return _one_of(*(code.lower() for code in money.CURRENCIES))(cell).upper()


def _purposes(cell: object) -> list[str]:
    given = _text(cell).lower().split()
    if not set(given) <= set(PURPOSES):
        raise CannotTake(f"words among {', '.join(PURPOSES)}, with spaces between")
    return sorted(set(given))


@dataclass(frozen=True, slots=True)
class Clock:
    """How moments are read. `now` is the moment of the import: nothing has happened after it."""

    zone: str
    now: datetime

    def moment(self, cell: object, last: bool = False) -> str:
        """Return a moment in ISO. Without a zone it is local; a date alone is the day's first moment, or last."""
        found = cell if isinstance(cell, date) else _iso(_text(cell))
        if not isinstance(found, datetime):
            found = datetime.combine(found, time.max if last else time.min)
        if found.tzinfo is None:
            found = found.replace(tzinfo=ZoneInfo(self.zone))
        if found.year < FIRST.year or found > self.now:
            raise CannotTake(f"from {FIRST} until now ({self.now:%Y-%m-%d %H:%M})")
        return found.astimezone(UTC).isoformat()

    def ended(self, cell: object) -> str:
        """Return a day that is over, in ISO."""
        found = cell if isinstance(cell, date) else _iso(_text(cell))
        day = found.date() if isinstance(found, datetime) else found
        if not FIRST <= day < calendar.business_date(self.now, self.zone):
            raise CannotTake("a day that is over")
        return day.isoformat()


def _iso(text: str) -> date:
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise CannotTake("a date or a moment such as 2025-03-31 or 2025-03-31T14:05") from None


# --- rows -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file. What `is_private` says who somebody is and is never shown."""

    name: str
    read: Callable[[object], Any]
    is_needed: bool = False
    is_private: bool = False


def columns_of(file: str, clock: Clock, national_id_pattern: str) -> tuple[Column, ...]:
    """Return the columns of a file; the first one names the row, the second one whose it is."""

    def national_id(cell: object) -> str:
        try:
            return identity.clean_national_id(_text(cell), national_id_pattern)
        except identity.InvalidNationalId:
            raise CannotTake(f"of the form {national_id_pattern}") from None

    def end_of_day(cell: object) -> str:
        return clock.moment(cell, last=True)

    if file == BORROWERS:
        return (
            Column("borrower_id", _identifier, is_needed=True),
            Column("phone", _msisdn, is_needed=True, is_private=True),
            Column("name", _name, is_needed=True, is_private=True),
            Column("national_id", national_id, is_needed=True, is_private=True),
            Column("registered_at", clock.moment, is_needed=True),
            Column("language", _one_of(*LANGUAGES)),
            Column("consents", _purposes),
            Column("consented_at", clock.moment),
        )
    if file == LOANS:
        return (
            Column("loan_id", _identifier, is_needed=True),
            Column("borrower_id", _identifier, is_needed=True),
            Column("principal", _positive_cents, is_needed=True),
            Column("disbursed_at", clock.moment, is_needed=True),
            Column("product", _identifier),
            Column("product_version", _count),
            Column("currency", _currency),
            Column("installments", _count),
            Column("every", _count),
            Column("unit", _one_of(*calendar.UNITS)),
            Column("fee", _cents),
            Column("tax", _cents),
            Column("interest", _cents),
            Column("written_off_at", end_of_day),
            Column("closing_balance", _cents),
            Column("closing_state", _one_of(*STATES)),
            Column("closing_on", clock.ended),
        )
    return (
        Column("repayment_id", _identifier, is_needed=True),
        Column("loan_id", _identifier, is_needed=True),
        Column("amount", _positive_cents, is_needed=True),
        Column("paid_at", end_of_day, is_needed=True),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A row as far as it can be read: values by column, and what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    problems: tuple[Problem, ...]


def read_row(file: str, columns: Sequence[Column], cells: Mapping[str, object], line: int) -> Row:
    """Return the values of a row and everything that is wrong with it; an empty cell is no value."""
    values: dict[str, Any] = {}
    problems = []
    for column in columns:
        cell = cells.get(column.name)
        if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):  # NaN is not itself
            if column.is_needed:
                problems.append(Problem(file, line, column.name, "given"))
            continue
        try:
            values[column.name] = column.read(cell)
        except CannotTake as error:
            shown = "" if column.is_private else str(cell)
            problems.append(Problem(file, line, column.name, str(error), shown))
    if not problems:
        problems += [Problem(file, line, *wrong) for wrong in _ACROSS[columns[0].name](values)]
    return Row(line, values, tuple(problems))


_TERM = ("currency", "installments", "every", "unit", "fee", "tax", "interest")
Wrong = tuple[str, str, str]


def _of_borrower(values: Mapping[str, Any]) -> Iterable[Wrong]:
    if values.get("consents") and "consented_at" not in values:
        yield "consented_at", "given with consents", ""


def _of_loan(values: Mapping[str, Any]) -> Iterable[Wrong]:
    if ("product" in values) != ("product_version" in values):
        yield "product_version", "given with product, and only with it", str(values.get("product_version", ""))
    elif "product" not in values:
        for name in _TERM:
            if name not in values:
                yield name, "given where no product is", ""
    if values.get("written_off_at", values["disbursed_at"]) < values["disbursed_at"]:
        yield "written_off_at", "no earlier than disbursed_at", values["written_off_at"]
    if values.get("closing_state") == "written_off" and "written_off_at" not in values:
        yield "written_off_at", "given where closing_state is written_off", ""


def _of_repayment(values: Mapping[str, Any]) -> Iterable[Wrong]:
    return ()


_ACROSS: Mapping[str, Callable[[Mapping[str, Any]], Iterable[Wrong]]] = {
    "borrower_id": _of_borrower,
    "loan_id": _of_loan,
    "repayment_id": _of_repayment,
}


# --- loans ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Version:
    """A product version of ours that a past loan may have been made under."""

    id: int
    code: str
    number: int
    effective_on: date
    terms: Terms


class NoSuchProduct(ValueError):
    """A past loan fits no product version, or more than one; `column` and `needed` say what is wrong."""

    def __init__(self, column: str, needed: str, got: str = "") -> None:
        super().__init__(f"{column} must be {needed}")
        self.column, self.needed, self.got = column, needed, got


def version_of(values: Mapping[str, Any], on: date, versions: Iterable[Version]) -> Version:
    """Return the product version of a past loan: the one that its row names, or the one whose terms are the
    row's. Where several are, the newest that was in force on the day of the payout.

    Raises:
        NoSuchProduct: none or too many, or another price than the row says.
    """
    if "product" in values:
        return _named(values, on, versions)
    fitting = [one for one in versions if _term_of(one.terms) == _told_term(values)]
    fitting = [one for one in fitting if not _off_price(values, on, one)]
    if not fitting:
        raise NoSuchProduct("installments", "terms of a product version of ours, fee, tax and interest included")
    codes = sorted({one.code for one in fitting})
    if len(codes) > 1:
        raise NoSuchProduct("product", f"given: these terms are those of {', '.join(codes)}")
    in_force = [one for one in fitting if one.effective_on <= on] or fitting[:1]
    return max(in_force, key=lambda one: one.number)


def _named(values: Mapping[str, Any], on: date, versions: Iterable[Version]) -> Version:
    named = values["product"], values["product_version"]
    found = next((one for one in versions if (one.code, one.number) == named), None)
    if found is None:
        raise NoSuchProduct("product", "a product version of ours", f"{named[0]} version {named[1]}")
    if wrong := _off_price(values, on, found):
        raise NoSuchProduct(*wrong)
    return found


def _term_of(terms: Terms) -> tuple[Any, ...]:
    return terms.currency, terms.term.installments, terms.term.every, terms.term.unit


def _told_term(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values[name] for name in ("currency", "installments", "every", "unit"))


def _off_price(values: Mapping[str, Any], on: date, version: Version) -> Wrong | None:
    """Return the first amount of a row that our calculator does not get under a version."""
    terms = version.terms
    if terms.kind == "credit_line":
        return "product", "no credit line: the files have no place for its draws", version.code
    try:
        priced = pricing.charged_for(terms, values["principal"], on)
    except pricing.LoanRefused as refused:
        return "principal", f"an amount of the product: {refused.needed} cents", str(values["principal"])
    asked = {"fee": priced.fee_cents, "tax": priced.tax_cents, "interest": priced.interest_cents}
    asked_and_told = [(name, cents, values.get(name, cents)) for name, cents in asked.items()]
    for name, cents, told in asked_and_told:
        if cents != told:
            return name, f"the {plain(cents)} of our calculator", plain(told)
    if values.get("currency", terms.currency) != terms.currency:
        return "currency", terms.currency, values["currency"]
    return None


def plain(cents: int) -> str:
    """Return an amount as the files have it.

    >>> plain(50_050)
    '500.50'
    """
    return f"{cents // 100}.{cents % 100:02d}"


def differences(values: Mapping[str, Any], lived: Life) -> list[Wrong]:
    """Return what the other system says of a loan at its closing day and our calculator does not get."""
    found: list[Wrong] = []
    balance, state = values.get("closing_balance"), values.get("closing_state")
    if balance is not None and balance != lived.outstanding_cents:
        found.append(("closing_balance", f"the {plain(lived.outstanding_cents)} of our calculator", plain(balance)))
    if state is not None and state != lived.state:
        found.append(("closing_state", f"the {lived.state} of our calculator", state))
    if lived.kept_cents:
        found.append(("principal", f"repaid without the {plain(lived.kept_cents)} that are more than was owed", ""))
    return found
