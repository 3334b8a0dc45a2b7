"""What the model may know about an applicant: every number by name, unit, range and source.

This file is the only list. The SQL that builds a row, the training set, the artifact's manifest and the
words of a reason all follow it, in this order. Name, sex, language, religion, contacts and phone model are
not here and must not come; nor does what a customer does by right count: a complaint, a call for help, a loan
given back within cooling-off, an extension that the product grants. Importing it is cheap: NumPy only.
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

from ml import events

MAX_CENTS = 1e10
MAX_DAYS = 36_500.0
MAX_COUNT = 1e6
# A ratio of two amounts: the smallest inflow is a cent.
MAX_TIMES = 1e10


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
    "What counted against you: ..."; `words_good` finishes "What counted for you: ...". `hurts` names the side on
    which `words` is true: `low` or `high`, empty where either may be.
    """

    name: str
    unit: str
    kind: str  # count, share, ratio, amount, days, seconds, clock, flag
    low: float
    high: float
    missing: str
    source: str  # table/subject
    words: str
    words_good: str
    hurts: str = ""

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


@dataclass(frozen=True, slots=True)
class Kind:
    """What features of one kind have in common."""

    name: str
    unit: str
    low: float
    high: float

    def __call__(
        self,
        name: str,
        missing: str,
        source: str,
        words: str,
        words_good: str = "",
        *,
        hurts: str = "",
        low: float | None = None,
        high: float | None = None,
    ) -> Feature:
        """Declare a feature; one sentence for both sides where it is neither good nor bad by itself."""
        return Feature(
            name=name,
            unit=self.unit,
            kind=self.name,
            low=self.low if low is None else low,
            high=self.high if high is None else high,
            missing=missing,
            source=source,
            words=words,
            words_good=words_good or words,
            hurts=hurts,
        )


_count = Kind("count", "count", 0, MAX_COUNT)
_share = Kind("share", "of 1", 0, 1)
_ratio = Kind("ratio", "times", 0, MAX_TIMES)
_amount = Kind("amount", "cents", 0, MAX_CENTS)  # in the borrower's currency
_days = Kind("days", "days", 0, MAX_DAYS)
_seconds = Kind("seconds", "s", 0, MAX_DAYS * 86_400)
_flag = Kind("flag", "1 for yes", 0, 1)
_clock = Kind("clock", "hour", 0, 23.9999)

LOW, HIGH = "low", "high"
ALWAYS = "never missing"
NONE_IS_0 = "never missing: 0 for a first loan"
NO_LOAN = "no earlier loan"
NO_SETTLED = "no loan settled yet"
NO_PAYMENT = "no repayment yet"
NO_SAVINGS = "no savings account"
NO_WALLET = "wallet statement not shared"
NO_INFLOW = "no inflow in 90 days, or " + NO_WALLET
NO_OUTFLOW = "no outflow in 90 days, or " + NO_WALLET
NO_BOOK = "no business book"
NO_APPLICATION = "asked without an application"

