"""What officers read of a product's terms: fields, rules of the law and refusals in their words."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from lending.admin import cells
from lending.rules.caps import AgainstLaw
from lending.rules.pricing import LoanRefused
from lending.rules.reading import Refused
from lending.rules.savings import SavingsTermsRefused
from lending.rules.terms import TermsRefused
from lending.selectors.products import NothingInForce
from lending.services.versions import FollowedAlready

# The longest of these that a path begins with says what it is about.
FIELDS = {
    "name": "Name",
    "effective_on": "First day",
    "approval_document": "The regulator's approval",
    "approved_on": "The approval",
    "country": "Country",
    "currency": "Currency",
    "ladder_cents": "Limit at each rung",
    "loss_brake": "Loss brake",
    "principal_cents": "The loan",
    "terms": "Terms",
    "terms.kind": "Kind",
    "terms.currency": "Currency",
    "terms.min_cents": "Smallest loan",
    "terms.max_cents": "Largest loan",
    "terms.term": "Term",
    "terms.interest": "Interest",
    "terms.fees": "Fee",
    "terms.tax": "Tax on fees",
    "terms.grace": "Grace",
    "terms.rounding": "Rounding",
    "terms.due_dates": "Due dates",
    "terms.allocation": "Allocation of payments",
    "terms.penalties": "Penalty",
    "terms.early": "Paying early",
    "terms.extension": "Extension",
    "terms.refinance": "Paying off an open loan",
    "terms.sales_share": "Share of sales",
    "terms.draw": "Repayment of a draw",
    "terms.skips": "Installments that may be skipped",
    "terms.closing_tolerance_cents": "Small balance that is forgiven",
    "terms.cooling_off_days": "Cooling-off days",
    "terms.minimum_balance_cents": "Least that stays",
    "terms.dormant_after_days": "Days until an account is dormant",
    "terms.goal": "Suggested deposits",
    "terms.lock": "Locks",
    "terms.save_first": "Saving first",
    "partner": "Who holds the money",
}


def share(figure: Any) -> str:
    """Return a share as people read it: 4 %."""
    return f"{Decimal(str(figure)) * 100:f}".rstrip("0").rstrip(".") + " %"


def _cents(figure: Any) -> str:
    return cells.shown(int(figure), cells.home_currency())


# Of each rule of a pack: what it is about, and how its figures are read.
RULES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "price_caps.max_monthly_rate": ("all charges of a month, as a share of the loan", share),
    "price_caps.max_yearly_rate": ("all charges of a year, as a share of the loan", share),
    "price_caps.max_total_cost_rate": ("all charges together, as a share of the loan", share),
    "price_caps.max_apr": ("the yearly rate (APR)", share),
    "price_caps.max_early_settlement_rate": ("the price of paying early, as a share of the loan", share),
    "penalties.bases": ("what a penalty may be reckoned on", lambda base: str(base).replace("_", " ")),
    "penalties.max_rate_of_principal": ("all penalties together, as a share of the loan", share),
    "default_interest.max_rate_of_principal": ("all penalties together, as a share of the loan", share),
    "exposure.max_loan_cents": ("the largest loan", _cents),
    "savings.held_by": ("who may hold savings", str),
    "notices.change_of_terms_days": ("the first day after the notice to customers", str),
    "price_approval": ("the regulator's approval of the price", str),
    "price_approval.valid_days": ("how long an approval of the price lasts", str),
}


def field_words(path: str) -> str:
    """Return what a path means, and the path itself.

    >>> field_words("terms.fees[1].rate"), field_words("ladder_cents")
    ('Fee 2 (terms.fees[1].rate)', 'Limit at each rung')
    """
    plain = re.sub(r"\[\d+\]", "", path)
    known = max((name for name in FIELDS if f"{plain}.".startswith(f"{name}.")), key=len, default="")
    place = re.search(r"\[(\d+)\]", path)
    words = FIELDS.get(known, path) + (f" {int(place[1]) + 1}" if place else "")
    return words if path == known and "." not in path else f"{words} ({path})"


# A price follows from many fields; it is named by the loan at which it was worked out.
PRICED = {
    ("price_caps", "terms.max_cents"): "Price of the largest loan (terms.max_cents)",
    ("price_caps", "terms.min_cents"): "Price of the smallest loan (terms.min_cents)",
}
REFUSALS = (TermsRefused, SavingsTermsRefused, Refused, LoanRefused, AgainstLaw, NothingInForce, FollowedAlready)


def path_of(refusal: Exception) -> str:
    """Return the path of the field that is refused; empty where no field is."""
    if isinstance(refusal, Refused):
        return f"loss_brake.{refusal.path}"
    return refusal.field if isinstance(refusal, LoanRefused) else getattr(refusal, "path", "")


def refusal_words(refusal: Exception) -> str:
    """Return why a version is refused, beginning with the field at fault."""
    field = field_words(path_of(refusal))
    if isinstance(refusal, AgainstLaw):
        field = PRICED.get((refusal.rule.split(".")[0], refusal.path), field)
        return f"{field}: {_law_words(refusal)}."
    if isinstance(refusal, TermsRefused | SavingsTermsRefused):
        return f"{field}: {str(refusal).split(': ', 1)[1]}."
    if isinstance(refusal, Refused):
        return f"{field}: {refusal.why}."
    if isinstance(refusal, LoanRefused):
        return f"{field}: {refusal.needed}, got {_cents(refusal.got)}."
    if isinstance(refusal, FollowedAlready):
        return f"{refusal} is the newest version by now: start from that one."
    return f"{str(refusal).capitalize()}."


def _law_words(refusal: AgainstLaw) -> str:
    about, read = RULES.get(refusal.rule, (refusal.rule, str))
    allowed, asked = (_read(read, figure) for figure in (refusal.allowed, refusal.asked))
    return f"the law sets {about}: it allows {allowed}, and this would be {asked}"


def _read(read: Callable[[Any], str], figure: Any) -> str:
    return read(figure) if not isinstance(figure, str) or read not in (share, _cents) else figure


# --- a preview -------------------------------------------------------------------------------------------------
SHOWN = {
    "principal_cents": "Loan",
    "received_cents": "The customer gets",
    "interest_cents": "Interest",
    "fee_cents": "Fees",
    "tax_cents": "Tax on fees",
    "total_cents": "To pay back in all",
    "installments": "Installments",
    "due_on": "The last one due on",
    "apr": "APR",
    "effective_rate": "Effective rate",
}


def preview_rows(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return a preview of a version as rows: what, in force, proposed."""
    before, after, currency = shown["before"], shown["after"], shown["currency"]
    number = shown["version"]
    rows = [("Version", str(number - 1), f"{number}, from {shown['effective_on']}")]
    rows += [
        (f"Example: {words}", _fact(name, before[name], currency), _fact(name, after[name], currency))
        for name, words in SHOWN.items()
    ]
    rows.append(("Law that allows it", "", shown["law"]))
    return rows + [(field_words(path), _plain(was), _plain(will)) for path, was, will in shown["changes"]]


def savings_rows(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return a preview of a version of a savings product as rows: what, in force, proposed."""
    before, after, currency = shown["before"], shown["after"], shown["currency"]
    number = shown["version"]
    worse = ", ".join(field_words(path) for path in shown["worse"])
    rows = [("Version", str(number - 1), f"{number}, from {shown['effective_on']}")]
    rows += [
        (words, cells.shown(before[name], currency), cells.shown(after[name], currency))
        for name, words in A_YEAR.items()
    ]
    rows += [("Worse for savers", "", worse or "nothing"), ("Law that allows it", "", shown["law"])]
    return rows + [(field_words(path), _plain(was), _plain(will)) for path, was, will in shown["changes"]]


A_YEAR = {
    "balance_cents": "Example: a balance of",
    "interest_cents": "Example: interest of a year",
    "tax_cents": "Example: tax on it",
}


def _fact(name: str, value: Any, currency: str) -> str:
    if name.endswith("_cents"):
        return cells.shown(value, currency)
    return f"{Decimal(value) * 100:.2f} %" if name in ("apr", "effective_rate") else str(value)


def _plain(value: Any) -> str:
    if value is None:
        return cells.NOTHING
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
