"""A quote is what is charged: on its own day to the cent, on another day of payout at most that interest."""

from datetime import date, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from lending.rules import pricing
from lending.rules.facts import Contract, Fact, Life
from lending.rules.life import play
from lending.rules.terms import Interest, Terms, read_terms
from tests.lending.rules import strategies


def by_the_month(terms: Terms) -> Terms:
    """Return terms whose interest follows the days of its months."""
    yearly = Interest.model_validate({"rate": "0.36", "day_count": terms.interest.day_count})
    monthly = terms.term.model_copy(update={"unit": "month"})
    return terms.model_copy(update={"term": monthly, "interest": yearly})


ANY = strategies.terms(kinds=strategies.PLAN_KINDS)
DATED = st.one_of(ANY, ANY.map(by_the_month))
PRINCIPAL = st.integers(10_000, 10**7)


def quoted(terms: Terms, cents: int, on: date) -> pricing.KeyFacts:
    try:
        return pricing.key_facts(terms, cents, on)
    except pricing.LoanRefused:
        assume(False)
        raise


def paid_out(terms: Terms, cents: int, quote: pricing.KeyFacts, on: date, *more: Fact) -> Life:
    payout = Fact("payout", "disburse", on, 0, cents, most_interest_cents=quote.interest_cents)
    return play(Contract(terms, cents), [payout, *more])


def planned(life: Life) -> tuple[int, int, int]:
    """Return principal, interest, and how many installments the payout brought."""
    items = [item for item in life.installments if item.event_key == "payout" and item.source == "plan"]
    return sum(item.due.principal for item in items), sum(item.due.interest for item in items), len(items)


@given(terms=DATED, cents=PRINCIPAL, on=strategies.ON, delay=st.integers(0, 45))
def test_another_day_of_payout_costs_at_most_the_interest_of_the_quote(
    terms: Terms, cents: int, on: date, delay: int
) -> None:
    quote = quoted(terms, cents, on)
    life = paid_out(terms, cents, quote, on + timedelta(days=delay))
    principal, interest, count = planned(life)
    assert interest <= quote.interest_cents, (interest, quote)
    assert (principal, count) == (cents + quote.capitalised_cents, len(quote.rows))
    if not delay:
        assert life.owed.total == quote.total_cents
    assert life.owed.total - interest == quote.total_cents - quote.interest_cents


@given(terms=DATED, cents=PRINCIPAL, on=strategies.ON, delay=st.integers(0, 45), data=st.data())
def test_money_ahead_of_time_never_raises_it_above_the_quote_again(
    terms: Terms, cents: int, on: date, delay: int, data: st.DataObject
) -> None:
    quote = quoted(terms, cents, on)
    day = on + timedelta(days=delay)
    times = data.draw(st.lists(st.tuples(st.integers(0, 120), st.integers(1, 2 * cents)), max_size=4))
    facts = [Fact(f"pay:{n}", "pay", day + timedelta(days=after), n, paid) for n, (after, paid) in enumerate(times)]
    plain = terms.model_copy(update={"penalties": (), "extension": None})
    life = paid_out(plain, cents, quote, day, *facts)
    moved = sum(cover.due.interest for cover in life.covers if cover.kind == "moved")
    assert sum(item.due.interest for item in life.installments) - moved <= quote.interest_cents


def test_a_longer_month_comes_off_the_last_installment() -> None:
    terms = read_terms(
        {
            "kind": "equal_principal", "currency": "NGN", "min_cents": 1, "max_cents": 10**9,
            "term": {"installments": 2, "unit": "month"}, "interest": {"rate": "0.365"},
        }
    )  # fmt: skip
    quote = pricing.key_facts(terms, 100_000, date(2026, 2, 1))
    assert [row.interest for row in quote.rows] == [2_800, 1_550]  # 28 days, then 31 on half
    life = paid_out(terms, 100_000, quote, date(2026, 3, 1))  # 31 days, then 30 on half: 3,100 and 1,500
    assert [item.due.interest for item in life.installments] == [3_100, 1_250]
