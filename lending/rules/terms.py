"""The terms of a product version: what its JSON may say, read with types.

Whatever is wrong is refused with the path of the field, what was needed and what came. Amounts are whole
cents of any size, rates are decimals in quotes: a JSON number like 0.1 is a float, and floats lose money.

Source: docs/domain/whatif.md, "Terms".
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lending.rules import money

Kind = Literal["penalty", "fee", "tax", "interest", "principal"]
Unit = Literal["day", "week", "fortnight", "half_month", "month"]
PlanKind = Literal["bullet", "flat", "level", "equal_principal", "interest_only"]
KINDS: tuple[Kind, ...] = ("penalty", "fee", "tax", "interest", "principal")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class TermsRefused(ValueError):
    """A field is missing, unknown, of the wrong type, out of range, or contradicts another one."""

    def __init__(self, path: str, needed: str, got: object = None) -> None:
        shown = "" if got is None else f", got {str(got)[:60]!r}"
        super().__init__(f"{path}: {needed}{shown}")
        self.path, self.needed = path, needed


def _from_string(value: object) -> object:
    """A rate is written as a string, so that what is in the file is what is charged."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise ValueError('must be a decimal in quotes, such as "0.05"')
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError('must be a decimal in quotes, such as "0.05"') from None


Rate = Annotated[Decimal, BeforeValidator(_from_string), Field(ge=0, le=100, decimal_places=10, max_digits=14)]
MOST_CENTS = 10**30  # far beyond any loan, and every figure made of it can still be printed
Cents = Annotated[int, Field(strict=True, ge=0, le=MOST_CENTS)]
Positive = Annotated[int, Field(strict=True, ge=1, le=MOST_CENTS)]
Days = Annotated[int, Field(strict=True, ge=0, le=3_660)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000)]


class Strict(BaseModel):
    """A part of the terms: unknown fields are refused, nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Term(Strict):
    """`installments` due dates, one `every` so many units: {"installments": 1, "every": 30, "unit": "day"}."""

    installments: Annotated[int, Field(strict=True, ge=1, le=400)]
    every: Annotated[int, Field(strict=True, ge=1, le=400)] = 1
    unit: Unit


class Interest(Strict):
    """A rate per year, day, period between two due dates, or term; `day_count` matters for a year only."""

    rate: Rate = Decimal(0)
    per: Literal["year", "day", "period", "term"] = "year"
    day_count: Literal["act/360", "act/364", "act/365", "act/act", "30/360"] = "act/365"


class Fee(Strict):
    """A fee as a share of what is lent, or an amount.

    `charged`: "deducted" from the payout; "with_loan", repaid as `due` says; "capitalised", so that it is lent
    and bears interest; on "each_installment"; or as a charge of its own, due `on_day` days after the payout.
    `earned`: income at once, or in a straight line over the term. `rebated`: paying back early returns what is
    not earned yet.
    """

    name: Annotated[str, Field(min_length=1, max_length=40)]
    rate: Rate | None = None
    amount_cents: Cents | None = None
    charged: Literal["deducted", "with_loan", "capitalised", "each_installment", "on_day"] = "with_loan"
    due: Literal["first", "last", "spread"] = "last"
    on_day: Days | None = None
    earned: Literal["at_once", "over_term"] = "at_once"
    rebated: bool = False
    taxed: bool = True
    min_cents: Cents = 0
    max_cents: Cents | None = None


class Tax(Strict):
    """The tax on fees that the borrower pays and the state gets."""

    kind: Literal["excise", "vat"] = "excise"
    rate: Rate = Decimal(0)


class Grace(Strict):
    """The first installments without principal, without interest (it is asked for later), free of interest."""

    principal: Count = 0
    interest: Count = 0
    interest_free: Count = 0


class Rounding(Strict):
    """To multiples of `unit_cents` (the smallest payable amount if it is left out); what rounding leaves over
    goes to the last installment or is spread. Rounding never changes the number of installments."""

    unit_cents: Positive | None = None
    mode: Literal["half_up", "half_even", "up"] = "half_up"
    remainder: Literal["last", "spread"] = "last"


class DueDates(Strict):
    """What happens to a due date on a closed day: the date moves, the interest does not."""

    rule: Literal["none", "next", "previous", "next_in_month"] = "none"
    weekend: tuple[Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], ...] = ()

    @property
    def weekend_days(self) -> frozenset[int]:
        return frozenset(map(_WEEKDAYS.index, self.weekend))


Order = tuple[Kind, ...]


class AllocationRule(Strict):
    """In which order a payment covers past dues, dues of the day, and what is not due yet.

    `by`: all kinds of the oldest installment first, or the first kind of all installments first. `advance`:
    money ahead of time goes to the "next" installment, to the "last", or all to principal and the rest of the
    plan is worked out anew ("reamortise").
    """

    past_due: Order = KINDS
    due: Order = KINDS
    in_advance: Order = KINDS
    by: Literal["installment", "kind"] = "installment"
    advance: Literal["next", "last", "reamortise"] = "next"


class Penalty(Strict):
    """What being late costs: a rate of `of`, or an amount, for each installment that is late.

    It falls at the end of the day on which the installment is `grace_days` + 1 days late, and again every
    `every_days` (0: once), at most `most_times`. `cap_rate` (of what was lent) and `cap_cents` limit all
    penalties of this name together.
    """

    name: Annotated[str, Field(min_length=1, max_length=40)]
    rate: Rate | None = None
    amount_cents: Cents | None = None
    of: Literal["overdue_principal", "overdue_installment", "balance"] = "overdue_installment"
    grace_days: Days = 0
    every_days: Days = 0
    most_times: Count | None = None
    cap_rate: Rate | None = None
    cap_cents: Cents | None = None
    taxed: bool = False


class Early(Strict):
    """Interest owed by who pays back early: to the day, to the end of the running period, or all of it."""

    interest: Literal["to_day", "to_period_end", "all"] = "to_day"


class Extension(Strict):
    """More time against a fee (a rate of the principal that is owed, or an amount), at most `most_times`."""

    rate: Rate | None = None
    amount_cents: Cents | None = None
    every: Annotated[int, Field(strict=True, ge=1, le=400)]
    unit: Unit
    most_times: Annotated[int, Field(strict=True, ge=1, le=100)]


class Refinance(Strict):
    """A new loan may pay off an open one once this share of its principal is repaid; the rest is paid out."""

    repaid_share: Rate


class SalesShare(Strict):
    """A cash advance is repaid as a share of each day's sales, at most `max_daily_cents` a day."""

    share: Rate
    max_daily_cents: Cents | None = None