# Settled is what was paid back in full. Days late count from the due date to the settlement, by local days; an
# early one counts below 0, and of an open loan its days late so far. A streak counts from the latest settled back.
HISTORY: tuple[Feature, ...] = (
    _days(
        "days_since_registered", "registration date unknown", "borrower/registered_at",
        "you joined only a short time ago", "you have been with us for a long time", hurts=LOW,
    ),
    _count(
        "loans_taken", NONE_IS_0, "loan/disbursed",
        "you have taken few loans with us", "you have borrowed with us before", hurts=LOW,
    ),
    _count(
        "loans_settled", NONE_IS_0, "loan/settled",
        "you have few loans fully repaid", "you have fully repaid earlier loans", hurts=LOW,
    ),
    _share(
        "on_time_share", NO_SETTLED, "loan/days late",
        "some earlier loans were repaid late", "you repaid your loans on time",
    ),
    _count(
        "on_time_streak", NO_SETTLED, "loan/days late",
        "your latest loans were not all repaid on time", "your latest loans were repaid on time",
    ),
    _share(
        "early_share", NO_SETTLED, "loan/days late",
        "you seldom repay before the due date", "you often repay before the due date",
    ),
    # Over every earlier loan, settled or not; on time or early counts 0.
    _days(
        "worst_days_late", NO_LOAN, "loan/days late",
        "an earlier loan was repaid very late", "you were never long overdue",
    ),
    _days(
        "mean_days_late", NO_SETTLED, "loan/days late", low=-400,
        words="you repay later than the due date on average", words_good="you usually repay in good time",
    ),
    _days(
        "last_days_late", NO_SETTLED, "loan/days late of the last settled", low=-400,
        words="your last loan was repaid late", words_good="your last loan was repaid in good time",
    ),
    _days(
        "days_since_last_settled", NO_SETTLED, "loan/settled_at",
        "it is long since you last repaid a loan", "you repaid a loan not long ago",
    ),
    # Loans that were ever over 30 days late.
    _count(
        "defaults_90", NONE_IS_0, "loan/days late",
        "an earlier loan was over 30 days late", "no loan was ever over 30 days late",
    ),
    _ratio(
        "part_payments_mean", NO_SETTLED, "repayment/per settled loan", high=1_000,
        words="the way you split your repayments", hurts=HIGH,
    ),
    _amount("principal_last_cents", NO_LOAN, "loan/principal", "the size of your last loan"),
    # Last principal / first principal.
    _ratio("principal_growth", NO_LOAN, "loan/principal", "how your loans have grown", hurts=HIGH),
    _count("loans_90d", NONE_IS_0, "loan/disbursed", "how many loans you took in 3 months"),
    _count("loans_365d", NONE_IS_0, "loan/disbursed", "how many loans you took in a year"),
    _count("loans_open", NONE_IS_0, "loan/open", "you have a loan open", "you have no loan open", hurts=HIGH),
    _count(
        "loans_written_off", NONE_IS_0, "loan/written_off_at",
        "an earlier loan was written off", "no loan was ever written off", hurts=HIGH,
    ),
    _amount("principal_mean_cents", NO_LOAN, "loan/principal", "the size of your loans"),
    _amount("principal_max_cents", NO_LOAN, "loan/principal", "the size of your largest loan"),
    _amount(
        "repaid_max_cents", NO_SETTLED, "loan/principal of the settled",
        "you have repaid only small loans", "you have repaid a large loan", hurts=LOW,
    ),
    _amount(
        "repaid_total_cents", NONE_IS_0, "loan/principal of the settled",
        "you have repaid little in all", "you have repaid much in all", hurts=LOW,
    ),
    _amount(
        "on_time_max_cents", "no loan settled on time yet", "loan/principal of the settled on time",
        "you have repaid only small loans on time", "you have repaid a large loan on time", hurts=LOW,
    ),
    _days("days_since_first_loan", NO_LOAN, "loan/disbursed", "when you took your first loan"),
    _days("days_since_last_loan", NO_LOAN, "loan/disbursed", "when you took your last loan"),
    # From the settlement of one loan to the payout of the next.
    _days("gap_mean_days", "fewer than two loans", "loan/settled and disbursed", "the time between your loans"),
    _days("gap_last_days", "fewer than two loans", "loan/settled and disbursed", "the time before your last loan"),
    # Days to the settlement / days of the term.
    _ratio(
        "term_used_mean", NO_SETTLED, "loan/settled against term",
        "how long you keep your loans", "you repay well within the term", hurts=HIGH,
    ),
    _ratio(
        "term_used_last", NO_SETTLED, "loan/settled against term",
        "how long you kept your last loan", "you repaid your last loan well within its term", hurts=HIGH,
    ),
    # Population standard deviation.
    _days(
        "days_late_spread", NO_SETTLED, "loan/days late",
        "your repayments come at very different times", "your repayments come at steady times", hurts=HIGH,
    ),
    # Mean of the last three settled, less the mean of all.
    _days(
        "days_late_shift", NO_SETTLED, "loan/days late", low=-MAX_DAYS,
        words="you repay later than you used to", words_good="you repay earlier than you used to", hurts=HIGH,
    ),
    # Of the last three settled.
    _count(
        "late_of_last_3", NO_SETTLED, "loan/days late", high=3,
        words="of your last loans some were late", words_good="your last loans were on time", hurts=HIGH,
    ),
    _count(
        "late_streak", NO_SETTLED, "loan/days late",
        "your latest loans were repaid late", "your last loan was not late", hurts=HIGH,
    ),
    _share(
        "late_week_share", NO_SETTLED, "loan/over 7 days late",
        "some earlier loans were over a week late", "you were seldom over a week late", hurts=HIGH,
    ),
    _days(
        "days_since_last_late", "no loan was settled late", "loan/settled late",
        "you repaid a loan late not long ago", "it is long since you repaid a loan late", hurts=LOW,
    ),
)  # fmt: skip

