"""Savings: the terms of a product version, the interest that a balance earns, targets, sweeps and share-outs.

Interest is counted exactly. A balance of b cents at r millionths a year earns b x r parts a day, and 365 million
parts are a cent (act/365, also in a leap year). Nothing is rounded from day to day; only whole cents are
credited, and the parts left over stay for the next period. lending/savings_closing.py says the same in SQL.
Source: docs/domain/savings.md.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError, model_validator

from lending.rules import money

PARTS_PER_CENT = 365 * 1_000_000
DAY = timedelta(days=1)


# --- terms --------------------------------------------------------------------------------------------------
class SavingsTermsRefused(ValueError):
    """Terms that cannot be used. `path` names the field, as in `interest.tiers[0].rate`."""

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{path or 'terms'}: {fault}")
        self.path, self.fault = path, fault


_RATE = re.compile(r"(0|1)(\.[0-9]{1,6})?", re.ASCII)


def _rate(value: Any) -> Decimal:
    """Read a share from text: a float has lost its last digits already, and SQL counts in millionths."""
    if not isinstance(value, str) or not _RATE.fullmatch(value) or Decimal(value) > 1:
        raise ValueError(f'need a text such as "0.035", from 0 to 1 with up to six decimals, got {value!r}')
    return Decimal(value)


Rate = Annotated[Decimal, BeforeValidator(_rate)]
Cents = Annotated[StrictInt, Field(ge=0)]
Count = Annotated[StrictInt, Field(ge=1)]


class _Terms(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tier(_Terms):
    """From this balance on, this yearly rate."""

    from_cents: Cents
    rate: Rate

    @property
    def ppm(self) -> int:
        """The rate in millionths, exactly."""
        return int(self.rate * 1_000_000)


class Interest(_Terms):
    """What earns interest: each day's closing balance, or the lowest of them in the period for all its days.

    `tiers_apply_to`: a tier's rate holds for the `part` of the balance within it, or for the `whole` balance.
    """

    balance: Literal["daily", "minimum"]
    tiers_apply_to: Literal["part", "whole"]
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]
    credited: Literal["daily", "monthly"]
    tax_rate: Rate

    @model_validator(mode="after")
    def _fits_together(self) -> "Interest":
        starts = [tier.from_cents for tier in self.tiers]
        if starts[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError(f"tiers must start at 0 and rise, got {starts}")
        if self.balance == "minimum" and self.credited == "daily":
            raise ValueError("the minimum balance is that of a month: credited must be monthly, got daily")
        return self

    @property
    def tax_ppm(self) -> int:
        return int(self.tax_rate * 1_000_000)

    @property
    def rates(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest yearly rate of the tiers, before tax."""
        rates = [tier.rate for tier in self.tiers]
        return min(rates), max(rates)


class Goal(_Terms):
    """Which share of somebody's inflow is suggested as one deposit: small targets are reached more often."""

    suggest_from: Rate
    suggest_to: Rate

    @model_validator(mode="after")
    def _rises(self) -> "Goal":
        if not 0 < self.suggest_from <= self.suggest_to:
            raise ValueError(f"need 0 < suggest_from <= suggest_to, got {self.suggest_from}, {self.suggest_to}")
        return self


class Lock(_Terms):
    """How firmly a customer can lock a goal: hours between turning the early-exit key and the open door."""

    exit_after_hours: Annotated[tuple[Annotated[StrictInt, Field(ge=24)], ...], Field(min_length=1)]
    longest_days: Count


class SaveFirst(_Terms):
    """So many deposits in a row, one at least in each span of days, can stand in for a first loan record."""

    deposits: Count
    every_days: Count
    minimum_cents: Count


class SavingsTerms(_Terms):
    """The terms of a savings product version. Without `interest` the holder pays none, or reports it himself."""

    minimum_balance_cents: Cents
    dormant_after_days: Count
    interest: Interest | None
    goal: Goal
    lock: Lock | None
    save_first: SaveFirst | None


