"""Money in people's lives, week by week: seasons, shocks, drift, and what of it their wallets show.

Weeks count from `LEAD_WEEKS` before the portfolio's first day, because a wallet statement reaches back.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from lending.demo.population import OCCUPATIONS, Array, Population

LEAD_WEEKS = 13
WEEKS_A_MONTH = 52 / 12
# How much of last week's drift is left this week: a living that sinks goes on sinking for months.
DRIFT_KEPT = 0.975
SCHOOL_FEE_MONTHS = (1, 5, 9)
KINDS = ("received", "cash_in", "sent", "cash_out", "paid", "airtime")


@dataclass(frozen=True)
class Money:
    """Cents for (person, week). `slack` is what can be got at: kept from good weeks, eaten in bad ones."""

    income: Array
    slack: Array


@dataclass(frozen=True)
class Wallet:
    """Movements, one row each: whose, when (seconds from the portfolio's first midnight), how much, what."""

    who: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    cents: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    inflow: Array  # (person, week): what came in

    def __len__(self) -> int:
        return len(self.who)


def earn(people: Population, first_day: date, days: int, rng: np.random.Generator) -> Money:
    """Return everybody's weekly income and slack from `LEAD_WEEKS` before `first_day` on."""
    starts = [first_day + timedelta(weeks=week - LEAD_WEEKS) for week in range(LEAD_WEEKS + days // 7 + 1)]
    weekly = people.monthly_cents[:, None] / WEEKS_A_MONTH
    level = _seasons(people, starts) * _drift(people, len(starts), rng)
    noise = np.array([one.volatility for one in OCCUPATIONS])[people.occupation][:, None]
    level *= np.exp(rng.normal(0, 1, level.shape) * noise - noise**2 / 2)
    ill = _illness(len(people), len(starts), rng)
    income = weekly * level * _drought(people, starts, rng) * np.where(ill, 0.35, 1.0)
    return Money(income, _slack(people, income, _costs(people, starts, ill)))


def _seasons(people: Population, starts: list[date]) -> Array:
    table = np.array([one.seasons for one in OCCUPATIONS])
    months = np.array([(start + timedelta(days=3)).month - 1 for start in starts])
    level = table[people.occupation][:, months]
    salaried = np.array([one.month_end for one in OCCUPATIONS])[people.occupation]
    pay_week = np.array([any((start + timedelta(days=d)).day == 28 for d in range(7)) for start in starts])
    return np.where(salaried[:, None], np.where(pay_week, WEEKS_A_MONTH * 0.9, 0.13), level)


def _drift(people: Population, weeks: int, rng: np.random.Generator) -> Array:
    """Return livings that get slowly better or worse: what a wallet's trend can tell."""
    swing = np.array([one.swing for one in OCCUPATIONS])[people.occupation]
    swing[0] *= 0.3  # Brian's stall is steady
    step = swing * np.sqrt(1 - DRIFT_KEPT**2)
    drift = np.empty((len(people), weeks))
    drift[:, 0] = rng.normal(0, swing)
    for week in range(1, weeks):
        drift[:, week] = DRIFT_KEPT * drift[:, week - 1] + rng.normal(0, step)
    return np.exp(drift)


def _drought(people: Population, starts: list[date], rng: np.random.Generator) -> Array:
    """Return the share of income that the rains leave: each region has one bad spell of seven weeks a year."""
    feels = np.array([one.feels_drought for one in OCCUPATIONS])[people.occupation]
    left = np.ones((len(people), len(starts)))
    for region in range(5):
        for first in rng.integers(0, 52, 1 + len(starts) // 52) + 52 * np.arange(1 + len(starts) // 52):
            left[people.region == region, first : first + 7] = 1.0
            rows = np.flatnonzero(people.region == region)
            left[rows, first : first + 7] = feels[rows][:, None]
    return left


def _illness(count: int, weeks: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return the weeks in which somebody is ill: about one person in three a year, for four weeks."""
    falls = rng.random((count, weeks)) < 0.33 / 52
    falls[0] = False
    ill = falls.copy()
    for later in range(1, 4):
        ill[:, later:] |= falls[:, :-later]
    return ill


def _costs(people: Population, starts: list[date], ill: npt.NDArray[np.bool_]) -> Array:
    """Return what is spent beyond daily living: school fees three times a year, and treatment."""
    fees = np.array([start.month in SCHOOL_FEE_MONTHS and start.day <= 14 for start in starts])
    share = 0.16 * np.outer(people.has_children, fees) + 0.10 * ill
    return people.monthly_cents[:, None] * share


def _slack(people: Population, income: Array, costs: Array) -> Array:
    living = (people.tightness * people.monthly_cents / WEEKS_A_MONTH)[:, None]
    ceiling = people.monthly_cents * (0.6 + 0.9 * people.saver)
    slack = np.empty_like(income)
    held = 0.25 * people.monthly_cents
    for week in range(income.shape[1]):
        held = np.clip(0.95 * held + income[:, week] - living[:, 0] - costs[:, week], 0, ceiling)
        slack[:, week] = held
    return slack


def move(
    people: Population, money: Money, statement_week: npt.NDArray[np.int64], rng: np.random.Generator
) -> Wallet:
    """Return the movements that each wallet shows from its own first week on.

    A weekly movement or two stands for what is several in life: sums are right, rows stay few.
    """
    weeks = money.income.shape[1]
    shown = people.visibility * np.array([1.5 if plan == "busts out" else 1.0 for plan in people.plan])
    rate = np.array([one.inflows for one in OCCUPATIONS])[people.occupation]
    seen = np.arange(weeks)[None, :] >= statement_week[:, None]
    seen &= np.array([person.consents["wallet"] for person in people.people])[:, None]
    level = np.clip(money.income / money.income.mean(axis=1, keepdims=True), 0.1, 2.2)
    inflows = rng.poisson(rate[:, None] * level) * seen
    amount = money.income * shown[:, None] / np.maximum(rate[:, None] * level, 0.05)
    outflow = money.income * shown[:, None] * (0.55 + 0.45 * people.tightness)[:, None] / 0.55
    parts = [
        _rows(inflows, amount, (0, 1), (0.6, 0.4), 0.35, rng),
        _rows(rng.poisson(0.55, inflows.shape) * seen, outflow, (2, 3, 4), (0.4, 0.35, 0.25), 0.5, rng),
        _rows(rng.poisson(0.25, inflows.shape) * seen, money.income * 0.06, (5,), (1.0,), 0.5, rng),
    ]
    who, week, cents, kind = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    second = (week - LEAD_WEEKS) * 7 * 86_400 + _moments(people, who, rng)
    order = np.lexsort((second, who))
    came_in = np.zeros_like(money.income)
    np.add.at(came_in, (who[kind < 2], week[kind < 2]), cents[kind < 2])
    return Wallet(who[order], second[order], cents[order], kind[order], came_in)


def _rows(
    counts: npt.NDArray[np.int64],
    amount: Array,
    kinds: tuple[int, ...],
    shares: tuple[float, ...],
    spread: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], ...]:
    who, week = (np.repeat(index, counts.ravel()) for index in np.indices(counts.shape).reshape(2, -1))
    cents = amount[who, week] * np.exp(rng.normal(-(spread**2) / 2, spread, len(who)))
    whole = np.maximum(np.round(cents / 1000) * 1000, 1000).astype(np.int64)
    return who, week, whole, rng.choice(kinds, len(who), p=shares)


def _moments(people: Population, who: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return seconds into the week, inside the hours of the occupation."""
    hours = np.array([one.hours for one in OCCUPATIONS])[people.occupation[who]]
    # A night trader sells by day like everybody: a good half of what moves, moves at night.
    by_day = (hours[:, 1] <= 6) & (rng.random(len(who)) < 0.4)
    low, high = np.where(by_day, 7.0, hours[:, 0]), np.where(by_day, 19.0, hours[:, 1])
    hour = low + rng.beta(1.6, 1.6, len(who)) * (high - low)
    return rng.integers(0, 7, len(who)) * 86_400 + (hour * 3600).astype(np.int64)