class Terms(Strict):
    """Everything that decides what a loan costs and how it is repaid. Frozen with the product version."""

    kind: Literal["bullet", "flat", "level", "equal_principal", "interest_only", "sales_share", "credit_line"]
    currency: Literal["KES", "UGX", "TZS", "RWF", "GHS", "NGN", "ETB", "ZMW"]
    min_cents: Positive
    max_cents: Positive
    term: Term
    interest: Interest = Interest()
    fees: tuple[Fee, ...] = ()
    tax: Tax = Tax()
    grace: Grace = Grace()
    rounding: Rounding = Rounding()
    due_dates: DueDates = DueDates()
    allocation: AllocationRule = AllocationRule()
    penalties: tuple[Penalty, ...] = ()
    early: Early = Early()
    extension: Extension | None = None
    refinance: Refinance | None = None
    sales_share: SalesShare | None = None
    draw: PlanKind = "bullet"
    skips: Count = 0
    closing_tolerance_cents: Cents = 0
    cooling_off_days: Days = 0

    @property
    def grows_with_time(self) -> bool:
        """Say whether days alone can make the loan cost more, so that caps have to be watched."""
        return bool(self.penalties) or self.interest.rate > 0

    @property
    def plan_kind(self) -> str:
        """Return how one draw is repaid."""
        return self.draw if self.kind == "credit_line" else self.kind

    @property
    def unit_cents(self) -> int:
        """Return what charges and installments are rounded to."""
        return self.rounding.unit_cents or money.currency(self.currency).payable_cents


def read_terms(json: object, at: str = "") -> Terms:
    """Return the terms that a parsed JSON object says; `at` is the path at which it stands.

    Raises:
        TermsRefused: with the path of the first field that is wrong.
    """
    terms = read_model(Terms, json, at)
    for path, needed, got in _contradictions(terms):
        raise TermsRefused(join(at, path), needed, got)
    return terms


Model = TypeVar("Model", bound=BaseModel)


def read_model(model: type[Model], json: object, at: str = "") -> Model:
    """Return `json` as a model.

    Raises:
        TermsRefused: with the path of the first field that is wrong.
    """
    try:
        return model.model_validate(json)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = join(at, path_of(first["loc"]))
        got = None if first["type"] == "missing" else _shown(first["input"])
        raise TermsRefused(path or "(whole)", _needed(first["type"], first["msg"]), got) from None


