"""Amounts, days, reasons and next steps in the words of the active language."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from django.conf import settings
from django.utils import timezone

from lending.models import Decision
from lending.rules import calendar, identity, money
from lending.rules.savings import Interest
from lending.rules.terms import Term
from lending.selectors import products
from ussd import alphabet
from ussd.tongue import npgettext, pgettext

NAME_SEPTETS = 20
REFERENCE_SEPTETS = 12


def amount(cents: int, currency: str = "KES") -> str:
    """Return an amount as people write it."""
    return money.show(cents, currency)


def day(on: date) -> str:
    """Return a short date: "14 Mar", "14 Machi"."""
    return f"{on.day} {month(on.month)}"


def month(number: int) -> str:
    return MONTHS[number - 1]()


# Each is looked up when it is said, and not all twelve of them.
MONTHS: tuple[Callable[[], str], ...] = (
    lambda: pgettext("month", "Jan"),
    lambda: pgettext("month", "Feb"),
    lambda: pgettext("month", "Mar"),
    lambda: pgettext("month", "Apr"),
    lambda: pgettext("month", "May"),
    lambda: pgettext("month", "Jun"),
    lambda: pgettext("month", "Jul"),
    lambda: pgettext("month", "Aug"),
    lambda: pgettext("month", "Sep"),
    lambda: pgettext("month", "Oct"),
    lambda: pgettext("month", "Nov"),
    lambda: pgettext("month", "Dec"),
)


def clock(at: datetime) -> str:
    """Return the local time of day."""
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).strftime("%H:%M")


def percent(rate: Decimal) -> str:
    """Return a share as a percentage with at most one decimal.

    >>> percent(Decimal("0.7300")), percent(Decimal("0.7787"))
    ('73%', '77.9%')
    """
    value = (rate * 100).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return f"{value.normalize():f}%"


def rates(interest: Interest) -> str:
    """Return the yearly rates of tiers, exactly: 4%, or from the lowest to the highest 3.65-6%."""
    low, high = (f"{(rate * 100).normalize():f}" for rate in interest.rates)
    return f"{low}%" if low == high else f"{low}-{high}%"


def term(agreed: Term) -> str:
    """Return how long a loan lasts, and in how many parts it is repaid: "4 weeks, 4 parts"."""
    count = agreed.installments * agreed.every
    if agreed.unit == "fortnight":
        long = _weeks(2 * count)
    elif agreed.unit == "half_month" and count % 2 == 0:
        long = _months(count // 2)
    elif agreed.unit == "half_month":
        long = npgettext("term", "%(count)d half month", "%(count)d half months", count) % {"count": count}
    elif agreed.unit == "month":
        long = _months(count)
    elif agreed.unit == "week":
        long = _weeks(count)
    else:
        long = npgettext("term", "%(count)d day", "%(count)d days", count) % {"count": count}
    if agreed.installments == 1:
        return long
    return pgettext("term", "%(long)s, %(parts)s parts") % {"long": long, "parts": agreed.installments}


def _weeks(count: int) -> str:
    return npgettext("term", "%(count)d week", "%(count)d weeks", count) % {"count": count}


def _months(count: int) -> str:
    return npgettext("term", "%(count)d month", "%(count)d months", count) % {"count": count}


def first_name(full_name: str) -> str:
    """Return the first name as a phone can show it; empty when it has no such letters."""
    return alphabet.active().clip(full_name.split(" ")[0], NAME_SEPTETS)


_WALLET: ContextVar[str] = ContextVar("wallet")


def wallet() -> str:
    """Return what the customers of this country call their wallet, by the pack in force."""
    return _WALLET.get("") or _wallet(settings.COUNTRY, calendar.business_date(timezone.now(), settings.TIME_ZONE))


@lru_cache(maxsize=4)
def _wallet(country: str, on: date) -> str:
    return products.country_rules(country, on).wallet_name


@contextmanager
def wallet_called(name: str) -> Iterator[None]:
    """Let it be called so, for measuring: nothing is read from a database then."""
    token = _WALLET.set(name)
    try:
        yield
    finally:
        _WALLET.reset(token)


def masked_name(full_name: str) -> str:
    """Return a name by which whoever knows the person knows them."""
    return alphabet.active().clip(identity.mask_name(full_name), NAME_SEPTETS)


def short(text: str) -> str:
    """Return what somebody called a thing of theirs, short enough for a line of a menu."""
    return alphabet.active().clip(text, NAME_SEPTETS)


def reference(code: str) -> str:
    """Return a receipt number or reference, short enough for any screen."""
    return alphabet.active().clip(code, REFERENCE_SEPTETS)


def local_number(msisdn: str) -> str:
    """Return the number as people dial it at home: 0711000001."""
    home = str(phonenumbers.country_code_for_region(settings.COUNTRY))
    trunk = phonenumbers.ndd_prefix_for_region(settings.COUNTRY, True) or ""
    return trunk + msisdn.removeprefix(home) if msisdn.startswith(home) else msisdn


def why(decision: Decision) -> str:
    """Return the weightiest reason of a decision as a sentence; an unknown code is said in general words."""
    reason = decision.reasons[0] if decision.reasons else {}
    currency = decision.application.product_version.currency
    return reason_of(reason.get("code", ""), reason.get("values") or {}, currency)


def reason_of(code: str, values: Mapping[str, Any], currency: str) -> str:
    """Return one reason as a sentence; an unknown code is said in general words."""
    return REASONS.get(code, _score_low)(values, currency)


def what_next(decision: Decision) -> str:
    """Return what the customer can do now; an unknown code is a general answer."""
    currency = decision.application.product_version.currency
    values = {"limit_cents": decision.limit_cents, **decision.step_values}
    return step_of(decision.next_step, values, currency)


def step_of(code: str, values: Mapping[str, Any], currency: str) -> str:
    """Return one next step as a sentence; an unknown code is a general answer."""
    return NEXT_STEPS.get(code, _try_later)(values, currency)


Sentence = Callable[[Mapping[str, Any], str], str]


def _score_low(values: Mapping[str, Any], currency: str) -> str:
    return pgettext("reason", "What we know does not yet speak for this loan.")


def _late_before(values: Mapping[str, Any], currency: str) -> str:
    days = int(values.get("days") or 0)
    if not days:
        return pgettext("reason", "You paid late before.")
    return npgettext(
        "reason", "You paid %(days)d day late before.", "You paid %(days)d days late before.", days
    ) % {"days": days}


def _asked_above_policy(values: Mapping[str, Any], currency: str) -> str:
    if not values.get("limit_cents"):
        return pgettext("reason", "You asked for more than we can lend you now.")
    return pgettext("reason", "You asked for more than %(limit)s.") % {
        "limit": amount(int(values["limit_cents"]), currency)
    }


REASONS: dict[str, Sentence] = {
    "late_before": _late_before,
    "defaulted_before": lambda *_: pgettext("reason", "An earlier loan was not repaid."),
    "open_loan": lambda *_: pgettext("reason", "You have a loan that is not repaid yet."),
    "open_arrears": lambda *_: pgettext("reason", "You have a loan that is late."),
    "low_inflow": lambda *_: pgettext("reason", "Little money comes into your wallet."),
    "no_wallet_history": lambda *_: pgettext("reason", "We see no wallet history of yours."),
    # Its value is the amount that would do, which is what the next step says.
    "amount_high_for_inflow": lambda *_: pgettext("reason", "The amount is high for what comes into your wallet."),
    "few_savings": lambda *_: pgettext("reason", "You have saved little so far."),
    "new_customer": lambda *_: pgettext("reason", "You are new to Jirani."),
    "short_history": lambda *_: pgettext("reason", "We have known you only a short time."),
    "many_part_payments": lambda *_: pgettext("reason", "You paid earlier loans in many parts."),
    "irregular_income": lambda *_: pgettext("reason", "Your income goes up and down."),
    "dropping_income": lambda *_: pgettext("reason", "Your income has gone down."),
    "asked_above_policy": _asked_above_policy,
    "score_low": _score_low,
    "not_consented": lambda *_: pgettext("reason", "You have not agreed that a computer decides."),
    "data_missing": lambda *_: pgettext("reason", "We know too little to decide."),
    "computer_stopped": lambda *_: pgettext("reason", "A person looks at each loan for now."),
    "product_paused": lambda *_: pgettext("reason", "We make no new loans of this kind for now."),
    "asked_often": lambda *_: pgettext("reason", "You asked many times in a short time."),
    "borrowed_often": lambda *_: pgettext("reason", "You borrowed many times in a short time."),
    "owes_enough": lambda *_: pgettext("reason", "It is too much with what you owe."),
    "climbed_fast": lambda *_: pgettext("reason", "Your limit has grown fast."),
    "many_alike": lambda *_: pgettext("reason", "We must check your registration first."),
    "limit_reached": lambda *_: pgettext("reason", "You have reached your limit."),
}


def _ask_less(values: Mapping[str, Any], currency: str) -> str:
    if not values.get("limit_cents"):
        return pgettext("next step", "Ask for less.")
    return pgettext("next step", "Ask for %(limit)s or less.") % {
        "limit": amount(int(values["limit_cents"]), currency)
    }


def _save_weekly(values: Mapping[str, Any], currency: str) -> str:
    if not values.get("amount_cents"):
        return pgettext("next step", "Save a little each week, then ask again.")
    return pgettext("next step", "Save %(amount)s each week, then ask again.") % {
        "amount": amount(int(values["amount_cents"]), currency)
    }


def _try_later(values: Mapping[str, Any], currency: str) -> str:
    return pgettext("next step", "Try again in 30 days.")


NEXT_STEPS: dict[str, Sentence] = {
    "ask_less": _ask_less,
    "pay_on_time": lambda *_: pgettext("next step", "Repay on time, then ask again."),
    "save_weekly": _save_weekly,
    "use_wallet": lambda *_: pgettext("next step", "Use your wallet for a month, then ask again."),
    "wait_officer": lambda *_: pgettext("next step", "Wait for our officer's SMS."),
    "allow_scoring": lambda *_: pgettext("next step", "Agree on your phone: More, My data."),
    "try_later": _try_later,
    "try_tomorrow": lambda *_: pgettext("next step", "Ask again tomorrow."),
    "try_next_week": lambda *_: pgettext("next step", "Ask again in a week."),
}