# Night is from 00:00 to 05:59, local. On which days somebody rests says what they believe in, and is not here.
REPAYMENTS: tuple[Feature, ...] = (
    _count("payments", NONE_IS_0, "repayment/received", "how often you have paid us"),
    _days("days_since_last_payment", NO_PAYMENT, "repayment/received", "when you last paid us"),
    _amount("payment_mean_cents", NO_PAYMENT, "repayment/amount", "the size of your payments"),
    # Of the money paid, by the due date of its loan.
    _share(
        "paid_by_due_share", NO_PAYMENT, "repayment/amount by due date",
        "part of your money came after the due date", "your money came by the due date", hurts=LOW,
    ),
    # Time to the first payment / term, mean over the loans that have one.
    _ratio(
        "first_payment_mean", NO_PAYMENT, "repayment/first of each loan",
        "your first payments come late in the term", "your first payments come early in the term", hurts=HIGH,
    ),
    # Paid by the customer's own move, not at our prompt on the phone.
    _share(
        "unprompted_share", NO_PAYMENT, "receipt/without our request",
        "you pay mostly when we ask you on the phone", "you pay without being asked", hurts=LOW,
    ),
    _clock("payment_hour_mean", NO_PAYMENT, "repayment/local hour", "the hours at which you pay"),
    _share("payment_night_share", NO_PAYMENT, "repayment/local hour", "the hours at which you pay"),
    _count("promises", "never missing: 0 for none", "promise/made", "your promises to pay"),
    _share(
        "promises_kept_share", "no promise judged yet", "promise/judged",
        "a promise to pay was not kept", "you kept your promises to pay", hurts=LOW,
    ),
)  # fmt: skip

# Of all pots of the borrower together; a group's pot is not one of them.
SAVINGS: tuple[Feature, ...] = (
    _amount(
        "savings_balance_cents", NO_SAVINGS, "savings/balance",
        "your savings are low", "you have savings", hurts=LOW,
    ),
    _count(
        "savings_deposits_90d", NO_SAVINGS, "savings/deposits",
        "you saved seldom in the last 3 months", "you saved often in the last 3 months", hurts=LOW,
    ),
    _amount(
        "savings_deposited_90d_cents", NO_SAVINGS, "savings/deposits",
        "you saved little in the last 3 months", "you saved well in the last 3 months", hurts=LOW,
    ),
    _amount(
        "savings_withdrawn_90d_cents", NO_SAVINGS, "savings/withdrawals",
        "you took out much of your savings", "you left your savings in place", hurts=HIGH,
    ),
    _days(
        "days_since_last_deposit", "never saved", "savings/deposits",
        "it is long since you last saved", "you saved not long ago", hurts=HIGH,
    ),
    # Of the spans of seven days that end at the decision, how many hold a deposit.
    _count(
        "savings_weeks_12", NO_SAVINGS, "savings/deposits", high=12,
        words="you do not save every week", words_good="you save week after week", hurts=LOW,
    ),
    _count(
        "savings_weeks_26", NO_SAVINGS, "savings/deposits", high=26,
        words="you do not save every week", words_good="you save week after week", hurts=LOW,
    ),
    _count(
        "savings_deposits_30d", NO_SAVINGS, "savings/deposits",
        "you saved seldom this month", "you saved often this month", hurts=LOW,
    ),
    _count("savings_withdrawals_90d", NO_SAVINGS, "savings/withdrawals", "how often you took savings out"),
    _days("days_since_last_withdrawal", "never took out", "savings/withdrawals", "when you last took savings out"),
    _amount(
        "savings_deposit_mean_cents", "no deposit in 90 days", "savings/deposits of 90 days",
        "your deposits are small", "your deposits are large", hurts=LOW,
    ),
    # Population standard deviation / mean of the deposits of 90 days.
    _ratio(
        "savings_deposit_variation", "no deposit in 90 days", "savings/deposits of 90 days",
        "your deposits differ much", "your deposits are steady", hurts=HIGH,
    ),
    _amount(
        "savings_net_90d_cents", NO_SAVINGS, "savings/movements", low=-MAX_CENTS,
        words="your savings have shrunk", words_good="your savings have grown", hurts=LOW,
    ),
    # Balance now / balance 90 days ago.
    _ratio(
        "savings_growth", "nothing saved 90 days ago", "savings/balance",
        "your savings have shrunk", "your savings have grown", hurts=LOW,
    ),
    _days(
        "savings_age_days", NO_SAVINGS, "savings/opened_at",
        "you opened your savings only lately", "you have saved with us for long", hurts=LOW,
    ),
    _count("savings_pots", NO_SAVINGS, "savings/accounts", "the number of your savings pots"),
    _flag("sweep_on", NO_SAVINGS, "savings/sweep mandate", "whether your savings may pay what is due"),
    _flag("group_member", ALWAYS, "group/membership", "whether you save in a group"),
    _count("group_deposits_90d", "in no group", "group/deposits", "how often you pay into your group", hurts=LOW),
)  # fmt: skip

