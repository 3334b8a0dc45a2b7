"""What officers read: reasons, next steps and the model's inputs in English words.

Customers read other words, in their language (ussd.words). An unknown code is shown as it is, never hidden.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lending.rules import money

REASONS = {
    "late_before": "Paid late before{days}",
    "defaulted_before": "An earlier loan was over 30 days late or written off{days_ago}",
    "open_arrears": "Has a loan that is late now{days}",
    "open_loan": "The same person has an open loan",
    "low_inflow": "Little money comes into the wallet",
    "no_wallet_history": "No wallet history to look at",
    "amount_high_for_inflow": "Asked for more than the income carries{amount_cents}",
    "few_savings": "Has saved little",
    "new_customer": "New customer",
    "short_history": "Known for a short time only",
    "many_part_payments": "Paid earlier loans in many parts",
    "irregular_income": "Income goes up and down",
    "dropping_income": "Income has gone down",
    "asked_above_policy": "Asked for more than the computer may approve{limit_cents}",
    "score_low": "The score alone, no single fact stands out",
    "not_consented": "Did not agree that a computer decides",
    "data_missing": "Not scored: no model served, or data are missing or contradict each other",
    "computer_stopped": "The computer approves nothing for now",
    "limit_reached": "Asked for more than the own limit{limit_cents}",
    "product_paused": "No new loan of this product is made for now",
    "asked_often": "Asked many times in a short time",
    "borrowed_often": "Borrowed many times in a short time",
    "owes_enough": "Too much with what is owed already",
    "climbed_fast": "The limit has grown faster than repaid loans explain",
    "many_alike": "One of many who registered from one block of numbers within the hour",
}
NEXT_STEPS = {
    "ask_less": "Told to ask for less",
    "pay_on_time": "Told to pay what is open, on time",
    "save_weekly": "Told to save every week",
    "use_wallet": "Told to use the wallet for income",
    "wait_officer": "Told that a person will look at it by tomorrow",
    "allow_scoring": "Told how to let the computer decide",
    "try_later": "Told to try again later",
    "try_tomorrow": "Told to ask again tomorrow",
    "try_next_week": "Told to ask again in a week",
}
# What kept an approval from being carried out.
HELD_BACK = {
    "computer_stopped": "the computer approves nothing for now",
    "not_active": "this customer may not borrow now",
    "open_loan": "the same person had an open loan by then",
    "refinanced_otherwise": "the loan that it would pay off was not what it had been",
    "product_paused": "no new loan of this product is made for now",
    "owes_enough": "with it the person would owe more than the law allows",
}
# What would have turned a refusal; {months} and {loans} are said in words.
WAYS = {
    "save_weekly": "save {amount_cents} a week for {months}",
    "use_wallet": "have {amount_cents} a month more paid into the wallet, for {months}",
    "repay_in_time": "repay {loans} before the due date",
    "wait": "ask again after {months}",
    "read_terms": "read the terms before accepting",
    "ask_less": "ask for {amount_cents}",
}
_VALUES = {
    "days": " ({} days)",
    "days_ago": " ({} days ago)",
    "limit_cents": " (most: {})",
    "amount_cents": " (most: {})",
}


def reason(given: Mapping[str, Any], currency: str) -> str:
    """Return one stored reason in words.

    >>> reason({"code": "late_before", "values": {"days": 9}}, "KES")
    'Paid late before (9 days)'
    """
    code, values = given.get("code", ""), given.get("values") or {}
    if code not in REASONS:
        return f"{code} {dict(values)}" if values else str(code)
    known = {**values, "days_ago": values.get("days")}
    return REASONS[code].format_map({name: _said(name, known.get(name), currency) for name in _VALUES})


def _said(name: str, value: Any, currency: str) -> str:
    if value is None:
        return ""
    return _VALUES[name].format(money.show(int(value), currency) if name.endswith("_cents") else value)


def next_step(code: str) -> str:
    """Return what the customer was told to do next."""
    return NEXT_STEPS.get(code, code)


def way(steps: Iterable[tuple[str, Mapping[str, Any]]], currency: str) -> str:
    """Return what would have turned a refusal as one sentence.

    >>> way([("save_weekly", {"amount_cents": 5000, "months": 2}), ("ask_less", {"amount_cents": 40000})], "KES")
    'Save KES 50 a week for 2 months, and ask for KES 400.'
    >>> way([("repay_in_time", {"loans": 1, "amount_cents": 30000})], "KES")
    'Repay 1 loan of KES 300 before the due date.'
    """
    said = ", and ".join(_step(code, values, currency) for code, values in steps)
    return f"{said[:1].upper()}{said[1:]}."


def _step(code: str, values: Mapping[str, Any], currency: str) -> str:
    amount = money.show(values["amount_cents"], currency) if "amount_cents" in values else ""
    loans = _counted(values.get("loans", 0), "loan") + (f" of {amount}" if amount else "")
    months = _counted(values.get("months", 0), "month")
    return WAYS[code].format(amount_cents=amount, months=months, loans=loans)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def held_back(why: str) -> str:
    """Return what kept an approval from being carried out as words, "" for nothing."""
    return HELD_BACK.get(why, why)


def input_name(name: str) -> str:
    """Return an input's name as words.

    >>> input_name("wallet_in_90d_cents"), input_name("worst_days_late")
    ('Wallet in 90d', 'Worst days late')
    """
    return name.removesuffix("_cents").replace("_", " ").capitalize()


def input_value(name: str, value: Any, currency: str) -> str:
    """Return an input's value with its unit.

    >>> input_value("wallet_in_90d_cents", 150000.0, "KES"), input_value("on_time_share", 0.75, "KES")
    ('KES 1,500', '0.75')
    >>> input_value("prices", {"50000": 2500, "40000": 2000}, "KES")
    'KES 500: KES 25, KES 400: KES 20'
    """
    if value is None:
        return "not known"
    if name.endswith("_cents"):
        return money.show(round(value), currency)
    if isinstance(value, Mapping):  # cents by cents
        return ", ".join(f"{money.show(int(of), currency)}: {money.show(at, currency)}" for of, at in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def chance(score: float | None) -> str:
    """Return a score as officers say it.

    >>> chance(0.083), chance(None)
    ('8.3% chance of default', 'not scored')
    """
    return "not scored" if score is None else f"{score:.1%} chance of default"
