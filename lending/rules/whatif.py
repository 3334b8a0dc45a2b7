"""Scenarios: terms and dated events in, everything that follows out. Pure: no database, no clock.

Events are told in the order in which they were heard of, which need not be that of their dates. After each,
the loan is played anew from all that is known, and the postings shown are the difference to before: what a
late or a reversed event does to books that already stand.

Source: docs/domain/whatif.md, which holds the format.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lending.rules import pricing
from lending.rules.accounting import Line, credit, debit
from lending.rules.allocation import KINDS, Due, total_of
from lending.rules.facts import FactKind
from lending.rules.life import Caps, Contract, Fact, FactRefused, Life, payoff, play
from lending.rules.terms import (
    MOST_CENTS,
    Cents,
    Positive,
    Rate,
    Strict,
    TermsRefused,
    join,
    read_model,
    read_terms,
)

FIRST, LAST = date(1990, 1, 1), date(2100, 12, 31)


class ScenarioRefused(ValueError):
    """A field of the scenario is wrong; `path` says which."""

    def __init__(self, path: str, needed: str) -> None:
        super().__init__(f"{path}: {needed}")
        self.path, self.needed = path, needed


def _iso(value: object) -> object:
    """Take a date only as people write it in files: 2026-03-31."""
    if not isinstance(value, str):
        raise ValueError('must be a date such as "2026-03-31"')
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise ValueError('must be a date such as "2026-03-31"') from None
    if not FIRST <= found <= LAST:
        raise ValueError(f"must be from {FIRST} to {LAST}")
    return found


Day = Annotated[date, BeforeValidator(_iso)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
EventKind = Literal[FactKind, "day_end"]


# What an event may say beyond its name, date and key.
FIELDS: dict[str, set[str]] = {
    "disburse": {"amount_cents", "currency", "account", "refinanced_cents", "most_interest_cents"},
    "pay": {"amount_cents", "currency", "account"},
    "sales": {"amount_cents", "currency"},
    "charge": {"amount_cents", "currency", "part", "due_on"},
    "waive": {"amount_cents", "currency", "part"},
    "settle": {"amount_cents", "currency", "account", "due_on"},
    "refund": {"amount_cents", "currency", "account"},
    "reverse": {"of"},
    "reschedule": {"due_on", "installments", "rate", "restructured"},
}


class Event(Strict):
    """Something that happens on a date. Without a key it is called by its kind and place: "pay:3"."""

    event: EventKind
    on: Day
    key: Name | None = None
    amount_cents: Annotated[int, Field(strict=True, le=MOST_CENTS)] = 0
    currency: str = ""
    of: str = ""
    account: str = ""
    part: str = ""
    due_on: Day | None = None
    installments: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    rate: Rate | None = None
    refinanced_cents: Cents = 0
    most_interest_cents: Cents | None = None
    restructured: bool = True


class CapsGiven(Strict):
    """The caps of a country pack that bind this loan."""

    in_duplum_from_days: Annotated[int, Field(strict=True, ge=1, le=3_660)] | None = None
    max_total_cost_rate: Rate | None = None
    max_late_charges_rate: Rate | None = None
    max_early_settlement_rate: Rate | None = None
    max_apr: Rate | None = None
    max_effective_rate: Rate | None = None


class Frame(Strict):
    """A scenario without its terms and events, which are read one by one so that each fault has its path."""

    name: str = ""
    terms: dict[str, Any]
    principal_cents: Positive
    quoted_on: Day | None = None
    holidays: tuple[Day, ...] = ()
    expected_daily_cents: Cents = 0
    caps: CapsGiven = CapsGiven()
    events: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Scenario:
    """What was read: a contract, the price caps, and the events in the order in which they were told."""

    name: str
    contract: Contract
    price_caps: Mapping[str, Decimal]
    quoted_on: date
    events: tuple[Event, ...]


def run(json: object) -> dict[str, Any]:
    """Return what follows from a scenario, or from each of a list of `scenarios`.

    Raises:
        ScenarioRefused: with the path of the first field that is wrong.
    """
    if isinstance(json, dict) and "scenarios" in json:
        return {"scenarios": [_run_one(one, f"scenarios[{n}]") for n, one in enumerate(_listed(json))]}
    return _run_one(json, "")


LATE_FROM = (1, 7, 30, 60, 90)


def together(json: object) -> dict[str, Any]:
    """Return what a list of `scenarios` comes to in each currency, without telling what happened in each.

    `late`: how many loans were ever more than so many days late.

    Raises:
        ScenarioRefused: with the path of the first field that is wrong.
    """
    if not isinstance(json, dict) or "scenarios" not in json:
        raise ScenarioRefused("scenarios", "is needed: a list")
    sums: dict[str, Counter[str]] = {}
    for place, one in enumerate(_listed(json)):
        at = f"scenarios[{place}]"
        scenario = _read(one, at)
        sums.setdefault(scenario.contract.terms.currency, Counter()).update(_sums(scenario, at))
    return {currency: _nested(counted) for currency, counted in sorted(sums.items())}


def _sums(scenario: Scenario, at: str) -> dict[str, int]:
    priced, life = _priced(scenario, at), _lived(scenario, at)
    return {
        "loans": 1,
        f"states.{life.state}": 1,
        "principal_cents": priced["principal_cents"],
        "quoted_cost_cents": priced["cost_cents"],
        "paid_cents": _paid_cents(life),
        "kept_cents": life.kept_cents,
        "outstanding_cents": life.outstanding_cents,
        "written_off_cents": life.written_off.total,
        **{f"late.{days}": int(life.worst_days_past_due > days) for days in LATE_FROM},
        **{f"balances.{account}": cents for account, cents in life.balances().items()},
    }


def _nested(counted: Mapping[str, int]) -> dict[str, Any]:
    """Return sums whose names have two parts one level deeper."""
    found: dict[str, Any] = {}
    for name, count in counted.items():
        group, dot, part = name.partition(".")
        if dot:
            found.setdefault(group, {})[part] = count
        else:
            found[name] = count
    return found


def _listed(json: dict[str, Any]) -> list[object]:
    others = sorted(set(json) - {"scenarios"})
    if others:
        raise ScenarioRefused(others[0], "is not a field beside scenarios")
    if not isinstance(json["scenarios"], list):
        raise ScenarioRefused("scenarios", "must be a list")
    return json["scenarios"]


def _run_one(json: object, at: str) -> dict[str, Any]:
    scenario = _read(json, at)
    told = {"name": scenario.name} if scenario.name else {}
    return (
        told
        | {
            "key_facts": _priced(scenario, at),
            "events": list(_told(scenario, at)),
        }
        | _ending(_lived(scenario, at))
    )


def _read(json: object, at: str) -> Scenario:
    try:
        return read_scenario(json, at)
    except TermsRefused as refused:
        raise ScenarioRefused(refused.path, str(refused).removeprefix(f"{refused.path}: ")) from None


def read_scenario(json: object, at: str = "") -> Scenario:
    """Return a scenario that parsed JSON describes.

    Raises:
        TermsRefused: with the path of the first field that is wrong.
    """
    frame = read_model(Frame, json, at)
    terms = read_terms(frame.terms, join(at, "terms"))
    events = tuple(_read_event(event, join(at, f"events[{place}]")) for place, event in enumerate(frame.events))
    caps = Caps(**{one.name: getattr(frame.caps, one.name) for one in fields(Caps)})
    contract = Contract(terms, frame.principal_cents, caps, frozenset(frame.holidays), frame.expected_daily_cents)
    first = min((event.on for event in events if event.event == "disburse"), default=None)
    quoted_on = frame.quoted_on or first
    if quoted_on is None:
        raise TermsRefused(join(at, "quoted_on"), "is needed where nothing is disbursed")
    prices = {
        name: rate
        for name in ("max_apr", "max_effective_rate", "max_total_cost_rate")
        if (rate := getattr(frame.caps, name)) is not None
    }
    return Scenario(frame.name, contract, prices, quoted_on, events)


def _read_event(json: object, at: str) -> Event:
    event = read_model(Event, json, at)
    for name in sorted(event.model_fields_set - FIELDS.get(event.event, set()) - {"event", "on", "key"}):
        raise TermsRefused(join(at, name), f"is not a field of {event.event}")
    return event


def facts_of(scenario: Scenario) -> list[Fact | date]:
    """Return the events as facts, and ends of days as dates, in the order in which they were told."""
    return [
        event.on if event.event == "day_end" else _fact(event, place) for place, event in enumerate(scenario.events)
    ]


def _fact(event: Event, place: int) -> Fact:
    return Fact(
        key=event.key or f"{event.event}:{place + 1}",
        kind=event.event,  # type: ignore[arg-type]
        on=event.on,
        order=place,
        amount_cents=event.amount_cents,
        currency=event.currency,
        of=event.of,
        account=event.account,
        part=event.part,
        due_on=event.due_on,
        installments=event.installments,
        rate=event.rate,
        refinanced_cents=event.refinanced_cents,
        most_interest_cents=event.most_interest_cents,
        restructured=event.restructured,
    )


def _priced(scenario: Scenario, at: str) -> dict[str, Any]:
    contract = scenario.contract
    try:
        facts = pricing.key_facts(contract.terms, contract.principal_cents, scenario.quoted_on, contract.holidays)
        facts.enforce_caps(scenario.price_caps)
    except pricing.LoanRefused as refused:
        raise ScenarioRefused(join(at, refused.field), f"{refused.needed}, got {refused.got}") from None
    except pricing.PriceCapExceeded as refused:
        raise ScenarioRefused(join(at, f"caps.{refused.rule}"), str(refused)) from None
    return {
        "currency": facts.currency,
        "principal_cents": facts.principal_cents,
        "received_cents": facts.received_cents,
        "interest_cents": facts.interest_cents,
        "fee_cents": facts.fee_cents,
        "tax_cents": facts.tax_cents,
        "cost_cents": facts.cost_cents,
        "total_cents": facts.total_cents,
        "apr": str(facts.apr),
        "effective_rate": str(facts.effective_rate),
        "schedule": [
            {
                "number": number,
                "starts_on": row.period.starts_on.isoformat(),
                "due_on": row.period.due_on.isoformat(),
                "principal_cents": row.principal,
                "interest_cents": row.interest,
                "fee_cents": row.fee,
                "tax_cents": row.tax,
                "total_cents": row.total,
            }
            for number, row in enumerate(facts.rows, 1)
        ],
        "charges": [{"due_on": day.isoformat(), "total_cents": cents} for day, cents in facts.extra],
    }


def _told(scenario: Scenario, at: str) -> Iterator[dict[str, Any]]:
    """Yield what each event did. An event that is told late is played in its place; what stood then changes
    by new postings, shown with the event that brought them."""
    known: list[Fact] = []
    until: date | None = None
    before = play(scenario.contract, [])
    for place, told in enumerate(facts_of(scenario)):
        if isinstance(told, Fact):
            known.append(told)
        else:
            until = told if until is None else max(until, told)
        try:
            after = play(scenario.contract, known, until)
        except FactRefused as refused:
            raise _located(refused, scenario, place, at) from None
        on = told.on if isinstance(told, Fact) else told
        yield _event(scenario, place, on, known, before, after)
        before = after


def _located(refused: FactRefused, scenario: Scenario, place: int, at: str) -> ScenarioRefused:
    """Return the refusal with the path of the event that it names."""
    keys = [fact.key if isinstance(fact, Fact) else "" for fact in facts_of(scenario)]
    named = keys.index(refused.key) if refused.key in keys[:place] else place
    field = {"kind": "event"}.get(refused.field, refused.field)
    path = join(at, f"events[{named if refused.field != 'key' else place}].{field}")
    return ScenarioRefused(path, str(refused).removeprefix(f"{refused.key}: {refused.field} "))


def _event(
    scenario: Scenario, place: int, on: date, known: Sequence[Fact], before: Life, after: Life
) -> dict[str, Any]:
    event = scenario.events[place]
    key = event.key or f"{event.event}:{place + 1}"
    told: dict[str, Any] = {"event": event.event, "key": key, "on": on.isoformat()}
    if event.amount_cents:
        told["amount_cents"] = event.amount_cents
    if key in after.idle:
        told["note"] = after.idle[key]
    told["split"] = _split(before, after)
    if over := sum(after.over_cents.values()) - sum(before.over_cents.values()):
        told["over_cents"] = over
    return told | {
        "postings": _postings(before, after),
        "state": after.state,
        "owed": _amounts(after.owed),
        "outstanding_cents": after.outstanding_cents,
        "accrued_interest_cents": after.accrued_interest_cents,
        "payoff_cents": _payoff_cents(scenario.contract, known, after, on),
        "days_past_due": after.days_past_due,
        "worst_days_past_due": after.worst_days_past_due,
        "classification": after.classification,
        "restructured": after.restructured,
        "next_due_on": after.due_on.isoformat() if after.due_on else None,
    }


def _payoff_cents(contract: Contract, known: Sequence[Fact], life: Life, on: date) -> int:
    """Return what settles the loan now: on the day of the event, or of the latest one that is known."""
    if life.started_on is None:
        return 0
    return payoff(contract, known, max([on, *(fact.on for fact in known)])).total


def _amounts(due: Due) -> dict[str, int]:
    """Return the kinds that are not zero."""
    return {f"{kind}_cents": cents for kind in KINDS if (cents := getattr(due, kind))}


def _split(before: Life, after: Life) -> list[dict[str, Any]]:
    """Return what was covered, by why and which installment, as the difference to what stood."""
    old, new = _covered(before), _covered(after)
    return [
        {"why": why, "installment": number} | _amounts(change)
        for why, number in sorted(old.keys() | new.keys(), key=lambda one: (one[1], one[0]))
        if (change := new.get((why, number), Due()).minus(old.get((why, number), Due()))) != Due()
    ]


def _covered(life: Life) -> dict[tuple[str, int], Due]:
    found: dict[tuple[str, int], Due] = {}
    for cover in life.covers:
        place = (cover.kind, cover.number)
        found[place] = found.get(place, Due()).plus(cover.due)
    return found


def _postings(before: Life, after: Life) -> list[dict[str, Any]]:
    """Return the postings that lead from one state of the books to the next: for each kind, the difference."""
    old, new = _booked(before), _booked(after)
    found = []
    for kind in [*new, *(kind for kind in old if kind not in new)]:
        lines = _difference(old.get(kind, {}), new.get(kind, {}))
        if lines:
            found.append({"kind": kind, "lines": [_line(line) for line in lines]})
    return found


def _booked(life: Life) -> dict[str, dict[tuple[str, str], int]]:
    """Return the sums of each side of each account by kind of posting."""
    kinds: dict[str, dict[tuple[str, str], int]] = {}
    for booking in life.bookings:
        sums = kinds.setdefault(booking.kind, {})
        for line in booking.lines:
            side = (line.account, "debit" if line.debit_cents else "credit")
            sums[side] = sums.get(side, 0) + line.debit_cents + line.credit_cents
    return kinds


def _difference(old: Mapping[tuple[str, str], int], new: Mapping[tuple[str, str], int]) -> list[Line]:
    """Return legs for what came on top; what fell away stands on the other side."""
    lines = []
    for side in [*new, *(side for side in old if side not in new)]:
        cents = new.get(side, 0) - old.get(side, 0)
        is_debit = (side[1] == "debit") == (cents > 0)
        if cents:
            lines.append(debit(side[0], abs(cents)) if is_debit else credit(side[0], abs(cents)))
    return lines


def _line(line: Line) -> dict[str, Any]:
    if line.debit_cents:
        return {"account": line.account, "debit_cents": line.debit_cents}
    return {"account": line.account, "credit_cents": line.credit_cents}


def _lived(scenario: Scenario, at: str) -> Life:
    """Return the loan as it stands when everything is told."""
    told = facts_of(scenario)
    until = max((day for day in told if not isinstance(day, Fact)), default=None)
    try:
        return play(scenario.contract, [fact for fact in told if isinstance(fact, Fact)], until)
    except FactRefused as refused:
        raise _located(refused, scenario, len(told), at) from None


def _paid_cents(life: Life) -> int:
    return total_of(cover.due for cover in life.covers if cover.kind == "paid").total


def _ending(life: Life) -> dict[str, Any]:
    """Return how it stands in the end: installments, balances, state."""
    return {
        "installments": [
            {
                "number": row.number,
                "source": row.source,
                "made_by": row.event_key,
                "starts_on": row.starts_on.isoformat(),
                "due_on": row.due_on.isoformat(),
                "due": _amounts(row.due),
                "owed": _amounts(life.owed_of.get(row.number, Due())),
            }
            for row in life.installments
        ],
        "balances": life.balances(),
        "state": life.state,
        "paid_cents": _paid_cents(life),
        "outstanding_cents": life.outstanding_cents,
        "worst_days_past_due": life.worst_days_past_due,
    }
