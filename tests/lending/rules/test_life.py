"""A loan as a function of its facts: what holds for all terms and facts, and what is refused."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lending.rules.allocation import KINDS, Due, total_of
from lending.rules.facts import FactKind
from lending.rules.life import Caps, Contract, Fact, FactRefused, Life, payoff, play, result, standing, take
from lending.rules.playing import day_end
from lending.rules.playing.played import Played
from lending.rules.pricing import LoanRefused, key_facts
from lending.rules.terms import read_terms
from tests.lending.rules.strategies import START, anything, contracts, lives

END = START + timedelta(days=320)
BULLET: dict[str, Any] = {
    "kind": "bullet",
    "currency": "KES",
    "min_cents": 20_000,
    "max_cents": 5_000_000,
    "term": {"installments": 1, "every": 30, "unit": "day"},
    "fees": [{"name": "fee", "rate": "0.05"}],
    "tax": {"rate": "0.20"},
}
RECEIVABLE = ("penalty", "fee", "tax", "principal")


def contract(principal_cents: int = 50_000, caps: Caps = Caps(), **changes: Any) -> Contract:  # noqa: B008
    return Contract(read_terms(BULLET | changes), principal_cents, caps)


def paid_out(on: date = START, cents: int = 50_000) -> Fact:
    return Fact("payout", "disburse", on, amount_cents=cents)


def day(number: int) -> date:
    return START + timedelta(days=number)


def pay(number: int, cents: int, key: str = "") -> Fact:
    return Fact(key or f"pay:{number}", "pay", day(number), amount_cents=cents)


def assert_sums(life: Life) -> None:
    """What is owed is dues less covers; nobody owes less than nothing; the books say the same."""
    owed = {row.number: row.due for row in life.installments}
    for cover in life.covers:
        owed[cover.number] = owed[cover.number].minus(cover.due)
        assert all(getattr(owed[cover.number], kind) >= 0 for kind in KINDS), cover
    assert {number: due for number, due in owed.items() if due.total} == dict(life.owed_of)
    assert total_of(owed.values()) == life.owed
    for booking in life.bookings:
        assert sum(line.debit_cents - line.credit_cents for line in booking.lines) == 0, booking
        assert all((line.debit_cents > 0) != (line.credit_cents > 0) for line in booking.lines), booking


def assert_books(life: Life) -> None:
    """The receivables are what is owed: interest as far as it is earned, nothing once it is charged off."""
    balances = life.balances()
    on_the_books = life.state not in ("charged_off", "written_off")
    for kind in RECEIVABLE:
        assert balances.get(f"{kind}_receivable", 0) == (getattr(life.owed, kind) if on_the_books else 0), kind
    paid = sum(cover.due.interest for cover in life.covers if cover.kind == "paid")
    if on_the_books:
        assert balances.get("interest_receivable", 0) == life.accrued_interest_cents - paid
        assert 0 <= balances.get("interest_receivable", 0) <= life.owed.interest
    else:
        assert balances.get("interest_receivable", 0) == 0
    assert balances.get("customer_overpayments", 0) == -life.kept_cents
    if life.state != "live":
        assert "deferred_fee_income" not in balances


class TestEveryLife:
    @settings(max_examples=80, deadline=None)
    @given(lives())
    def test_adds_up(self, drawn: tuple[Contract, list[Fact]]) -> None:
        life = play(*drawn, END)
        assert_sums(life)
        assert_books(life)

    @settings(max_examples=80, deadline=None)
    @given(contracts().flatmap(lambda agreed: st.tuples(st.just(agreed), anything(agreed))))
    def test_of_any_facts_is_a_life_or_a_named_refusal(self, drawn: tuple[Contract, list[Fact]]) -> None:
        try:
            life = play(*drawn, END)
        except FactRefused as refused:
            assert refused.key in {fact.key for fact in drawn[1]}
        else:
            assert_sums(life)
            assert_books(life)

    @settings(max_examples=60, deadline=None)
    @given(contracts(), st.integers(1, 200), st.floats(0.01, 0.99), st.integers(0, 60) | st.none())
    def test_paying_in_parts_costs_no_more_than_paying_at_once(
        self, agreed: Contract, number: int, share: float, died_after: int | None
    ) -> None:
        out, ends = paid_out(cents=agreed.principal_cents), day(number + (died_after or 0))
        death = [] if died_after is None else [Fact("death", "death", day(number), 1)]
        # What a plan that is worked out anew had earned by then is carried into it, and stays.
        assume(agreed.terms.allocation.advance != "reamortise" and _can_be_paid_out(agreed))
        # A fee that goes back goes off the principal, which may be paid by then.
        assume(not any(fee.rebated for fee in agreed.terms.fees))
        at_once = payoff(agreed, [out, *death], ends).total
        part = int(at_once * share)
        assume(part)
        rest = payoff(agreed, [out, pay(number, part), *death], ends).total
        # What is forgiven as too small may be forgiven twice.
        assert at_once - 2 * agreed.terms.closing_tolerance_cents <= part + rest <= at_once

    @settings(max_examples=25, deadline=None)
    @given(lives(), st.randoms())
    def test_does_not_depend_on_the_order_of_arrival(self, drawn: tuple[Contract, list[Fact]], random: Any) -> None:
        agreed, facts = drawn
        shuffled = random.sample(facts, len(facts))
        assert play(agreed, shuffled, END) == play(agreed, facts, END)

    @settings(max_examples=25, deadline=None)
    @given(lives(), st.integers(0, 7))
    def test_a_fact_that_is_reversed_and_repeated_changes_nothing(
        self, drawn: tuple[Contract, list[Fact]], place: int
    ) -> None:
        agreed, facts = drawn
        plain = [fact for fact in facts if fact.kind != "reverse"]
        chosen = plain[place % len(plain)]
        again = replace(chosen, key=f"{chosen.key}:again")
        undo = Fact("undo", "reverse", END, of=chosen.key)
        once, twice = play(agreed, plain, END), play(agreed, [*plain, undo, again], END)
        # Facts of one moment are ordered by key, so the repeated one may stand elsewhere among its like.
        assume(not any((f.on, f.order) == (chosen.on, chosen.order) for f in plain if f is not chosen))
        assert (once.owed, once.state, once.balances(), once.worst_days_past_due) == (
            twice.owed,
            twice.state,
            twice.balances(),
            twice.worst_days_past_due,
        )

    @settings(max_examples=25, deadline=None)
    @given(lives(), st.lists(st.integers(0, 300), max_size=6))
    def test_closing_days_one_by_one_or_at_once_is_the_same(
        self, drawn: tuple[Contract, list[Fact]], days: list[int]
    ) -> None:
        agreed, facts = drawn
        once, many = play(agreed, facts, END), _play_in_steps(agreed, facts, days)
        assert (once.owed, once.balances(), once.state) == (many.owed, many.balances(), many.state)

    @settings(max_examples=40, deadline=None)
    @given(lives())
    def test_what_was_quoted_is_what_is_charged_by_who_pays_on_time(
        self, drawn: tuple[Contract, list[Fact]]
    ) -> None:
        agreed, _ = drawn
        quoted = key_facts(agreed.terms, agreed.principal_cents, START, agreed.holidays)
        facts = [paid_out(cents=agreed.principal_cents)]
        due: dict[date, int] = {}
        for on, cents in [*((row.period.due_on, row.total) for row in quoted.rows), *quoted.extra]:
            due[on] = due.get(on, 0) + cents
        facts += [Fact(f"pay:{on}", "pay", on, amount_cents=cents) for on, cents in due.items() if cents]
        life = play(agreed, facts)
        paid = sum(fact.amount_cents for fact in facts[1:]) - sum(life.over_cents.values())
        assert life.owed.total == 0
        assert life.worst_days_past_due == 0
        assert paid <= quoted.total_cents
        last = max(due)
        if all(on == last for on in due) and agreed.caps == Caps():
            assert paid == quoted.total_cents

    @settings(max_examples=25, deadline=None)
    @given(lives(), st.integers(1, 250))
    def test_the_pay_off_settles_and_a_cent_less_does_not(
        self, drawn: tuple[Contract, list[Fact]], number: int
    ) -> None:
        agreed, facts = drawn
        free = replace(agreed, terms=agreed.terms.model_copy(update={"closing_tolerance_cents": 0}))
        before = [fact for fact in facts if fact.on < day(number) and fact.kind != "reverse"]
        assume(play(free, before).state == "live")
        owed = payoff(free, before, day(number)).total
        assume(owed > 1)
        exact = Fact("last", "pay", day(number), amount_cents=owed)
        life = play(free, [*before, exact])
        assert (life.state, life.over_cents["last"]) == ("settled", 0)
        assert play(free, [*before, replace(exact, amount_cents=owed - 1)]).state == "live"


def _can_be_paid_out(agreed: Contract) -> bool:
    try:
        key_facts(agreed.terms, agreed.principal_cents, START, agreed.holidays)
    except LoanRefused:
        return False
    return True


def _play_in_steps(agreed: Contract, facts: list[Fact], days: list[int]) -> Life:
    """Play with ends of days asked for in between, as a nightly close does."""
    player, waiting = Played(agreed), standing(agreed, facts)
    for number in sorted(days):
        while waiting and waiting[0].on <= day(number):
            take(player, waiting.pop(0))
        day_end.close_through(player, day(number))
    for fact in waiting:
        take(player, fact)
    day_end.close_through(player, END)
    return result(player)


class TestRefusals:
    @pytest.mark.parametrize(
        ("facts", "key", "field"),
        [
            ([paid_out(), Fact("a", "pay", day(1), amount_cents=0)], "a", "amount_cents"),
            ([paid_out(), Fact("a", "pay", day(1), amount_cents=-5)], "a", "amount_cents"),
            ([paid_out(), Fact("a", "write_off", day(1), amount_cents=5)], "a", "amount_cents"),
            ([paid_out(), Fact("a", "pay", day(1), amount_cents=5, currency="UGX")], "a", "currency"),
            ([paid_out(), pay(1, 5, "a"), pay(2, 5, "a")], "a", "key"),
            ([paid_out(), Fact("a", "reverse", day(1), of="b")], "a", "of"),
            (
                [
                    paid_out(),
                    pay(1, 5),
                    Fact("a", "reverse", day(2), of="pay:1"),
                    Fact("b", "reverse", day(3), of="a"),
                ],
                "b",
                "of",
            ),
            (
                [
                    paid_out(),
                    pay(1, 5),
                    Fact("a", "reverse", day(2), of="pay:1"),
                    Fact("b", "reverse", day(3), of="pay:1"),
                ],
                "b",
                "of",
            ),
            ([paid_out(), pay(5, 5), Fact("a", "reverse", day(2), of="pay:5")], "a", "on"),
            ([paid_out(day(3)), Fact("a", "charge", day(1), amount_cents=5)], "a", "on"),
            ([Fact("a", "write_off", day(1))], "a", "on"),
            ([paid_out(cents=40_000)], "payout", "amount_cents"),
            ([paid_out(), Fact("a", "disburse", day(1), amount_cents=50_000)], "a", "kind"),
            ([paid_out(), Fact("a", "extend", day(1))], "a", "kind"),
            ([paid_out(), Fact("a", "skip", day(1))], "a", "kind"),
            ([paid_out(), Fact("a", "sales", day(1), amount_cents=5)], "a", "kind"),
            ([paid_out(), Fact("a", "cancel", day(1))], "a", "on"),
            ([paid_out(), Fact("a", "charge", day(1), amount_cents=5, part="rent")], "a", "part"),
            ([paid_out(), Fact("a", "waive", day(1), amount_cents=5, part="rent")], "a", "part"),
            ([paid_out(), Fact("a", "charge", day(1), amount_cents=5, due_on=day(0))], "a", "due_on"),
            ([paid_out(), Fact("a", "reschedule", day(1), due_on=day(1))], "a", "due_on"),
        ],
    )
    def test_a_fact_that_cannot_stand_is_named(self, facts: list[Fact], key: str, field: str) -> None:
        with pytest.raises(FactRefused) as refused:
            play(contract(), facts, END)
        assert (refused.value.key, refused.value.field) == (key, field)

    @pytest.mark.parametrize("kind", ["charge", "waive", "write_off", "charge_off", "reschedule", "death"])
    def test_after_the_end_a_fact_changes_nothing_and_says_so(self, kind: FactKind) -> None:
        amount = 100 if kind in ("charge", "waive") else 0
        facts = [paid_out(), pay(3, 53_000), Fact("late", kind, day(4), amount_cents=amount)]
        life = play(contract(), facts)
        assert (life.state, life.owed.total) == ("settled", 0)
        assert life.idle == {"late": "the loan is settled"}


class TestMoneyIn:
    def test_a_bullet_is_settled_and_the_rest_belongs_to_the_customer(self) -> None:
        life = play(contract(), [paid_out(), pay(30, 60_000)], day(31))
        assert (life.state, life.settled_on, life.over_cents) == ("settled", day(30), {"pay:30": 7_000})
        assert life.worst_days_past_due == 0

    def test_money_that_came_before_the_payout_waits_for_it(self) -> None:
        life = play(contract(), [pay(0, 1_000, "early"), paid_out(day(1))])
        assert life.owed.total == 52_000
        assert life.over_cents == {"early": 0}
        assert "customer_overpayments" not in life.balances()

    def test_money_for_a_settled_loan_is_the_customers(self) -> None:
        life = play(contract(), [paid_out(), pay(3, 53_000), pay(9, 800)])
        assert life.over_cents == {"pay:3": 0, "pay:9": 800}

    def test_a_refund_gives_it_back(self) -> None:
        life = play(contract(), [paid_out(), pay(3, 53_800), Fact("back", "refund", day(4), amount_cents=800)])
        assert "customer_overpayments" not in life.balances()

    def test_money_for_a_written_off_loan_is_a_recovery(self) -> None:
        life = play(contract(), [paid_out(), Fact("loss", "write_off", day(200)), pay(210, 10_000)], day(211))
        assert (life.state, life.owed.total, life.written_off.total) == ("written_off", 0, 43_000)
        assert life.balances()["recovery_income"] == -9_500

    def test_a_charged_off_loan_is_still_owed_and_its_money_is_a_recovery(self) -> None:
        life = play(contract(), [paid_out(), Fact("loss", "charge_off", day(200)), pay(210, 10_000)], day(211))
        assert (life.state, life.owed.total) == ("charged_off", 43_000)
        assert life.balances()["recovery_income"] == -9_500
        assert "principal_receivable" not in life.balances()

    def test_a_reversed_payment_is_as_if_it_had_never_come(self) -> None:
        undone = [pay(10, 53_000), Fact("undo", "reverse", day(40), of="pay:10")]
        life = play(contract(), [paid_out(), *undone], day(40))
        assert (life.state, life.days_past_due, life.owed.total) == ("live", 10, 53_000)

    def test_a_backdated_payment_takes_its_penalties_back(self) -> None:
        late = contract(penalties=[{"name": "late", "amount_cents": 500, "every_days": 7}])
        assert play(late, [paid_out()], day(40)).owed.penalty == 1_000
        life = play(late, [paid_out(), pay(30, 53_000)], day(40))
        assert (life.owed.total, life.worst_days_past_due) == (0, 0)

    def test_amounts_beyond_a_float_stay_exact(self) -> None:
        cents = 2**70 + 1
        big = replace(contract(), principal_cents=cents)
        life = play(big, [paid_out(cents=cents)])
        assert life.owed.principal == cents

    def test_the_last_cents_are_not_worth_a_payment(self) -> None:
        life = play(contract(closing_tolerance_cents=50), [paid_out(), pay(30, 52_960)])
        assert (life.state, life.balances()["small_balances"]) == ("settled", 40)


class TestPayingEarly:
    LEVEL = {
        "kind": "level",
        "currency": "NGN",
        "term": {"installments": 12, "unit": "month"},
        "interest": {"rate": "0.12"},
        "fees": [],
    }

    def test_to_the_day_owes_what_was_earned(self) -> None:
        agreed = contract(500_000, **self.LEVEL)
        # 10 of 28 days of 46.03, and nothing of the other months.
        assert payoff(agreed, [paid_out(cents=500_000)], day(10)) == Due(interest=1_643, principal=500_000)

    def test_to_the_period_end_owes_the_running_installment(self) -> None:
        agreed = contract(500_000, **self.LEVEL, early={"interest": "to_period_end"})
        assert payoff(agreed, [paid_out(cents=500_000)], day(10)) == Due(interest=4_603, principal=500_000)

    def test_unearned_fees_go_back_as_the_product_says(self) -> None:
        fee = {"name": "fee", "rate": "0.05", "earned": "over_term", "rebated": True}
        agreed = contract(fees=[fee])
        assert payoff(agreed, [paid_out()], day(15)) == Due(fee=1_250, tax=250, principal=50_000)
        deducted = contract(fees=[fee | {"charged": "deducted"}])
        assert payoff(deducted, [paid_out()], day(15)) == Due(principal=48_500)

    def test_money_ahead_of_time_makes_the_rest_cheaper_with_one_rounding(self) -> None:
        """5,000 at 12 % for 4 days and 4,187.32 for 27 days cost 43.74; two roundings would make it 43.75."""
        agreed = contract(500_000, **self.LEVEL, allocation={"advance": "reamortise"})
        start = date(2026, 3, 1)
        paid = Fact("ahead", "pay", date(2026, 3, 5), amount_cents=81_268)
        life = play(agreed, [paid_out(start, 500_000), paid])
        first = next(row for row in life.installments if row.number in life.owed_of)
        assert (first.due_on, first.due.interest) == (date(2026, 4, 1), 4_374)
        assert len(life.owed_of) == 12
        assert life.owed.principal == 418_732


class TestIncome:
    def test_a_fee_over_the_term_is_income_as_far_as_it_was_earned(self) -> None:
        agreed = contract(fees=[{"name": "fee", "rate": "0.05", "earned": "over_term"}])
        assert play(agreed, [paid_out()], day(15)).income_cents("fee_earned") == 1_250
        assert play(agreed, [paid_out(), pay(15, 53_000)]).income_cents("fee_earned") == 2_500

    def test_waived_interest_was_income_and_has_legs_of_its_own(self) -> None:
        agreed = contract(interest={"rate": "0.365"}, fees=[])
        life = play(
            agreed, [paid_out(), Fact("kind", "waive", day(30), amount_cents=400, part="interest")], day(31)
        )
        assert (life.income_cents("accrual"), life.accrued_interest_cents) == (1_500, 1_100)
        assert life.balances()["waiver_expense"] == 400


class TestLate:
    def test_a_penalty_falls_after_its_grace_and_stops_at_its_cap(self) -> None:
        late = contract(
            penalties=[
                {
                    "name": "late",
                    "rate": "0.02",
                    "of": "overdue_principal",
                    "grace_days": 2,
                    "every_days": 7,
                    "cap_cents": 2_500,
                }
            ]
        )
        due = 30
        found = [
            (number, play(late, [paid_out()], day(due + number)).owed.penalty) for number in (2, 3, 10, 17, 24, 90)
        ]
        assert found == [(2, 0), (3, 1_000), (10, 2_000), (17, 2_500), (24, 2_500), (90, 2_500)]

    def test_in_duplum_stops_charges_at_the_principal(self) -> None:
        late = contract(
            penalties=[{"name": "late", "rate": "0.5", "of": "balance", "every_days": 1}],
            caps=Caps(in_duplum_from_days=1),
        )
        life = play(late, [paid_out()], day(60))
        # The penalty of the first late day is charged before the cap begins at the end of that day.
        assert life.owed.penalty == 25_000 + 50_000

    def test_all_charges_stop_at_the_total_cost(self) -> None:
        late = contract(
            penalties=[{"name": "late", "rate": "0.5", "of": "balance", "every_days": 1}],
            caps=Caps(max_total_cost_rate=Decimal("0.10")),
        )
        life = play(late, [paid_out()], day(60))
        assert life.owed.total - life.owed.principal == 5_000

    @given(lives())
    def test_late_charges_stay_within_their_cap_whatever_happens(self, told: tuple[Contract, list[Fact]]) -> None:
        agreed, facts = told
        life = play(agreed, facts, START + timedelta(days=400))
        late = sum(item.due.total for item in life.installments if item.source == "penalty")
        if (rate := agreed.caps.max_late_charges_rate) is not None:
            assert late <= rate * agreed.principal_cents

    def test_late_charges_stop_at_their_own_cap_and_a_waiver_makes_no_room(self) -> None:
        late = contract(
            penalties=[{"name": "late", "rate": "0.1", "of": "overdue_principal", "every_days": 1, "taxed": True}],
            fees=[],
            tax={"rate": "0.2"},
            caps=Caps(max_late_charges_rate=Decimal("0.30")),
        )
        charged = [play(late, [paid_out()], day(30 + n)).owed for n in (1, 2, 3, 60)]
        assert [due.penalty + due.tax for due in charged] == [6_000, 12_000, 15_000, 15_000]
        waived = [paid_out(), Fact("waived", "waive", day(34), part="penalty")]
        more = Fact("more", "charge", day(40), amount_cents=100, part="penalty")
        assert play(late, [*waived, more], day(60)).owed.penalty == 0
        assert play(late, [*waived, replace(more, part="fee")], day(60)).owed.fee == 100

    @pytest.mark.parametrize(
        ("rule", "rate", "asked"),
        [("all", None, 6_000), ("all", "0.01", 700), ("to_period_end", "0.01", 700), ("all", "0", 200)],
    )
    def test_paying_early_costs_no_more_than_the_law_allows(self, rule: str, rate: str | None, asked: int) -> None:
        """200 of 6,000 are earned on the first day; a hundredth of 50,000 is 500."""
        early = contract(
            interest={"rate": "0.12", "per": "term"},
            early={"interest": rule},
            caps=Caps(max_early_settlement_rate=Decimal(rate) if rate else None),
        )
        due = payoff(early, [paid_out()], day(1))
        assert due.interest == asked
        paid = [paid_out(), Fact("paid", "pay", day(1), amount_cents=due.total)]
        assert play(early, paid, day(40)).state == "settled"

    def test_days_past_due_begin_the_day_after(self) -> None:
        late = [play(contract(), [paid_out()], day(number)).days_past_due for number in (29, 30, 31, 61)]
        assert late == [0, 0, 1, 31]
        assert play(contract(), [paid_out()], day(61)).classification == "watch"

    def test_a_payment_after_a_death_makes_no_plan_anew(self) -> None:
        terms = {
            "kind": "level", "term": {"installments": 3, "unit": "month"}, "fees": [],
            "interest": {"rate": "0.36"}, "allocation": {"advance": "reamortise"},
        }  # fmt: skip
        facts = [paid_out(), Fact("died", "death", day(4))]
        before, after = (play(contract(**terms), [*facts, *paid], day(60)) for paid in ([], [pay(5, 1_000)]))
        assert before.outstanding_cents - after.outstanding_cents == 1_000
        assert before.accrued_interest_cents == after.accrued_interest_cents

    def test_nothing_more_is_earned_or_charged_after_a_death(self) -> None:
        late = contract(
            interest={"rate": "0.365"}, penalties=[{"name": "late", "amount_cents": 500, "every_days": 1}]
        )
        life = play(late, [paid_out(), Fact("died", "death", day(10))], day(60))
        # 1,500.00 for 30 days, 10 of them.
        assert (life.owed.interest, life.owed.penalty) == (500, 0)

    def test_a_death_that_is_told_twice_counts_from_the_first_day(self) -> None:
        deaths = [Fact("died", "death", day(10)), Fact("died again", "death", day(20))]
        life = play(contract(interest={"rate": "0.365"}), [paid_out(), *deaths], day(60))
        assert (life.stopped_on, life.owed.interest) == (day(10), 500)

    @pytest.mark.parametrize("part", ["fee", "penalty"])
    def test_nothing_is_charged_by_hand_after_a_death(self, part: str) -> None:
        charge = Fact("late", "charge", day(5), amount_cents=900, part=part)
        life = play(contract(fees=[]), [paid_out(), Fact("died", "death", day(4)), charge], day(60))
        assert life.owed == Due(principal=50_000)
        assert life.idle["late"] == f"nothing is charged after {day(4)}"

    def test_a_new_plan_after_a_death_costs_no_interest(self) -> None:
        monthly = {"installments": 3, "unit": "month"}
        agreed = contract(kind="level", term=monthly, fees=[], interest={"rate": "0.36"})
        died = [paid_out(), Fact("died", "death", day(4))]
        later = Fact("later", "reschedule", day(10), due_on=day(60), installments=1)
        before, after = (play(agreed, facts, day(200)) for facts in (died, [*died, later]))
        assert after.owed.interest == before.owed.interest == before.accrued_interest_cents > 0
        assert_books(after)


class TestChangesOfPlan:
    FLAT = {
        "kind": "flat",
        "term": {"installments": 4, "unit": "week"},
        "interest": {"rate": "0.02", "per": "period"},
        "fees": [],
        "skips": 1,
        "extension": {"rate": "0.05", "every": 1, "unit": "week", "most_times": 1},
    }

    def dates(self, life: Life) -> list[int]:
        return [(row.due_on - START).days for row in life.installments if row.number in life.owed_of]

    def test_a_skip_moves_all_by_one_period(self) -> None:
        life = play(contract(**self.FLAT), [paid_out(), pay(7, 13_500), Fact("skip", "skip", day(8))])
        assert self.dates(life) == [21, 28, 35]
        assert life.owed.total == 40_500
        assert not life.restructured

    def test_a_skip_that_the_product_does_not_give_is_refused(self) -> None:
        facts = [paid_out(), Fact("a", "skip", day(1)), Fact("b", "skip", day(2))]
        with pytest.raises(FactRefused, match="b: kind needs a skip"):
            play(contract(**self.FLAT), facts)

    def test_an_extension_costs_its_fee_and_has_a_ceiling(self) -> None:
        facts = [paid_out(), Fact("more time", "extend", day(1))]
        life = play(contract(**self.FLAT), facts)
        assert self.dates(life) == [1, 14, 21, 28, 35]
        assert (life.owed.fee, life.owed.tax) == (2_500, 500)
        with pytest.raises(FactRefused, match="is allowed 1 times"):
            play(contract(**self.FLAT), [*facts, Fact("again", "extend", day(2))])

    def test_an_extension_of_one_who_died_before_costs_nothing(self) -> None:
        facts = [paid_out(), Fact("more time", "extend", day(3)), Fact("died", "death", day(2))]
        life = play(contract(**self.FLAT), facts, day(60))
        assert (self.dates(life), life.owed.fee, life.owed.tax) == ([14, 21, 28, 35], 0, 0)

    def test_an_extension_of_a_late_loan_marks_it(self) -> None:
        life = play(contract(**self.FLAT), [paid_out(), Fact("more time", "extend", day(9))], day(9))
        assert (life.restructured, life.worst_days_past_due) == (True, 2)

    def test_a_restructured_loan_keeps_its_worst_days_late(self) -> None:
        facts = [paid_out(), Fact("new plan", "reschedule", day(40), due_on=day(60), installments=2)]
        life = play(contract(**self.FLAT), facts, day(41))
        assert (life.days_past_due, life.worst_days_past_due, life.restructured) == (0, 33, True)
        assert self.dates(life) == [60, 67, 74]
        assert (life.owed.principal, life.owed.interest) == (50_000, 4_000)

    def test_a_settlement_waives_the_rest(self) -> None:
        facts = [paid_out(), Fact("agreed", "settle", day(60), amount_cents=30_000)]
        life = play(contract(), facts)
        assert (life.state, life.balances()["waiver_expense"]) == ("settled", 23_000)

    def test_cancelling_gives_everything_back(self) -> None:
        agreed = contract(cooling_off_days=2, interest={"rate": "0.365"})
        facts = [paid_out(), pay(1, 3_000), Fact("no thanks", "cancel", day(1), order=1)]
        life = play(agreed, [*facts, pay(2, 47_000)], day(40))
        assert (life.state, life.owed.total, life.over_cents["pay:2"]) == ("cancelled", 0, 0)
        assert {account for account in life.balances() if account.endswith("income")} == set()

    def test_cancelling_a_loan_with_a_deducted_fee_gives_back_what_was_received(self) -> None:
        fee = {"name": "fee", "rate": "0.05", "charged": "deducted", "earned": "over_term"}
        agreed = contract(cooling_off_days=2, fees=[fee])
        life = play(agreed, [paid_out(), Fact("no thanks", "cancel", day(1))], day(1))
        assert life.owed == Due(principal=47_000)

    def test_a_credit_line_can_be_drawn_again_after_it_was_repaid(self) -> None:
        line = contract(kind="credit_line", fees=[])
        facts = [paid_out(cents=30_000), Fact("two", "disburse", day(5), amount_cents=20_000)]
        life = play(line, facts)
        assert self.dates(life) == [30, 35]
        again = [*facts, pay(6, 50_000), Fact("three", "disburse", day(9), amount_cents=50_000)]
        assert play(line, again, day(9)).owed.principal == 50_000
        over = play(line, [*facts, Fact("four", "disburse", day(9), amount_cents=1)])
        assert over.idle == {"four": "drawn above what was available"}


class TestCashAdvance:
    ADVANCE = {
        "kind": "sales_share",
        "term": {"installments": 1, "every": 100, "unit": "day"},
        "fees": [{"name": "fee", "rate": "0.10"}],
        "tax": {"rate": "0"},
        "sales_share": {"share": "0.10", "max_daily_cents": 1_000},
    }

    def test_a_share_of_the_days_sales_falls_due_up_to_its_cap(self) -> None:
        sales = [
            Fact("small day", "sales", day(1), amount_cents=4_000),
            Fact("great day", "sales", day(2), amount_cents=99_000),
        ]
        life = play(contract(**self.ADVANCE), [paid_out(), *sales], day(3))
        assert [due.total for due in life.owed_of.values()] == [53_600, 400, 1_000]
        assert life.days_past_due == 2

    def test_the_fee_is_earned_on_what_is_still_out(self) -> None:
        """550 a day for 100 days: more of the fee is earned at first than a straight line would."""
        earned = [
            -play(contract(**self.ADVANCE), [paid_out()], day(number)).balances().get("fee_income", 0)
            for number in (0, 25, 50, 100)
        ]
        assert earned[0] == 0 < 2_000 < earned[1] < 2_400 < 3_600 < earned[2] < 4_000
        assert earned[3] == 5_000

    def test_money_that_comes_faster_earns_the_fee_faster(self) -> None:
        life = play(contract(**self.ADVANCE), [paid_out(), pay(1, 27_500)], day(1))
        by_time = play(contract(**self.ADVANCE), [paid_out()], day(50))
        assert life.balances()["fee_income"] == by_time.balances()["fee_income"]
