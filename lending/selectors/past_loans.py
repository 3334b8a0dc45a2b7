"""Past loans as scenarios: what would have come of them under other terms.

A scenario holds no name, number or receipt of anybody: a reference, amounts and days. Under other terms people
would have acted otherwise, and nobody knows how. What is assumed: they ask for the same amount on the same day
and pay what they paid, and who paid the whole loan back, by money or by a new loan, pays the whole of the other
one back, on the same day. Who was let go for an agreed amount pays that amount.

Source: docs/domain/whatif.md, "Past loans".
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

from django.conf import settings

from lending.models import Loan
from lending.rules import calendar, life, pricing
from lending.rules.accounting import REFINANCING
from lending.rules.facts import Contract, Fact, FactRefused
from lending.rules.terms import read_terms
from lending.rules.whatif import FIELDS
from lending.selectors import contracts

# So long after the last fact a plan may still reach: the longest terms are shorter.
REACH = timedelta(days=800)


class LeftOut(Exception):
    """This loan cannot be played under the other terms. The text says why."""


def paid_out(since: date, until: date, code: str = "") -> Iterable[Loan]:
    """Return the loans that were paid out within days, the oldest first, of a product or of all."""
    loans = (
        contracts.with_contract()
        .select_related("application")
        .filter(disbursed_at__date__gte=since, disbursed_at__date__lte=until)
    )
    if code:
        loans = loans.filter(product_version__code=code)
    return loans.order_by("disbursed_at", "id").prefetch_related("events__reverses").iterator(chunk_size=500)


def scenario_of(loan: Loan, until: date, other_terms: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a loan, read by `paid_out`, as a scenario up to the end of a day, under its own or other terms.

    Raises:
        LeftOut: the terms or the law do not allow this amount, its price or what happened to it.
    """
    terms = loan.product_version.terms if other_terms is None else other_terms
    contract = replace(contracts.contract_of(loan), terms=read_terms(terms, "terms"))
    events = sorted(loan.events.all(), key=lambda event: (event.business_date, event.happened_at, event.id))
    facts = [fact for fact in contracts.facts_of(events) if fact.on <= until]
    quoted_on = _quoted_on(loan, facts)
    _enforce_price(contract, quoted_on)
    if other_terms is not None:
        facts = _under_other_terms(contract, facts, until, is_settled=_is_settled(loan, until))
    return {
        "name": loan.reference,
        "terms": dict(terms),
        "principal_cents": contract.principal_cents,
        "quoted_on": quoted_on.isoformat(),
        "holidays": _holidays(contract, facts),
        "caps": {name: _written(value) for name, value in asdict(contract.caps).items() if value is not None},
        "events": [*_events(facts), {"event": "day_end", "on": until.isoformat()}],
    }


def _quoted_on(loan: Loan, facts: list[Fact]) -> date:
    """Return the day on which the price was accepted; of a loan that was brought in, that of the payout."""
    if loan.application is None:
        return facts[0].on
    return calendar.business_date(loan.application.submitted_at, settings.TIME_ZONE)


def _enforce_price(contract: Contract, on: date) -> None:
    caps = contract.caps.max_total_cost_rate
    try:
        priced = pricing.key_facts(contract.terms, contract.principal_cents, on, contract.holidays)
        priced.enforce_caps({} if caps is None else {"max_total_cost_rate": caps})
    except (pricing.LoanRefused, pricing.PriceCapExceeded) as refused:
        raise LeftOut(str(refused)) from None


def _is_settled(loan: Loan, until: date) -> bool:
    settled_at = loan.settled_at if loan.state == Loan.State.SETTLED else None
    return settled_at is not None and calendar.business_date(settled_at, settings.TIME_ZONE) <= until


def _written(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


def _holidays(contract: Contract, facts: list[Fact]) -> list[str]:
    """Return the holidays that a due date may meet, where the product keeps off them."""
    if contract.terms.due_dates.rule == "none" or not facts:
        return []
    first, last = facts[0].on, max(fact.on for fact in facts) + REACH
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day.isoformat() for day in days if day in contract.holidays]


def _events(facts: list[Fact]) -> list[dict[str, Any]]:
    """Return facts as events. One that is undone later is called by its place; no key of ours leaves with it."""
    place = {fact.key: f"event {number}" for number, fact in enumerate(facts, 1)}
    undone = {fact.of for fact in facts}
    return [_event(fact, place, is_named=fact.key in undone) for fact in facts]


def _event(fact: Fact, place: Mapping[str, str], *, is_named: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"event": fact.kind, "on": fact.on.isoformat()}
    if is_named:
        told["key"] = place[fact.key]
    if fact.of:
        return told | {"of": place.get(fact.of, "")}
    plain = Fact(fact.key, fact.kind, fact.on)
    said = {name for name in FIELDS.get(fact.kind, set()) if getattr(fact, name) != getattr(plain, name)}
    return told | {name: _json(getattr(fact, name)) for name in sorted(said)}


def _json(value: Any) -> Any:
    return value if isinstance(value, int | str) else str(value)


# --- under other terms ------------------------------------------------------------------------------------------
def _under_other_terms(contract: Contract, facts: list[Fact], until: date, *, is_settled: bool) -> list[Fact]:
    """Return what would have happened: the same, without what only the old price brought about.

    Raises:
        LeftOut: as `scenario_of` says.
    """
    # The interest that was accepted and what was given back belong to the old price.
    same = [replace(fact, most_interest_cents=None) for fact in facts if fact.kind != "refund"]
    try:
        if is_settled:
            same = _paid_back_whole(contract, same)
        life.play(contract, same, until)
    except FactRefused as refused:
        raise LeftOut(str(refused)) from None
    return same


def _paid_back_whole(contract: Contract, facts: list[Fact]) -> list[Fact]:
    """Let what paid the whole loan back be what was owed then."""
    last = _paid_the_rest(life.standing(contract, facts))
    if last is None:
        return facts
    others = [fact for fact in facts if fact.key != last.key]
    cents = life.payoff(contract, [fact for fact in others if fact.on <= last.on], last.on).total
    whole = replace(last, kind="pay", amount_cents=cents)
    return [whole if fact is last else fact for fact in facts if cents or fact is not last]


def _paid_the_rest(standing: list[Fact]) -> Fact | None:
    """Return what paid all that was left of a settled loan; None if no money did, or if less was agreed."""
    came = [fact for fact in standing if fact.kind in ("pay", "settle")]
    for fact in came:
        if fact.account == REFINANCING:
            return fact
    for fact in came:
        if fact.kind == "settle" and (fact.due_on is None or came[-1].on <= fact.due_on):
            return None
    return came[-1] if came else None


def terms_from(json: Any) -> Mapping[str, Any]:
    """Return other terms that a file holds: those of a product version, or a product file with its `terms`.

    Raises:
        TermsRefused: with the path of the first field that is wrong.
    """
    terms = json["terms"] if isinstance(json, dict) and "terms" in json else json
    read_terms(terms, "terms")
    return dict(terms)
