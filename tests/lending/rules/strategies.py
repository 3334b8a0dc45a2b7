"""Terms, contracts and facts of every kind for property tests."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

from hypothesis import assume
from hypothesis import strategies as st

from lending.rules.daycount import DAY_COUNTS
from lending.rules.facts import FactKind
from lending.rules.life import NEED_NO_AMOUNT, Caps, Contract, Fact
from lending.rules.pricing import key_facts
from lending.rules.terms import KINDS, PlanKind, Terms, Unit, read_terms

START = date(2026, 1, 31)
ON = st.dates(date(2024, 1, 1), date(2029, 12, 31))
PLAN_KINDS = get_args(PlanKind)
CENTS = st.one_of(st.integers(1, 10**7), st.integers(2**53, 2**70))


def rates(most: str) -> st.SearchStrategy[str]:
    return st.decimals("0", most, places=4).map(str)


def fees() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just("fee"),
            "rate": rates("0.2"),
            "charged": st.sampled_from(["deducted", "with_loan", "capitalised", "each_installment"]),
            "due": st.sampled_from(["first", "last", "spread"]),
            "taxed": st.booleans(),
        }
    ).flatmap(
        lambda fee: st.sampled_from(
            [
                fee,
                fee | {"earned": "over_term"},
                fee | {"earned": "over_term", "rebated": True},
                fee | {"charged": "on_day", "on_day": 9},
            ]
        )
    )


def penalties() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just("late"),
            "rate": rates("0.1"),
            "of": st.sampled_from(["overdue_principal", "overdue_installment", "balance"]),
            "grace_days": st.integers(0, 5),
            "every_days": st.sampled_from([0, 1, 7, 30]),
            "most_times": st.sampled_from([None, 1, 3]),
            "cap_rate": st.sampled_from([None, "0.1", "1"]),
        }
    )


@st.composite
def terms(draw: st.DrawFn, kinds: tuple[str, ...] = (*PLAN_KINDS, "credit_line", "sales_share")) -> Terms:
    """Draw terms of every kind that are allowed together."""
    kind = draw(st.sampled_from(kinds))
    plan = draw(st.sampled_from(PLAN_KINDS)) if kind == "credit_line" else kind
    count = 1 if plan in ("bullet", "sales_share") else draw(st.integers(1, 14))
    grace = st.integers(0, count - 1)
    per = ["year", "day", "period"] + (["term"] if plan in ("bullet", "flat") else [])
    json: dict[str, Any] = {
        "kind": kind,
        "currency": draw(st.sampled_from(["KES", "NGN"])),
        "min_cents": 1,
        "max_cents": 2**80,
        "term": {
            "installments": count,
            "every": draw(st.integers(1, 40)) if plan == "sales_share" else draw(st.integers(1, 3)),
            "unit": "day" if plan == "sales_share" else draw(st.sampled_from(get_args(Unit))),
        },
        "fees": draw(st.lists(fees(), max_size=2)),
        "tax": {"kind": draw(st.sampled_from(["excise", "vat"])), "rate": draw(rates("0.2"))},
        "grace": {"principal": draw(grace), "interest": draw(grace), "interest_free": draw(grace)},
        "rounding": {
            "unit_cents": draw(st.sampled_from([None, 1, 100, 500])),
            "mode": draw(st.sampled_from(["half_up", "half_even", "up"])),
            "remainder": draw(st.sampled_from(["last", "spread"])),
        },
        "due_dates": {
            "rule": draw(st.sampled_from(["none", "next", "previous", "next_in_month"])),
            "weekend": draw(st.sampled_from([[], ["sunday"], ["saturday", "sunday"]])),
        },
        "allocation": {
            "past_due": draw(st.permutations(KINDS)),
            "due": draw(st.permutations(KINDS)),
            "in_advance": draw(st.permutations(KINDS)),
            "by": draw(st.sampled_from(["installment", "kind"])),
            "advance": draw(st.sampled_from(["next", "last", "reamortise"])),
        },
        "penalties": draw(st.lists(penalties(), max_size=2)),
        "early": {"interest": draw(st.sampled_from(["to_day", "to_period_end", "all"]))},
        "extension": draw(st.sampled_from([None, {"rate": "0.02", "every": 7, "unit": "day", "most_times": 9}])),
        "skips": draw(st.integers(0, 1)),
        "closing_tolerance_cents": draw(st.sampled_from([0, 50])),
        "cooling_off_days": 3,
    }
    if json["allocation"]["advance"] == "reamortise":
        json["early"] = {"interest": "to_day"}
    if kind == "sales_share":
        json["sales_share"] = {"share": draw(rates("0.5"))}
    else:
        json["interest"] = {
            "rate": draw(rates("0.05")),
            "per": draw(st.sampled_from(per)),
            "day_count": draw(st.sampled_from(DAY_COUNTS)),
        }
    if kind == "credit_line":
        json["draw"] = plan
    return read_terms(json)


@st.composite
def contracts(draw: st.DrawFn, **kinds: Any) -> Contract:
    duplum = draw(st.sampled_from([None, 1, 90]))
    total = draw(st.sampled_from([None, "0.5", "10"]))
    holidays = draw(st.frozensets(st.dates(START, START + timedelta(days=60)), max_size=5))
    late, early = draw(st.sampled_from([None, "0.1", "0.5"])), draw(st.sampled_from([None, "0", "0.0025"]))
    rates = (Decimal(rate) if rate else None for rate in (total, late, early))
    caps = Caps(duplum, *rates)
    return Contract(draw(terms(**kinds)), draw(CENTS.filter(lambda cents: cents > 100)), caps, holidays)


@st.composite
def facts_of(draw: st.DrawFn, contract: Contract, most: int = 8) -> list[Fact]:
    """Draw a payout and what may happen after it; a few facts are reversed."""
    found = [Fact("payout", "disburse", START, order=-1, amount_cents=contract.principal_cents)]
    kinds = ["pay", "pay", "pay", "charge", "waive", "reschedule", "charge_off", "write_off", "death", "settle"]
    kinds += ["extend"] if contract.terms.extension else []
    kinds += ["sales"] if contract.terms.kind == "sales_share" else []
    for n in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(kinds))
        if kind == "reschedule" and contract.terms.kind == "sales_share":
            kind = "pay"
        found.append(draw(_fact(f"{kind}:{n}", kind, contract)))
    undone = (
        draw(st.sets(st.sampled_from([fact.key for fact in found if fact.key != "payout"]), max_size=2))
        if (len(found) > 1)
        else set()
    )
    late = START + timedelta(days=300)
    return found + [Fact(f"undo:{key}", "reverse", late, of=key) for key in sorted(undone)]


@st.composite
def lives(draw: st.DrawFn) -> tuple[Contract, list[Fact]]:
    """Return a contract that can be quoted, and facts of its loan."""
    agreed = draw(contracts())
    try:
        key_facts(agreed.terms, agreed.principal_cents, START, agreed.holidays)
    except ValueError:
        assume(False)
    return agreed, draw(facts_of(agreed))


def _fact(key: str, kind: str, contract: Contract) -> st.SearchStrategy[Fact]:
    amount = st.one_of(st.integers(1, contract.principal_cents), st.integers(1, contract.principal_cents * 2))
    needs = kind in ("pay", "charge", "waive", "settle", "sales")
    return st.builds(
        Fact,
        key=st.just(key),
        kind=st.just(kind),
        on=st.integers(0, 200).map(lambda days: START + timedelta(days=days)),
        order=st.integers(0, 3),
        amount_cents=amount if needs else st.just(0),
        installments=st.integers(0, 3) if kind == "reschedule" else st.just(0),
    )


@st.composite
def anything(draw: st.DrawFn, contract: Contract) -> list[Fact]:
    """Draw facts without any sense: of every kind, on any day, with any amount, naming each other."""
    keys = [f"fact:{n}" for n in range(draw(st.integers(0, 7)))]
    cents = st.one_of(st.just(contract.principal_cents), st.integers(-1, contract.principal_cents * 3))
    days = st.integers(-1, 90).map(lambda number: START + timedelta(days=number))
    facts = [
        Fact(
            key=key,
            kind=(kind := draw(st.sampled_from(get_args(FactKind)))),
            on=draw(days),
            order=draw(st.integers(0, 2)),
            amount_cents=draw(st.sampled_from([0, 0, 0, 5])) if kind in NEED_NO_AMOUNT else draw(cents),
            of=draw(st.sampled_from(["payout", *keys])),
            part=draw(st.sampled_from(["", "", "fee", "interest"])),
            due_on=draw(st.one_of(st.none(), days)),
            installments=draw(st.integers(0, 3)),
            rate=draw(st.sampled_from([None, None, Decimal("0.01")])),
        )
        for key in keys
    ]
    return [Fact("payout", "disburse", START, order=-1, amount_cents=contract.principal_cents), *facts]
