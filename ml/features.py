"""What the model may know about an applicant: every number by name, unit, range and source.

This file is the only list. The SQL that builds a row, the training set, the artifact's manifest and the
words of a reason all follow it, in this order. Name, sex, language, religion, contacts and phone model are
not here and must not come. Importing it is cheap: NumPy only.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_CENTS = 1e10
MAX_DAYS = 36_500.0


class InvalidFeature(ValueError):
    """A feature whose value cannot be true; such a row is never scored."""

    def __init__(self, name: str, value: object, needed: str) -> None:
        super().__init__(f"{name} must be {needed}, got {value!r}")
        self.name = name
        self.value = value


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number about an applicant, as it stood at the moment of decision.

    `low` and `high` are inclusive bounds of what can be true, not of what is usual. `missing` says what the
    absence of a value means: it is information and goes to the network as NaN. `words` finishes the sentence
    "What counted against you: ..."; `words_good` finishes "What counted for you: ...".
    """

    name: str
    unit: str
    kind: str  # count, share, ratio, amount, days, clock
    low: float
    high: float
    missing: str
    source: str  # table/subject
    words: str
    words_good: str

    def check(self, value: object) -> float:
        """Return `value` as a float, NaN for a missing one.

        Raises:
            InvalidFeature: not a number, infinite, or outside `low`..`high`.
        """
        if value is None:
            return math.nan
        # bool is an int in Python, and text would be parsed by float(): both are a caller's mistake.
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, np.integer, np.floating)):
            raise InvalidFeature(self.name, value, "a number or missing")
        number = float(value)
        if math.isnan(number):
            return math.nan
        if not self.low <= number <= self.high:
            raise InvalidFeature(self.name, value, f"from {self.low:g} to {self.high:g} {self.unit}")
        return number


def _count(name: str, *, high: float, missing: str, source: str, words: str, words_good: str) -> Feature:
    """Declare a whole number of things."""
    return Feature(
        name=name, unit="count", kind="count", low=0, high=high, missing=missing, source=source,
        words=words, words_good=words_good,
    )  # fmt: skip


def _share(name: str, *, missing: str, source: str, words: str, words_good: str) -> Feature:
    """Declare a part of a whole, 0 to 1."""
    return Feature(
        name=name, unit="of 1", kind="share", low=0, high=1, missing=missing, source=source,
        words=words, words_good=words_good,
    )  # fmt: skip


def _ratio(name: str, *, high: float, missing: str, source: str, words: str, words_good: str) -> Feature:
    """Declare one quantity divided by another."""
    return Feature(
        name=name, unit="times", kind="ratio", low=0, high=high, missing=missing, source=source,
        words=words, words_good=words_good,
    )  # fmt: skip


def _amount(name: str, *, missing: str, source: str, words: str, words_good: str) -> Feature:
    """Declare money in cents of the borrower's currency."""
    return Feature(
        name=name, unit="cents", kind="amount", low=0, high=MAX_CENTS, missing=missing, source=source,
        words=words, words_good=words_good,
    )  # fmt: skip


def _days(name: str, *, low: float = 0, missing: str, source: str, words: str, words_good: str) -> Feature:
    """Declare a length of time in days."""
    return Feature(
        name=name, unit="days", kind="days", low=low, high=MAX_DAYS, missing=missing, source=source,
        words=words, words_good=words_good,
    )  # fmt: skip


NO_LOAN = "no earlier loan"
NO_SETTLED = "no loan settled yet"
NO_SAVINGS = "no savings account"
NO_WALLET = "wallet statement not shared"