def read_terms(stored: Any) -> SavingsTerms:
    """Read the JSON of a product version.

    Raises:
        SavingsTermsRefused: with the path of the first field at fault, what was needed and what came.
    """
    try:
        return SavingsTerms.model_validate(stored)
    except ValidationError as refused:
        first = refused.errors()[0]
        path = ""
        for step in first["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
        fault = first["msg"].removeprefix("Value error, ")
        came = "" if first["type"] == "value_error" else f", got {str(first['input'])[:80]!r}"
        raise SavingsTermsRefused(path, fault + came) from None


def must_be_held_by_partner(pack: Mapping[str, Any]) -> bool:
    """Say whether the law of a country pack keeps us from holding deposits; silence is no licence."""
    return bool(pack.get("savings", {}).get("held_by") != "us")


# --- interest -----------------------------------------------------------------------------------------------
def parts_a_day(interest: Interest, balance_cents: int) -> int:
    """Return the parts of a cent that a balance earns in one day.

    Tiers on parts are summed by their steps: what is above a tier's start earns the rise of its rate.

    >>> terms = {"balance": "daily", "credited": "daily", "tax_rate": "0", "tiers_apply_to": "part"}
    >>> flat = Interest(tiers=[{"from_cents": 0, "rate": "0.0365"}], **terms)
    >>> parts_a_day(flat, 100_000) / PARTS_PER_CENT
    10.0
    """
    balance = max(0, balance_cents)
    if interest.tiers_apply_to == "whole":
        return balance * [tier.ppm for tier in interest.tiers if tier.from_cents <= balance][-1]
    rises = zip(interest.tiers, [0, *(tier.ppm for tier in interest.tiers)], strict=False)
    return sum(max(0, balance - tier.from_cents) * (tier.ppm - below) for tier, below in rises)


@dataclass(frozen=True)
class Standing:
    """The interest side of an account at the end of `accrued_on`.

    `period_on` is the first day of the running period; `lowest_cents` the lowest closing balance in it so far,
    None while it has had no day.
    """

    balance_cents: int
    accrued_parts: int
    accrued_on: date
    period_on: date
    lowest_cents: int | None = None


@dataclass(frozen=True)
class Credit:
    """Interest for the period that ended on `on`, earning from the next day; the tax in it is withheld."""

    on: date
    gross_cents: int
    tax_cents: int

    @property
    def net_cents(self) -> int:
        return self.gross_cents - self.tax_cents


def next_credit_on(interest: Interest, day: date, locked_until: date | None = None) -> date:
    """Return the first day from `day` on whose end credits interest.

    A locked goal is credited when its lock ends: what an early exit forgoes was never in the balance.
    """
    if locked_until is not None and day <= locked_until:
        return locked_until
    if interest.credited == "daily":
        return day
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - DAY


def accrue(
    interest: Interest, before: Standing, until: date, locked_until: date | None = None
) -> tuple[Standing, list[Credit]]:
    """Return how an account stands at the end of `until`, and the interest credited on the way.

    The balance has not moved since `before.accrued_on` but by these credits. Days that are over already add
    nothing, so it repeats safely.
    """
    now, credits = before, []
    while now.accrued_on < until:
        credit_on = next_credit_on(interest, now.accrued_on + DAY, locked_until)
        now = _earn(interest, now, min(until, credit_on))
        if now.accrued_on == credit_on:
            now, credit = _credit(interest, now)
            credits += [credit] if credit.gross_cents else []
    return now, credits


def _earn(interest: Interest, before: Standing, until: date) -> Standing:
    """Add the days up to `until`, all in one period and of one balance."""
    if interest.balance == "daily":
        parts = parts_a_day(interest, before.balance_cents) * (until - before.accrued_on).days
        return replace(before, accrued_parts=before.accrued_parts + parts, accrued_on=until)
    lowest = before.balance_cents
    parts = before.accrued_parts
    if before.lowest_cents is not None:
        lowest = min(lowest, before.lowest_cents)
        parts -= parts_a_day(interest, before.lowest_cents) * ((before.accrued_on - before.period_on).days + 1)
    parts += parts_a_day(interest, lowest) * ((until - before.period_on).days + 1)
    return replace(before, accrued_parts=parts, accrued_on=until, lowest_cents=lowest)


def credit_now(interest: Interest, now: Standing) -> tuple[Standing, Credit]:
    """Credit what the running period has earned and end it; nothing, where it has had no day yet."""
    if now.period_on > now.accrued_on:
        return now, Credit(now.accrued_on, 0, 0)
    return _credit(interest, now)


def _credit(interest: Interest, before: Standing) -> tuple[Standing, Credit]:
    """Turn whole cents into balance and open the next period; a remainder stays."""
    gross = max(0, before.accrued_parts) // PARTS_PER_CENT
    credit = Credit(before.accrued_on, gross, money.share(gross, interest.tax_rate))
    after = Standing(
        before.balance_cents + credit.net_cents,
        before.accrued_parts - gross * PARTS_PER_CENT,
        before.accrued_on,
        before.accrued_on + DAY,
    )
    return after, credit


@dataclass(frozen=True)
class Move:
    """A movement as interest sees it: it counts in the closing balance of `on`. Out of the account is negative."""

    on: date
    cents: int


def earned_parts(interest: Interest, moves: Iterable[Move], first: date, last: date) -> int:
    """Return what the closing balances made by these movements earn from `first` to `last`, one period.

    It is the long way round, from the movements alone; `accrue` must come to the same.
    """
    spans = closing_balances(moves, first, last)
    if interest.balance == "daily":
        return sum(parts_a_day(interest, balance) * days for balance, days in spans)
    lowest = min((balance for balance, _ in spans), default=0)
    return parts_a_day(interest, lowest) * sum(days for _, days in spans)


def closing_balances(moves: Iterable[Move], first: date, last: date) -> list[tuple[int, int]]:
    """Return (closing balance, days) from `first` to `last`, a span for each balance; none if it ends before."""
    if last < first:
        return []
    ordered = sorted((move for move in moves if move.on <= last), key=lambda move: move.on)
    balance, start, spans = sum(move.cents for move in ordered if move.on <= first), first, []
    for on, together in groupby((move for move in ordered if move.on > first), key=lambda move: move.on):
        spans.append((balance, (on - start).days))
        balance, start = balance + sum(move.cents for move in together), on
    return [*spans, (balance, (last - start).days + 1)]


# --- balances -----------------------------------------------------------------------------------------------
def floor_after(floor_cents: int, deposited_cents: int, minimum_cents: int) -> int:
    """Return what must stay in the account after a deposit: it grows with the balance up to the minimum.

    >>> floor_after(0, 3_000, 5_000), floor_after(3_000, 9_000, 5_000)
    (3000, 5000)
    """
    return min(minimum_cents, floor_cents + deposited_cents)


def available_cents(balance_cents: int, held_cents: int, floor_cents: int) -> int:
    """Return what the owner can take out now."""
    return balance_cents - held_cents - floor_cents


def sweep_cents(due_cents: int, available: int, keep_cents: int, unit_cents: int) -> int:
    """Return what an opt-in sweep takes for a due: never the part that the customer said to keep, whole units.

    >>> sweep_cents(50_000, 45_050, 10_000, 100)
    35000
    """
    return max(0, min(due_cents, available - keep_cents)) // unit_cents * unit_cents


# --- goals --------------------------------------------------------------------------------------------------
def suggested_deposits(inflow_cents: int, goal: Goal, unit_cents: int) -> tuple[int, int]:
    """Return the smaller and the larger suggestion for one deposit, from the inflow between two of them.

    Small targets are reached more often: 10 shillings beat 100 (reference in docs/domain/savings.md).
    """
    low, high = (money.share(inflow_cents, rate, unit_cents) for rate in (goal.suggest_from, goal.suggest_to))
    return max(unit_cents, low), max(unit_cents, high)


# A goal that is near is reached more often: twelve weeks of small deposits.
GOAL_WEEKS = 12


def goal_of(weekly_cents: int, opened_on: date) -> tuple[int, date]:
    """Return what a small deposit each week comes to, and by when.

    >>> goal_of(5_000, date(2026, 3, 2))
    (60000, datetime.date(2026, 5, 25))
    """
    return weekly_cents * GOAL_WEEKS, opened_on + timedelta(weeks=GOAL_WEEKS)


def exit_opens_at(asked_at: datetime, exit_after_hours: int) -> datetime:
    """Return when the early-exit key, once turned, opens a locked goal."""
    return asked_at + timedelta(hours=exit_after_hours)


def deposits_on_time(rule: SaveFirst, opened_on: date, deposits: Iterable[Move], as_of: date) -> int:
    """Return how many spans of `every_days` in a row, up to `as_of`, had a deposit that is large enough.

    The spans are counted from the opening day. The running one counts once it has its deposit and breaks
    nothing before it is over.
    """

    def span_of(day: date) -> int:
        return (day - opened_on).days // rule.every_days

    running = span_of(as_of)
    filled = {span_of(move.on) for move in deposits if move.cents >= rule.minimum_cents and move.on <= as_of}
    last = running if running in filled else running - 1
    streak = 0
    while last - streak in filled:
        streak += 1
    return streak


# --- groups -------------------------------------------------------------------------------------------------
def share_out(pot_cents: int, paid_in_cents: Mapping[int, int], unit_cents: int = 1) -> dict[int, int]:
    """Divide a pot among members in proportion to what each paid in, so that the shares are the pot to the cent.

    Raises:
        ValueError: nobody has paid in anything.
    """
    members = sorted(paid_in_cents)
    shares = money.apportion(pot_cents, [paid_in_cents[member] for member in members], unit_cents)
    return dict(zip(members, shares, strict=True))