WALLET: tuple[Feature, ...] = (
    _amount(
        "wallet_in_30d_cents", NO_WALLET, "wallet/inflows",
        "little money came into your wallet this month", "good money came into your wallet this month", hurts=LOW,
    ),
    _amount(
        "wallet_in_90d_cents", NO_WALLET, "wallet/inflows",
        "little money came into your wallet in 3 months", "good money came into your wallet in 3 months", hurts=LOW,
    ),
    _amount("wallet_out_30d_cents", NO_WALLET, "wallet/outflows", "how much left your wallet this month"),
    _count(
        "wallet_ins_30d", NO_WALLET, "wallet/inflows",
        "money came in only a few times this month", "money came in many times this month", hurts=LOW,
    ),
    # Local dates with any movement; a window of 30 days can touch 31 dates.
    _count(
        "wallet_active_days_30d", NO_WALLET, "wallet/movements", high=31,
        words="you used your wallet on few days", words_good="you use your wallet on many days", hurts=LOW,
    ),
    # Population standard deviation / mean of the inflow in each of the 12 spans of seven days that end now.
    _ratio(
        "wallet_in_variation", "no inflow in 12 weeks, or " + NO_WALLET, "wallet/weekly inflows", high=4,
        words="your income goes up and down from week to week", words_good="your income is steady", hurts=HIGH,
    ),
    _days(
        "days_since_last_inflow", "no inflow seen, or " + NO_WALLET, "wallet/inflows",
        "no money has come into your wallet lately", "money came into your wallet lately", hurts=HIGH,
    ),
    # Movements of the last 90 days between 00:00 and 05:59 local / all movements of the last 90 days.
    _share(
        "wallet_night_share", "no movement in 90 days, or " + NO_WALLET, "wallet/movements",
        "the hours at which you use your wallet",
    ),
    _amount("airtime_30d_cents", NO_WALLET, "wallet/airtime", "how much airtime you bought this month"),
    # in_30d / (in_90d / 3): 1 is steady, 3 is all in the last month.
    _ratio(
        "wallet_trend", NO_INFLOW, "wallet/inflows", high=3.001,
        words="less money comes into your wallet than before", words_good="money into your wallet is holding up",
        hurts=LOW,
    ),
    _amount(
        "wallet_in_7d_cents", NO_WALLET, "wallet/inflows",
        "little money came into your wallet this week", "good money came into your wallet this week", hurts=LOW,
    ),
    _count(
        "wallet_ins_90d", NO_WALLET, "wallet/inflows",
        "money came in only a few times in 3 months", "money came in many times in 3 months", hurts=LOW,
    ),
    _amount("wallet_in_mean_cents", NO_INFLOW, "wallet/inflows of 90 days", "the size of what comes in"),
    _amount("wallet_in_max_cents", NO_INFLOW, "wallet/inflows of 90 days", "the most that came in at once"),
    # The largest inflow / all inflows.
    _share(
        "wallet_in_max_share", NO_INFLOW, "wallet/inflows of 90 days",
        "most of your income came at once", "your income comes in many parts", hurts=HIGH,
    ),
    # Of the 12 spans of seven days that end now, how many hold an inflow.
    _count(
        "wallet_in_weeks_12", NO_WALLET, "wallet/weekly inflows", high=12,
        words="money does not come in every week", words_good="money comes in week after week", hurts=LOW,
    ),
    # The best of those weeks / all of them.
    _share(
        "wallet_best_week_share", "no inflow in 12 weeks, or " + NO_WALLET, "wallet/weekly inflows",
        "most of your income came in one week", "your income is spread over the weeks", hurts=HIGH,
    ),
    _days(
        "wallet_in_gap_days", "fewer than two inflows in 90 days, or " + NO_WALLET, "wallet/inflows of 90 days",
        "there were long times without income", "there was never long without income", hurts=HIGH,
    ),
    # What came in from the 25th to the 5th, local / all inflows.
    _share("wallet_month_end_share", NO_INFLOW, "wallet/inflows of 90 days", "the days on which money comes in"),
    _share("cash_in_share", NO_INFLOW, "wallet/inflows of 90 days", "how money comes into your wallet"),
    _amount("wallet_out_90d_cents", NO_WALLET, "wallet/outflows", "how much left your wallet in 3 months"),
    _count("wallet_outs_30d", NO_WALLET, "wallet/outflows", "how often money left your wallet this month"),
    _share("cash_out_share", NO_OUTFLOW, "wallet/outflows of 90 days", "how much of your money leaves as cash"),
    _share("bills_share", NO_OUTFLOW, "wallet/outflows of 90 days", "how much of your money pays bills"),
    _share("sent_share", NO_OUTFLOW, "wallet/outflows of 90 days", "how much of your money you send on"),
    # out_30d / (out_90d / 3).
    _ratio(
        "wallet_out_trend", NO_OUTFLOW, "wallet/outflows", high=3.001,
        words="more money leaves your wallet than before", words_good="you spend less than before", hurts=HIGH,
    ),
    _ratio(
        "wallet_out_to_in", NO_INFLOW, "wallet/outflows and inflows of 90 days",
        "nearly all that comes in goes out", "some of your money stays", hurts=HIGH,
    ),
    _amount(
        "wallet_net_30d_cents", NO_WALLET, "wallet/movements", low=-MAX_CENTS,
        words="more left your wallet than came in this month", words_good="more came in than left this month",
        hurts=LOW,
    ),
    _amount(
        "wallet_net_90d_cents", NO_WALLET, "wallet/movements", low=-MAX_CENTS,
        words="more left your wallet than came in", words_good="more came in than left", hurts=LOW,
    ),
    _count(
        "wallet_active_days_90d", NO_WALLET, "wallet/movements", high=91,
        words="you used your wallet on few days", words_good="you use your wallet on many days", hurts=LOW,
    ),
    _days("days_since_last_outflow", NO_OUTFLOW, "wallet/outflows of 90 days", "when you last spent money"),
    _amount("airtime_90d_cents", NO_WALLET, "wallet/airtime", "how much airtime you bought in 3 months"),
    _count("airtime_buys_30d", NO_WALLET, "wallet/airtime", "how often you bought airtime this month"),
    _days(
        "wallet_age_days", "no movement seen, or " + NO_WALLET, "wallet/first movement",
        "we have seen your wallet only for a short time", "we have seen your wallet for long", hurts=LOW,
    ),
)  # fmt: skip