HISTORY: tuple[Feature, ...] = (
    _days(
        "days_since_registered", missing="registration date unknown", source="borrower/registered_at",
        words="you joined only a short time ago", words_good="you have been with us for a long time",
    ),
    _count(
        "loans_taken", high=10_000, missing="never missing: 0 for a first loan",
        source="loan/disbursed before",
        words="you have taken few loans with us", words_good="you have borrowed with us before",
    ),
    _count(
        "loans_settled", high=10_000, missing="never missing: 0 for a first loan",
        source="loan/settled before",
        words="you have few loans fully repaid", words_good="you have fully repaid earlier loans",
    ),
    # Settled on or before the due date / settled.
    _share(
        "on_time_share", missing=NO_SETTLED, source="loan/settled_at against due_date",
        words="some earlier loans were repaid late", words_good="you repaid your loans on time",
    ),
    # Latest settled loans in a row that were on time.
    _count(
        "on_time_streak", high=10_000, missing=NO_SETTLED, source="loan/settled_at against due_date",
        words="your latest loans were not all repaid on time",
        words_good="your latest loans were repaid on time",
    ),
    # Settled at least one day before the due date / settled.
    _share(
        "early_share", missing=NO_SETTLED, source="loan/settled_at against due_date",
        words="you seldom repay before the due date", words_good="you often repay before the due date",
    ),
    # Over every earlier loan, settled or not, as known at the decision; on time or early counts 0.
    _days(
        "worst_days_late", missing=NO_LOAN, source="loan/days past due",
        words="an earlier loan was repaid very late", words_good="you were never long overdue",
    ),
    # Settlement date minus due date; an early one counts below 0. So for the last one.
    _days(
        "mean_days_late", low=-400, missing=NO_SETTLED, source="loan/days past due",
        words="you repay later than the due date on average", words_good="you usually repay in good time",
    ),
    _days(
        "last_days_late", low=-400, missing=NO_SETTLED, source="loan/days past due of the last settled",
        words="your last loan was repaid late", words_good="your last loan was repaid in good time",
    ),
    _days(
        "days_since_last_settled", missing=NO_SETTLED, source="loan/settled_at",
        words="it is long since you last repaid a loan", words_good="you repaid a loan not long ago",
    ),
    # Loans that were ever over 30 days late, as known at the decision.
    _count(
        "defaults_90", high=10_000, missing="never missing: 0 for a first loan", source="loan/days past due",
        words="an earlier loan was over 30 days late", words_good="no loan was ever over 30 days late",
    ),
    _ratio(
        "part_payments_mean", high=1_000, missing=NO_SETTLED, source="repayment/per settled loan",
        words="the way you split your repayments", words_good="the way you split your repayments",
    ),
    _amount(
        "principal_last_cents", missing=NO_LOAN, source="loan/principal of the last",
        words="the size of your last loan", words_good="the size of your last loan",
    ),
    # Last principal / first principal.
    _ratio(
        "principal_growth", high=100_000, missing=NO_LOAN, source="loan/principal of the last and first",
        words="how your loans have grown", words_good="how your loans have grown",
    ),
)  # fmt: skip

SAVINGS: tuple[Feature, ...] = (
    _amount(
        "savings_balance_cents", missing=NO_SAVINGS, source="savings/balance",
        words="your savings are low", words_good="you have savings",
    ),
    _count(
        "savings_deposits_90d", high=100_000, missing=NO_SAVINGS, source="savings/deposits",
        words="you saved seldom in the last 3 months", words_good="you saved often in the last 3 months",
    ),
    _amount(
        "savings_deposited_90d_cents", missing=NO_SAVINGS, source="savings/deposits",
        words="you saved little in the last 3 months", words_good="you saved well in the last 3 months",
    ),
    _amount(
        "savings_withdrawn_90d_cents", missing=NO_SAVINGS, source="savings/withdrawals",
        words="you took out much of your savings", words_good="you left your savings in place",
    ),
    _days(
        "days_since_last_deposit", missing="never saved", source="savings/deposits",
        words="it is long since you last saved", words_good="you saved not long ago",
    ),
    # Of the 12 spans of seven days that end at the decision, how many hold a deposit.
    _count(
        "savings_weeks_12", high=12, missing=NO_SAVINGS, source="savings/deposits",
        words="you do not save every week", words_good="you save week after week",
    ),
)  # fmt: skip

WALLET: tuple[Feature, ...] = (
    _amount(
        "wallet_in_30d_cents", missing=NO_WALLET, source="wallet/inflows",
        words="little money came into your wallet this month",
        words_good="good money came into your wallet this month",
    ),
    _amount(
        "wallet_in_90d_cents", missing=NO_WALLET, source="wallet/inflows",
        words="little money came into your wallet in 3 months",
        words_good="good money came into your wallet in 3 months",
    ),
    _amount(
        "wallet_out_30d_cents", missing=NO_WALLET, source="wallet/outflows",
        words="how much left your wallet this month", words_good="how much left your wallet this month",
    ),
    _count(
        "wallet_ins_30d", high=1_000_000, missing=NO_WALLET, source="wallet/inflows",
        words="money came in only a few times this month", words_good="money came in many times this month",
    ),
    # Local dates with any movement; a window of 30 days can touch 31 dates.
    _count(
        "wallet_active_days_30d", high=31, missing=NO_WALLET, source="wallet/movements",
        words="you used your wallet on few days", words_good="you use your wallet on many days",
    ),
    # Population standard deviation / mean of the inflow in each of the 12 spans of seven days that end now.
    _ratio(
        "wallet_in_variation", high=4, missing="no inflow in 12 weeks, or " + NO_WALLET,
        source="wallet/weekly inflows",
        words="your income goes up and down from week to week", words_good="your income is steady",
    ),
    _days(
        "days_since_last_inflow", missing="no inflow seen, or " + NO_WALLET, source="wallet/inflows",
        words="no money has come into your wallet lately", words_good="money came into your wallet lately",
    ),
    # Movements of the last 90 days between 00:00 and 05:59 local / all movements of the last 90 days.
    _share(
        "wallet_night_share", missing="no movement in 90 days, or " + NO_WALLET, source="wallet/movements",
        words="the hours at which you use your wallet", words_good="the hours at which you use your wallet",
    ),
    _amount(
        "airtime_30d_cents", missing=NO_WALLET, source="wallet/airtime",
        words="how much airtime you bought this month", words_good="how much airtime you bought this month",
    ),
    # in_30d / (in_90d / 3): 1 is steady, 3 is all in the last month.
    _ratio(
        "wallet_trend", high=3.001, missing="no inflow in 90 days, or " + NO_WALLET, source="wallet/inflows",
        words="less money comes into your wallet than before",
        words_good="money into your wallet is holding up",
    ),
)  # fmt: skip