def _shown(value: object) -> object:
    return "null" if value is None else value


def path_of(places: tuple[int | str, ...]) -> str:
    """Return how a person would write a place in the JSON: fees[0].rate."""
    path = ""
    for place in places:
        path += f"[{place}]" if isinstance(place, int) else f".{place}" if path else place
    return path


def join(before: str, path: str) -> str:
    return path if not before else before if not path else f"{before}.{path}"


def _needed(kind: str, message: str) -> str:
    known = {
        "missing": "is needed",
        "extra_forbidden": "is not a field of this",
        "model_type": "must be an object",
        "dict_type": "must be an object",
        "tuple_type": "must be a list",
        "int_type": "must be a whole number",
    }
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return known.get(kind, said if said.startswith("must") else f"must be {said}")


Fault = tuple[str, str, object]


def _contradictions(terms: Terms) -> Iterator[Fault]:
    """Yield what each field alone may say, but not together with the others."""
    if terms.min_cents > terms.max_cents:
        yield "min_cents", f"must not be above max_cents ({terms.max_cents})", terms.min_cents
    yield from _plan_faults(terms)
    for place, fee in enumerate(terms.fees):
        yield from _fee_faults(f"fees[{place}]", fee)
    for place, penalty in enumerate(terms.penalties):
        yield from _one_price(f"penalties[{place}]", penalty)
    if terms.refinance and terms.kind == "credit_line":
        yield "refinance", "is nothing that a credit line does: it is drawn", "credit_line"
    if terms.extension:
        yield from _one_price("extension", terms.extension)
    for name in ("past_due", "due", "in_advance"):
        order = getattr(terms.allocation, name)
        if sorted(order) != sorted(KINDS):
            yield f"allocation.{name}", f"must name each of {', '.join(KINDS)} once", list(order)


LONGEST_DAYS = 20 * 366
_DAYS = {"day": 1, "week": 7, "fortnight": 14, "half_month": 15, "month": 31}


def _plan_faults(terms: Terms) -> Iterator[Fault]:
    days = terms.term.installments * terms.term.every * _DAYS[terms.term.unit]
    if days > LONGEST_DAYS:
        yield "term", "must be at most 20 years", f"about {days} days"
    single = terms.plan_kind in ("bullet", "sales_share")
    if single and terms.term.installments != 1:
        yield "term.installments", f"must be 1 for {terms.plan_kind}", terms.term.installments
    if terms.interest.per == "term" and terms.plan_kind not in ("bullet", "flat"):
        yield "interest.per", "may be the term only for bullet and flat", terms.plan_kind
    for name in ("principal", "interest"):
        if getattr(terms.grace, name) >= terms.term.installments and getattr(terms.grace, name):
            yield f"grace.{name}", "must leave an installment", getattr(terms.grace, name)
    if (terms.kind == "sales_share") != (terms.sales_share is not None):
        yield "sales_share", "is needed for kind sales_share and for no other", terms.kind
    if len(terms.due_dates.weekend_days) == 7:
        yield "due_dates.weekend", "must leave an open day", "7 days"
    if terms.allocation.advance == "reamortise" and terms.early.interest != "to_day":
        yield "early.interest", "must be to_day where money ahead of time lowers the interest", terms.early.interest
    if terms.kind == "sales_share" and terms.interest.rate:
        yield "interest.rate", "must be 0: a cash advance costs its fee", terms.interest.rate


def _fee_faults(at: str, fee: Fee) -> Iterator[Fault]:
    yield from _one_price(at, fee)
    if (fee.charged == "on_day") != (fee.on_day is not None):
        yield f"{at}.on_day", "is needed for a fee charged on_day and for no other", fee.on_day
    if fee.max_cents is not None and fee.min_cents > fee.max_cents:
        yield f"{at}.min_cents", f"must not be above max_cents ({fee.max_cents})", fee.min_cents
    if fee.rebated and fee.earned == "at_once":
        yield f"{at}.rebated", "needs a fee that is earned over_term", fee.earned


def _one_price(at: str, priced: Fee | Penalty | Extension) -> Iterator[Fault]:
    if (priced.rate is None) == (priced.amount_cents is None):
        yield f"{at}.rate", "or amount_cents is needed, and not both", priced.rate