# Lines that were not taken back by then. Sold is for cash and on credit; spent is expenses and stock.
BOOK: tuple[Feature, ...] = (
    _days(
        "book_age_days", NO_BOOK, "book/first line",
        "you began your business book only lately", "you have kept a business book for long", hurts=LOW,
    ),
    _days(
        "days_since_last_line", NO_BOOK, "book/last line",
        "it is long since you wrote in your book", "you keep your book up to date", hurts=HIGH,
    ),
    _count(
        "book_days_30d", NO_BOOK, "book/sales", high=30,
        words="you wrote down sales on few days", words_good="you write down sales on many days", hurts=LOW,
    ),
    _amount(
        "book_sold_30d_cents", NO_BOOK, "book/sales",
        "you sold little this month", "you sold well this month", hurts=LOW,
    ),
    _amount("book_spent_30d_cents", NO_BOOK, "book/expenses and stock", "what your business spent this month"),
    _amount(
        "book_left_30d_cents", NO_BOOK, "book/sold less spent", low=-MAX_CENTS,
        words="little was left of what you sold", words_good="much was left of what you sold", hurts=LOW,
    ),
    # Left / sold.
    _ratio(
        "book_margin_30d", "nothing sold in 30 days, or " + NO_BOOK, "book/sold less spent", low=-MAX_TIMES,
        words="little was left of what you sold", words_good="much was left of what you sold", hurts=LOW,
    ),
    # sold_30d / (sold_90d / 3).
    _ratio(
        "book_trend", "nothing sold in 90 days, or " + NO_BOOK, "book/sales", high=3.001,
        words="you sell less than before", words_good="your sales are holding up", hurts=LOW,
    ),
    # Of the 8 spans of seven days that end today, how many have a sale.
    _count(
        "book_weeks_8", NO_BOOK, "book/weekly sales", high=8,
        words="you did not write down sales every week", words_good="you wrote down sales every week", hurts=LOW,
    ),
    # Population standard deviation / mean of what was sold in those weeks.
    _ratio(
        "book_variation", "nothing sold in 8 weeks, or " + NO_BOOK, "book/weekly sales", high=3,
        words="your sales go up and down", words_good="your sales are steady", hurts=HIGH,
    ),
    _share(
        "book_credit_share", "nothing sold in 90 days, or " + NO_BOOK, "book/sold on credit of 90 days",
        "you sell much on credit", "you sell little on credit", hurts=HIGH,
    ),
    _amount("book_owed_cents", NO_BOOK, "book/credit not paid back", "what your customers owe you", hurts=HIGH),
)  # fmt: skip