APPLICATION: tuple[Feature, ...] = (
    _amount(
        "requested_cents", missing="no amount asked for yet", source="application/amount",
        words="the amount you asked for", words_good="the amount you asked for",
    ),
    _ratio(
        "requested_to_inflow", high=1e9, missing="no inflow in 30 days, or " + NO_WALLET,
        source="application/amount and wallet/inflows",
        words="the amount is large beside your monthly income",
        words_good="the amount is small beside your monthly income",
    ),
    _ratio(
        "requested_to_last", high=1e9, missing=NO_LOAN, source="application/amount and loan/principal",
        words="the amount is large beside your last loan",
        words_good="the amount is in line with your last loan",
    ),
    Feature(
        name="hour_local", unit="hour", kind="clock", low=0, high=23.9999, missing="never missing",
        source="application/submitted_at", words="the time of day", words_good="the time of day",
    ),
    Feature(
        name="day_of_month", unit="day", kind="clock", low=1, high=31, missing="never missing",
        source="application/submitted_at", words="the day of the month", words_good="the day of the month",
    ),
)  # fmt: skip

FEATURES: tuple[Feature, ...] = HISTORY + SAVINGS + WALLET + APPLICATION
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
LOWS = np.array([feature.low for feature in FEATURES], dtype=np.float64)
HIGHS = np.array([feature.high for feature in FEATURES], dtype=np.float64)


def version_of(features: tuple[Feature, ...]) -> str:
    """Return twelve hex digits that change when any declaration that shapes the numbers changes.

    Words are left out: a better sentence must not force a new model.
    """
    shaping = [[f.name, f.unit, f.kind, f.low, f.high, f.missing, f.source] for f in features]
    return hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:12]


VERSION = version_of(FEATURES)


def row(values: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the vector of one applicant: (n_features,) float32 in the order of NAMES, NaN where missing.

    Every name must be there, with None or NaN for a missing value: a column that the SQL forgot is a bug,
    and must not pass for a borrower without history.

    Raises:
        InvalidFeature: a name is absent or unknown, or a value cannot be true.
    """
    for name in values.keys() - BY_NAME.keys():
        raise InvalidFeature(name, values[name], "a declared feature")
    for name in BY_NAME.keys() - values.keys():
        raise InvalidFeature(name, "nothing", "given, None when missing")
    return np.array([feature.check(values[feature.name]) for feature in FEATURES], dtype=np.float32)


def check_rows(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return x: (n, n_features) as float32 after holding every number to its declared range; NaN passes.

    Raises:
        InvalidFeature: names the first feature, by column, that holds a value which cannot be true.
    """
    if x.ndim != 2 or x.shape[1] != len(FEATURES):
        raise InvalidFeature("row", x.shape, f"{len(FEATURES)} features wide")
    wrong = impossible(x)
    if wrong.any():
        column = int(wrong.any(axis=0).argmax())
        FEATURES[column].check(float(x[wrong[:, column].argmax(), column]))
        raise InvalidFeature(NAMES[column], x[wrong[:, column].argmax(), column], "inside its declared range")
    return x.astype(np.float32)


def impossible(x: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return where x: (n, n_features) holds a number outside its declared range; a missing one is inside."""
    # Compared in float32, or a value stored at the bound would fall outside by its rounding.
    x32 = x.astype(np.float32)
    return (x32 < LOWS.astype(np.float32)) | (x32 > HIGHS.astype(np.float32))
