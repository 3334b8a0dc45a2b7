"""What somebody whom the model refuses could do: the smallest change that brings their chance below a line.

A counterfactual explanation, kept to what a person can really do, and in steps as people take them: ask for less,
read the terms, save each week, have more of what they earn paid into the wallet, repay loans in time, or wait. Who
they are and what they did stays as it is. A deed changes every number that follows from it, such as all ratios of
another amount. What is not named goes on as before: habits stay, and what began long ago grows older. What nobody
can foresee (the day and the hour at which they ask again) stays.

Sources: Wachter, Mittelstadt and Russell 2018, "Counterfactual Explanations Without Opening the Black Box"; Ustun,
Spangher and Liu 2019, "Actionable Recourse in Linear Classification", whose cost this is: the most that any one
number moves among people, as a share of them (its section 2.3, "maximum percentile shift").
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ml import features, forward

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]
Score = Callable[[Array], npt.NDArray[np.floating]]
# What is known of a person by name, NaN where missing: what a deed changes.
Numbers = dict[str, float]

DAYS, WEEKS = 30, 4  # of a month, as people are told it
MONTHS = (0, 1, 2, 3)
# By how much more of what somebody earns may come into their wallet.
MORE_INFLOW = (0.25, 0.5)
# People follow one piece of advice, perhaps two.
MOST_DEEDS = 2
# What began once grows older by waiting, whatever else is done.
AGES = (
    "days_since_registered",
    "days_since_first_loan",
    "days_since_last_loan",
    "days_since_last_settled",
    "days_since_last_late",
    "days_since_last_payment",
    "days_since_sim_changed",
    "savings_age_days",
    "wallet_age_days",
    "book_age_days",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What is within a person's reach.

    amounts_cents: smaller amounts that they may ask for. weekly_cents: what they might save each week.
    loan_cents: a loan that they can have now, and so repay in time; None for none, beside one that is open.
    """

    amounts_cents: Sequence[int] = ()
    weekly_cents: Sequence[int] = ()
    loan_cents: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What somebody does before they ask again, after so many months; nothing by default.

    asks_cents: for so much, None for as much as before. weekly_cents: saved each week. more_inflow: the share by
    which more comes into the wallet. repaid: loans repaid a day early, one a month.
    """

    asks_cents: int | None = None
    reads_terms: bool = False
    weekly_cents: int = 0
    more_inflow: float = 0.0
    repaid: int = 0
    months: int = 0

    @property
    def takes_time(self) -> bool:
        return bool(self.weekly_cents or self.more_inflow or self.repaid)

    @property
    def deeds(self) -> int:
        """How many different things there are to do; to wait is one where nothing else takes the time."""
        waits = self.months > 0 and not self.takes_time
        done = (self.asks_cents, self.reads_terms, self.weekly_cents, self.more_inflow, self.repaid, waits)
        return sum(map(bool, done))


@dataclass(frozen=True, slots=True)
class Way:
    """A plan that turns the refusal. row: (n_features,), the person afterwards, of whom the model says `chance`.

    step: the most that any number moves among people, 0 to 1.
    """

    plan: Plan
    row: Array
    chance: float
    step: float


def ways(score: Score, weights: Weights, person: Array, means: Means, below: float) -> list[Way]:
    """Return every plan after which the chance of default is below a line: fewest deeds first, then smallest step.

    score: rows (m, n_features) -> chance of default (m,), asked once. weights: of the same model, whose encoding
    says where a number stands among people. person: (n_features,), NaN where missing. Empty where no plan does it.
    """
    tried = plans(person, means)
    if not tried:
        return []
    rows = np.array([after(person, plan, means) for plan in tried])
    chances = score(rows)
    steps = np.abs(places(weights, rows) - places(weights, person[None])).max(axis=1)
    found = [
        Way(plan, row, float(chance), float(step))
        for plan, row, chance, step in zip(tried, rows, chances, steps, strict=True)
        if chance < below
    ]
    # Rounded, so that the last bit of a machine decides nothing; then what was tried first.
    return sorted(found, key=lambda way: (way.plan.deeds, round(way.step, 6), way.plan.months))


def places(weights: Weights, rows: Array) -> npt.NDArray[np.float64]:
    """Return where each number of rows (m, n_features) stands among those the model learnt from, 0 to 1."""
    return _phi(forward.encode(weights, rows)[..., -2])


_phi = np.vectorize(NormalDist().cdf, otypes=[np.float64])


def plans(person: Array, means: Means) -> list[Plan]:
    """Return what this person can do, at most MOST_DEEDS things at once, the smallest steps first."""
    known = dict(zip(features.NAMES, person.tolist(), strict=True))
    has_wallet = known["wallet_in_30d_cents"] > 0
    most_repaid = max(MONTHS) if means.loan_cents else int(known["loans_open"] >= 1)
    options = product(
        (None, *sorted(means.amounts_cents, reverse=True)),
        (False, True) if known["terms_read"] == 0 else (False,),
        (0, *sorted(means.weekly_cents)),
        (0.0, *MORE_INFLOW) if has_wallet else (0.0,),
        (False, True),
        MONTHS,
    )
    every = (
        Plan(
            asks_cents=asks, reads_terms=reads, weekly_cents=weekly, more_inflow=more,
            repaid=months if repays else 0, months=months,
        )
        for asks, reads, weekly, more, repays, months in options
        if not repays or 1 <= months <= most_repaid
    )  # fmt: skip
    return [plan for plan in every if 1 <= plan.deeds <= MOST_DEEDS and (plan.months or not plan.takes_time)]


# --- what follows from a deed -------------------------------------------------------------------------------
def after(person: Array, plan: Plan, means: Means) -> Array:
    """Return the numbers (n_features,) of a person who has done what a plan says."""
    changed = person if plan.asks_cents is None else asking_for(person, plan.asks_cents)
    known: Numbers = dict(zip(features.NAMES, map(float, changed), strict=True))
    if plan.months:
        _wait(known, plan.months)
    if plan.reads_terms:
        known["terms_read"] = 1
    if plan.weekly_cents:
        _save(known, plan.weekly_cents, plan.months)
    if plan.more_inflow:
        _receive(known, plan.more_inflow, plan.months)
    for _ in range(plan.repaid):
        _repay(known, means.loan_cents)
    row = np.array([known[name] for name in features.NAMES])
    return np.clip(row, features.LOWS, features.HIGHS).astype(np.float32)


def asking_for(person: Array, cents: int) -> Array:
    """Return the same applicant (n_features,) asking for another amount."""
    at = features.NAMES.index
    changed = person.copy()
    changed[at("requested_cents")] = cents
    # The ratios scale with the amount; a missing one stays missing.
    for name in (name for name in features.NAMES if name.startswith("requested_to_")):
        changed[at(name)] = person[at(name)] * np.float32(cents) / person[at("requested_cents")]
    return changed


def _wait(known: Numbers, months: int) -> None:
    """Let months pass. What was refused is an earlier application by then."""
    days, before = months * DAYS, known["applications"]
    for name in AGES:
        known[name] += days
    for mean, latest in (("terms_read_share", "terms_read"), ("hesitation_mean_s", "hesitation_s")):
        known[mean] = _mean_with(known[mean], before, known[latest])
    known["applications"] = before + 1
    known["applications_30d"] = 0
    known["applications_90d"] = known["applications_90d"] + 1 if days < 90 else 0
    known["days_since_last_application"] = days
    if days >= 90:
        known["loans_90d"] = 0


def _save(known: Numbers, weekly_cents: int, months: int) -> None:
    """Save so much each week beside what was saved anyway; who never saved begins."""
    weeks = WEEKS * months
    if math.isnan(known["savings_balance_cents"]):
        known.update(dict.fromkeys(BEGINS_TO_SAVE, 0.0), savings_pots=1.0, savings_age_days=7.0 * weeks)
    had = known["savings_balance_cents"]
    known["savings_balance_cents"] = had + weekly_cents * weeks
    known["savings_deposits_30d"] += WEEKS
    known["savings_deposits_90d"] += weeks
    known["savings_deposited_90d_cents"] += weekly_cents * weeks
    known["savings_net_90d_cents"] += weekly_cents * weeks
    known["savings_weeks_12"] = max(known["savings_weeks_12"], weeks)
    known["savings_weeks_26"] = max(known["savings_weeks_26"], weeks)
    known["days_since_last_deposit"] = min(1.0, _or(known["days_since_last_deposit"], 1.0))
    known["savings_deposit_mean_cents"] = known["savings_deposited_90d_cents"] / known["savings_deposits_90d"]
    known["savings_deposit_variation"] = _or(known["savings_deposit_variation"], 0.0)
    known["savings_growth"] *= known["savings_balance_cents"] / had if had > 0 else math.nan
    known["requested_to_savings"] = known["requested_cents"] / known["savings_balance_cents"]


BEGINS_TO_SAVE = (
    "savings_balance_cents",
    "savings_deposits_30d",
    "savings_deposits_90d",
    "savings_deposited_90d_cents",
    "savings_withdrawn_90d_cents",
    "savings_withdrawals_90d",
    "savings_net_90d_cents",
    "savings_weeks_12",
    "savings_weeks_26",
    "sweep_on",
)


def _receive(known: Numbers, more: float, months: int) -> None:
    """Have more of what is earned paid into the wallet, in as many parts as before."""
    added = known["wallet_in_30d_cents"] * more
    known["wallet_in_7d_cents"] *= 1 + more
    known["wallet_in_30d_cents"] += added
    known["wallet_in_90d_cents"] += added * months
    known["wallet_net_30d_cents"] += added
    known["wallet_net_90d_cents"] += added * months
    for name, part, times, whole in (
        ("wallet_in_mean_cents", "wallet_in_90d_cents", 1, "wallet_ins_90d"),
        ("wallet_trend", "wallet_in_30d_cents", 3, "wallet_in_90d_cents"),
        ("wallet_out_to_in", "wallet_out_90d_cents", 1, "wallet_in_90d_cents"),
        ("requested_to_inflow", "requested_cents", 1, "wallet_in_30d_cents"),
        ("requested_to_mean_inflow", "requested_cents", 3, "wallet_in_90d_cents"),
    ):
        known[name] = known[part] * times / known[whole] if known[whole] else math.nan


def _repay(known: Numbers, loan_cents: int | None) -> None:
    """Repay a loan a day early, or as early as ever: the open one, else one taken a month before."""
    settled = known["loans_settled"]
    if known["loans_open"] >= 1:
        known["loans_open"] -= 1
        known["refinances"] = 0.0
        principal = known["principal_last_cents"]
    else:
        principal = float(loan_cents or 0)
        _borrow(known, principal)
    days = min(-1.0, _or(known["mean_days_late"], -1.0), _or(known["last_days_late"], -1.0))
    known["loans_settled"] = settled + 1
    for name, value in (
        ("on_time_share", 1.0), ("early_share", 1.0), ("late_week_share", 0.0), ("mean_days_late", days),
        ("part_payments_mean", 1.0),
    ):  # fmt: skip
        known[name] = _mean_with(known[name], settled, value)
    known["on_time_streak"] = _or(known["on_time_streak"], 0.0) + 1
    known["late_streak"] = 0.0
    known["last_days_late"] = days
    for name in ("worst_days_late", "late_of_last_3", "days_late_spread", "days_late_shift"):
        known[name] = _or(known[name], 0.0)
    for name in ("repaid_max_cents", "on_time_max_cents"):
        known[name] = max(_or(known[name], 0.0), principal)
    known["repaid_total_cents"] += principal
    known["paid_by_due_share"] = _or(known["paid_by_due_share"], 1.0)
    known["payments"] += 1
    known["days_since_last_settled"] = known["days_since_last_payment"] = 0.0
    known["requested_to_repaid_max"] = known["requested_cents"] / known["repaid_max_cents"]


def _borrow(known: Numbers, principal: float) -> None:
    """Take a loan, a month before."""
    taken, first = known["loans_taken"], _or(known["principal_last_cents"], principal)
    first /= _or(known["principal_growth"], 1.0)
    known["principal_mean_cents"] = _mean_with(known["principal_mean_cents"], taken, principal)
    known["principal_max_cents"] = max(_or(known["principal_max_cents"], 0.0), principal)
    known["principal_last_cents"], known["principal_growth"] = principal, principal / first
    known["requested_to_last"] = known["requested_cents"] / principal
    for name in ("loans_taken", "loans_90d", "loans_365d"):
        known[name] += 1
    known["days_since_last_loan"] = DAYS
    known["days_since_first_loan"] = _or(known["days_since_first_loan"], DAYS)


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _mean_with(mean: float, count: float, value: float) -> float:
    """Return the mean of `count` values after one more; one that is not known changes nothing."""
    if math.isnan(value) or (count and math.isnan(mean)):
        return mean
    return (_or(mean, 0.0) * count + value) / (count + 1)