# What the application says, and how it came about.
APPLICATION: tuple[Feature, ...] = (
    _amount("requested_cents", "no amount named yet", "application/amount", "the amount you asked for", hurts=HIGH),
    _ratio(
        "requested_to_inflow", "no inflow in 30 days, or " + NO_WALLET, "application/amount and wallet/inflows",
        "the amount is large beside your monthly income", "the amount is small beside your monthly income",
        hurts=HIGH,
    ),
    _ratio(
        "requested_to_last", NO_LOAN, "application/amount and loan/principal",
        "the amount is large beside your last loan", "the amount is in line with your last loan", hurts=HIGH,
    ),
    _clock("hour_local", ALWAYS, "application/submitted_at", "the time of day"),
    _count("day_of_month", ALWAYS, "application/submitted_at", "the day of the month", low=1, high=31),
    _ratio(
        "requested_to_repaid_max", NO_SETTLED, "application/amount and loan/principal of the settled",
        "the amount is large beside what you have repaid", "you have repaid as much before", hurts=HIGH,
    ),
    _ratio(
        "requested_to_mean_inflow", NO_INFLOW, "application/amount and wallet/inflows of 90 days",
        "the amount is large beside your income", "the amount is small beside your income", hurts=HIGH,
    ),
    _ratio(
        "requested_to_savings", "nothing saved", "application/amount and savings/balance",
        "the amount is large beside your savings", "the amount is small beside your savings", hurts=HIGH,
    ),
    _ratio(
        "requested_to_left", "nothing left of what was sold, or " + NO_BOOK, "application/amount and book/left",
        "the amount is large beside what your business leaves", "your business leaves enough for the amount",
        hurts=HIGH,
    ),
    # Fee, tax and interest / principal.
    _ratio("price_share", NO_APPLICATION, "application/price", "what the loan costs"),
    _ratio("price_per_year", NO_APPLICATION, "application/apr", "what the loan costs"),
    _flag("refinances", NO_APPLICATION, "application/loan paid off", "whether it pays off another loan"),
    _seconds("hesitation_s", NO_APPLICATION, "application/key facts shown", "how you read what the loan costs"),
    _seconds(
        "hesitation_mean_s", "no earlier application", "application/key facts shown of earlier ones",
        "how you read what a loan costs",
    ),
    _flag("terms_read", NO_APPLICATION, "application/terms_read", "whether you read the terms", hurts=LOW),
    _share(
        "terms_read_share", "no earlier application", "application/terms_read of earlier ones",
        "how often you read the terms", hurts=LOW,
    ),
    _count("applications", NONE_IS_0, "application/earlier ones", "how often you asked for a loan"),
    _count("applications_30d", NONE_IS_0, "application/earlier ones", "how often you asked for a loan this month"),
    _count("applications_90d", NONE_IS_0, "application/earlier ones", "how often you asked for a loan in 3 months"),
    _days(
        "days_since_last_application", "no earlier application", "application/earlier ones",
        "when you last asked for a loan",
    ),
    _count("numbers", ALWAYS, "borrower/numbers of one person", "how many numbers you use with us"),
    _count("loans_by_other_numbers", ALWAYS, "loan/of the person's other numbers", "loans by your other numbers"),
    _days(
        "days_since_sim_changed", "no change of SIM was seen", "case/sim_changed",
        "your SIM was changed not long ago", "your SIM is the same for long", hurts=LOW,
    ),
    _count("month", ALWAYS, "application/submitted_at", "the month", low=1, high=12),
    _count("days_to_month_end", ALWAYS, "application/submitted_at", "the day of the month", high=30),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Protected:
    """What never enters a vector, and fairness is tested by; `source` is empty where nothing is known."""

    name: str
    source: str


# Of these only the language is asked of anybody: what we do not need, we do not hold.
PROTECTED: tuple[Protected, ...] = (
    Protected("sex", ""),
    Protected("age_band", ""),
    Protected("region", ""),
    Protected("language", "borrower/language"),
)

FEATURES: tuple[Feature, ...] = HISTORY + REPAYMENTS + SAVINGS + WALLET + BOOK + APPLICATION
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

# What we promise, and the network keeps by how it is made: to repay more, to repay more in time, to save more and
# to read the terms never raises the chance of default; to be later and to ask for more never lowers it. That is
# between two known values: whether a first one is better than none the loans decide.
MORE_NEVER_HURTS = (
    "loans_settled",
    "on_time_share",
    "on_time_streak",
    "early_share",
    "repaid_max_cents",
    "repaid_total_cents",
    "on_time_max_cents",
    "paid_by_due_share",
    "promises_kept_share",
    "savings_balance_cents",
    "savings_deposits_30d",
    "savings_deposits_90d",
    "savings_deposited_90d_cents",
    "savings_weeks_12",
    "savings_weeks_26",
    "group_deposits_90d",
    "terms_read",
    "terms_read_share",
)
MORE_NEVER_HELPS = (
    "worst_days_late",
    "mean_days_late",
    "last_days_late",
    "defaults_90",
    "loans_written_off",
    "late_of_last_3",
    "late_streak",
    "late_week_share",
    "requested_cents",
    "requested_to_inflow",
    "requested_to_last",
    "requested_to_repaid_max",
    "requested_to_mean_inflow",
    "requested_to_savings",
    "requested_to_left",
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
LOWS = np.array([feature.low for feature in FEATURES], dtype=np.float64)
HIGHS = np.array([feature.high for feature in FEATURES], dtype=np.float64)
# By feature: at -1 more of it never raises the chance of default, at 1 it never lowers it; at 0 no promise.
MONOTONE = np.array([(name in MORE_NEVER_HELPS) - (name in MORE_NEVER_HURTS) for name in NAMES])


def version_of(features: tuple[Feature, ...], kinds: tuple[events.Kind, ...] = events.KINDS) -> str:
    """Return twelve hex digits that change when any declaration that shapes the numbers or the events changes.

    Words are left out: a better sentence must not force a new model.
    """
    shaping = [[f.name, f.unit, f.kind, f.low, f.high, f.missing, f.source] for f in features]
    shaping += [[events.LAST, kind.name, kind.source, kind.promise] for kind in kinds]
    shaping += [events.SECONDS_EDGES.tolist(), events.CENTS_EDGES.tolist()]
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
