"""The worked examples of docs/domain, run against the rules that they explain."""

import json
import re
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lending import closing
from lending.models import Borrower, Loan, OutboxMessage, PaymentAttempt, PaymentIntent, Posting
from lending.rules import (
    accounting,
    arrears,
    business,
    calendar,
    caps,
    contact,
    identity,
    limits,
    money,
    paybill_account,
    pin_waits,
    pricing,
    promises,
    reminders,
    savings_change,
    settlement_file,
    standing,
)
from lending.rules import savings as savings_rules
from lending.rules.allocation import KINDS, Due, allocate, total_of
from lending.rules.country import Country, Section, may_contact
from lending.rules.facts import Contract, Fact, Life
from lending.rules.life import play
from lending.rules.refunds import split
from lending.rules.terms import read_terms
from lending.selectors import books, deposits, loans, payoffs, portfolio
from lending.selectors.contracts import fact_of
from lending.selectors.metrics import REPORTS
from lending.selectors.products import price_of
from lending.services import (
    changes,
    groups,
    holds,
    lateness,
    periods,
    preferences,
    receipts,
    refunds,
    savings,
    savings_instructions,
)
from lending.services import loans as loan_services
from lending.services.complaints import complain
from lending.services.promises import make_promise
from lending.services.receipts import borrower_of_account
from ml import events, features
from ml.recourse import Plan
from scoring import policy, scorecard
from tests import factories
from tests.docs.tables import REPOSITORY, Row, cents, checked_tables, days, figure, same, share, value_at
from tests.lending import posters, saving
from tests.lending.lending import happen, lend, noon, product
from tests.lending.rules.packs import LAWS
from ussd import campaigns, notices, words

# Those of the other pages have a test file of their own.
TABLES = {
    name: rows
    for name, rows in checked_tables().items()
    if name.split(".")[0]
    not in (
        "operations",
        "architecture",
        "card",
        "metrics",
        "history",
        "gateways",
        "abuse",
        "requests",
        "data_rights",
        "people",
    )
}
NAIROBI = ZoneInfo("Africa/Nairobi")
PRODUCT = json.loads((REPOSITORY / "fixtures/products/jirani-30.json").read_text())
KENYA = json.loads((REPOSITORY / "fixtures/countries/ke.json").read_text())["rules"]
CHECKED: set[str] = set()


def rows(name: str) -> Callable[[Any], Any]:
    """Run a test once for each row of a table."""
    CHECKED.add(name)
    return pytest.mark.parametrize("row", TABLES.get(name, []), ids=str)


# Compared as a whole, not row by row.
WHOLE = {
    "accounting.chart",
    "accounting.kinds",
    "accounting.life",
    "accounting.late",
    "accounting.legs",
    "accounting.statements",
    "arrears.classes",
    "arrears.par",
    "closing.days",
    "decisions.deeds",
    "decisions.events",
    "decisions.features",
    "decisions.promises",
    "decisions.reasons",
    "decisions.rules",
    "decisions.scorecard",
    "decisions.steps",
    "law.sections",
    "limits.ladder",
    "overpayments.ways",
    "payments.attempts",
    "payments.intents",
    "reminders.days",
    "reminders.ladder",
    "reminders.parts",
    "standing.payoffs",
}


def whole(name: str) -> list[Row]:
    """Return a table that is compared as a whole."""
    assert name in WHOLE
    return TABLES[name]


def test_every_marked_table_is_checked_and_every_check_has_a_table() -> None:
    assert TABLES.keys() == CHECKED | WHOLE


@rows("figures")
def test_a_figure_is_the_one_in_the_code(row: Row) -> None:
    real = value_at(row["In the code"])
    assert same(figure(row["Figure"]), real), f"{row}: the code says {real}"


MONDAY = date(2026, 3, 2)


def _book(told: str) -> list[business.Entry]:
    """Read lines such as "sale 500, credit_given Mary 200, undo"."""
    entries: list[business.Entry] = []
    for line in told.split(", "):
        kind, *customer, amount = line.rsplit(" ") if line != "undo" else ("undo", "0")
        if kind == "undo":
            entries.append(replace(entries[-1], cents=-entries[-1].cents))
        else:
            entries.append(business.Entry(kind, cents(amount), MONDAY, " ".join(customer)))
    return entries


class TestBusinessBook:
    @rows("business.kinds")
    def test_each_kind_counts_where_the_table_says(self, row: Row) -> None:
        one = business.Entry(row["Kind"], 100, MONDAY, "Mary")
        day = business.totals([one])
        owed = sum(business.owed([business.Entry("credit_given", 100, MONDAY, "Mary"), one]).values()) - 100
        sign = {"+": 100, "-": -100, "": 0}
        assert [day.sold_cents, day.costs_cents, day.cash_cents, owed] == [
            sign[row[column]] for column in ("Sold", "Spent", "Cash in the tin", "Customers owe")
        ]

    @rows("business.day")
    def test_a_day_comes_to_what_was_written(self, row: Row) -> None:
        day = business.totals(_book(row["Lines"]))
        assert [day.sold_cents, day.costs_cents, day.profit_cents, day.cash_cents] == [
            _signed(row[column]) for column in ("Sold", "Spent", "Left", "Cash")
        ]

    @rows("business.owed")
    def test_customers_owe_what_they_have_not_paid(self, row: Row) -> None:
        owed = business.owed(_book(row["Lines"]))
        said = ", ".join(f"{who} {money.show(owing, 'KES').removeprefix('KES ')}" for who, owing in owed.items())
        assert (said or "nobody") == row["Owed"]

    @rows("business.tin")
    def test_the_tin_is_expected_from_the_last_count(self, row: Row) -> None:
        expected = None if row["Expected"] == "-" else cents(row["Expected"])
        count = business.Count(cents(row["Counted"]), business.expected_cash(_book(row["Before"])))
        assert (count.expected_cents, count.difference_cents) == (expected, _signed(row["Difference"]))

    @rows("business.loan")
    def test_a_loan_fits_an_average_week_or_not(self, row: Row) -> None:
        lefts = [_signed(left) for left in row["Left in each week, KES"].split(", ")]
        weeks = {
            MONDAY - timedelta(weeks=len(lefts) - place): business.Totals(sales_cents=left)
            for place, left in enumerate(lefts)
        }
        said = business.affordability(weeks, cents(row["To repay"]), int(row["Within days"]), MONDAY)
        verdict = "yes" if said.fits else "no" if said.is_known else "too few weeks"
        assert (said.instalment_cents, verdict) == (cents(row["In a week"]), row["Fits"])


AGREED = PRODUCT["terms"]
SOME_DAY = date(2026, 3, 2)


def quoted(principal_cents: int, on: date = SOME_DAY, **rates: str) -> pricing.KeyFacts:
    """Price a loan under the product's terms, or under those with another fee or tax."""
    fee = {"name": "Fee", "rate": rates.get("fee", AGREED["fees"][0]["rate"])}
    tax = {"rate": rates.get("tax", AGREED["tax"]["rate"])}
    return pricing.key_facts(read_terms(AGREED | {"fees": [fee], "tax": tax}), principal_cents, on)


# --- pricing ------------------------------------------------------------------------------------------------
class TestPricing:
    @rows("pricing.quotes")
    def test_a_quote_is_what_the_calculator_says(self, row: Row) -> None:
        quote = quoted(cents(row["You get"]))
        assert quote.fee_cents == cents(row["Fee"])
        assert quote.tax_cents == cents(row["Tax"])
        assert quote.total_cents == cents(row["You repay"])
        assert quote.apr == share(row["APR"])
        assert quote.effective_rate == share(row["Effective"])

    @rows("pricing.products")
    def test_a_product_that_ships_costs_what_the_table_says(self, row: Row) -> None:
        shipped = json.loads((REPOSITORY / f"fixtures/products/{row['Product']}.json").read_text())
        quote = pricing.key_facts(read_terms(shipped["terms"]), 100_000, SOME_DAY)
        parts, days = len(quote.rows), (quote.due_on - SOME_DAY).days
        assert row["Repaid"] == f"in {parts} part{'s' * (parts > 1)}, {days} days"
        assert quote.fee_cents == cents(row["Fee"])
        assert quote.tax_cents == cents(row["Tax"])
        assert quote.interest_cents == cents(row["Interest"])
        assert quote.total_cents == cents(row["You repay"])
        assert quote.apr == share(row["APR"])

    def test_each_product_that_ships_is_in_the_table(self) -> None:
        named = [row["Product"] for row in TABLES["pricing.products"]]
        assert sorted(named) == sorted(path.stem for path in (REPOSITORY / "fixtures/products").iterdir())

    @rows("pricing.apr")
    def test_a_yearly_rate_is_what_the_formula_gives(self, row: Row) -> None:
        facts = cents(row["Cost"]), cents(row["Received"]), int(row["Days"])
        assert pricing.nominal_apr(*facts) == share(row["APR"])
        assert pricing.effective_apr(*facts) == share(row["Effective"])

    @rows("pricing.due_dates")
    def test_a_due_date_counts_from_the_local_day(self, row: Row) -> None:
        completed_at = datetime.fromisoformat(row["Payout completed (UTC)"]).replace(tzinfo=UTC)
        day = calendar.business_date(completed_at, "Africa/Nairobi")
        assert day.isoformat() == row["Local day"]
        assert quoted(50_000, day).due_on.isoformat() == row["Due on"]

    @rows("pricing.caps")
    def test_a_cap_refuses_what_is_too_dear(self, row: Row) -> None:
        quote = quoted(cents(row["Loan"]), fee=str(share(row["Fee"])), tax=str(share(row["Tax on the fee"])))
        assert share(row["Cost"]) == Decimal(quote.fee_cents + quote.tax_cents) / quote.principal_cents
        if row["Answer"] == "lent":
            caps.enforce_price(price_of(quote, SOME_DAY), LAWS["ke"])
        else:
            with pytest.raises(caps.AgainstLaw, match="max_total_cost_rate"):
                caps.enforce_price(price_of(quote, SOME_DAY), LAWS["ke"])

    @rows("pricing.typed")
    def test_an_amount_is_read_or_refused(self, row: Row) -> None:
        if row["Read as"] == "refused":
            with pytest.raises(money.InvalidAmount):
                money.parse(row["Typed"])
        else:
            assert money.show(money.parse(row["Typed"]), "KES") == row["Read as"]


# --- allocation ---------------------------------------------------------------------------------------------
OWED = Due(fee=2_500, tax=500, principal=50_000)
OLDER = Due(penalty=1_000, fee=500, interest=2_000, principal=10_000)
YOUNGER = Due(interest=2_000, principal=10_000)


def spelled(covered: Due) -> str:
    """Return what was covered as the page writes it."""
    parts = [f"{kind} {getattr(covered, kind) // 100}" for kind in KINDS if getattr(covered, kind)]
    return ", ".join(parts) or "nothing"


class TestAllocation:
    @rows("allocation.one_loan")
    def test_a_payment_covers_in_order(self, row: Row) -> None:
        [covered], over = allocate(cents(row["Paid"]), [OWED], AGREED["allocation"]["past_due"])
        assert covered == Due(**{kind: cents(row[kind.capitalize()]) for kind in KINDS})
        assert over == cents(row["Over"])

    @rows("allocation.two_installments")
    def test_the_older_installment_comes_first(self, row: Row) -> None:
        [older, younger], over = allocate(cents(row["Paid"]), [OLDER, YOUNGER])
        assert (spelled(older), spelled(younger)) == (row["To the older"], row["To the younger"])
        assert over == cents(row["Over"])

    @rows("allocation.accounts")
    def test_a_typed_account_finds_its_borrower(self, row: Row, amina: Borrower) -> None:
        expected = {"Amina's": amina, "nobody's": None}[row["Whose"]]
        assert borrower_of_account(row["Account typed"]) == expected


# --- arrears ------------------------------------------------------------------------------------------------
def _late_loan(name: str, principal_cents: int, days_late: int) -> Loan:
    """Return a live loan that is so late at NOON; its fee and tax are paid, so that its principal is owed."""
    digits = f"{principal_cents // 100:04d}"
    borrower = factories.register(f"{name} Example", f"25471100{digits}", f"3456{digits}")
    loan = factories.live_loan(borrower, principal_cents, at=factories.NOON - timedelta(days=30 + days_late))
    factories.pay(loan.reference, loan.fee_cents + loan.tax_cents, f"FEE{digits}", at=factories.NOON)
    return loan


class TestArrears:
    @rows("arrears.days")
    def test_days_past_due_count_from_the_oldest_unpaid_date(self, row: Row) -> None:
        dates = [] if row["Unpaid due dates"] == "none" else row["Unpaid due dates"].split(", ")
        late = arrears.days_past_due([date.fromisoformat(d) for d in dates], date.fromisoformat(row["On"]))
        assert late == int(row["Days past due"])

    def test_the_classes_are_those_of_the_code(self) -> None:
        table = whole("arrears.classes")
        assert [(row["Class"], int(row["From day"])) for row in table] == list(arrears.CLASSES)
        for row in table:
            assert arrears.classify(int(row["From day"])) == row["Class"]
            assert arrears.classify(int(row["To day"] or 10_000)) == row["Class"]

    def test_par_counts_the_whole_principal_of_late_loans(self, law: None, fixed_scorer: object) -> None:
        table = whole("arrears.par")
        told = [re.fullmatch(r"(\w+): KES ([\d,]+), (\d+) days?", column) for column in table[0].cells]
        loans = {found[0]: _late_loan(found[1], cents(found[2]), int(found[3])) for found in told if found}
        on = factories.NOON.date()
        par = {row["more_than_days"]: row["par"] for row in REPORTS["par"].records(on)}
        for row in table:
            days = int(row["More than n days late"])
            late = Loan.objects.filter(portfolio.late_loans(days, on))
            assert {column: row[column] == "yes" for column in loans} == {
                column: loan in late for column, loan in loans.items()
            }
            assert par[days] == share(row["PAR-n"])
        assert portfolio.figures(on).par0 == share(table[0]["PAR-n"])
        assert portfolio.figures(on).par30 == share(table[2]["PAR-n"])


# --- close of business --------------------------------------------------------------------------------------
class TestClosing:
    def test_a_close_does_to_a_loan_what_the_table_says(self, law: None) -> None:
        table = whole("closing.days")
        paid_out_on = date.fromisoformat(table[0]["Date closed"])
        loan = lend(product(LATE_WEEKLY), 400_000, noon(paid_out_on.year, paid_out_on.month, paid_out_on.day))
        told = {date.fromisoformat(row["Date closed"]): row for row in table}
        for on in calendar.days_between(paid_out_on - timedelta(days=1), max(told)):
            assert closing.close_business(on, calendar.start_of(on + timedelta(days=1), "Africa/Nairobi"))
            if row := told.get(on):
                loan.refresh_from_db()
                penalties = sum(item.penalty_cents for item in loan.installments.all())
                assert (loan.days_past_due, loan.worst_days_past_due) == (
                    int(row["Days past due"]),
                    int(row["Worst so far"]),
                ), row
                assert (loan.accrued_cents, penalties, loan.outstanding_cents) == (
                    cents(row["Interest earned"]),
                    cents(row["Penalties so far"]),
                    cents(row["Owed"]),
                ), row
                assert loan.classification == row["Class"], row
                assert loan.next_action_on == date.fromisoformat(row["Next look"]), row


LATE_WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "every": 1, "unit": "week"},
    "interest": {"rate": "0.02", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}],
}


# --- limits -------------------------------------------------------------------------------------------------
class TestLimits:
    def test_the_ladder_is_the_products(self) -> None:
        table = whole("limits.ladder")
        assert [int(row["Rung"]) for row in table] == list(range(len(PRODUCT["ladder_cents"])))
        assert [cents(row["Limit"]) for row in table] == PRODUCT["ladder_cents"]

    @rows("limits.moves")
    def test_a_settled_loan_moves_its_borrower(self, row: Row) -> None:
        late = 0 if row["Settled"] == "on the due date or before" else days(row["Settled"])
        top = len(PRODUCT["ladder_cents"]) - 1
        assert limits.next_rung(int(row["On rung"]), late, top) == int(row["New rung"])

    @rows("limits.income")
    def test_an_income_carries_what_the_median_and_the_share_say(self, row: Row) -> None:
        inflow = limits.estimated_inflow([cents(one) for one in row["Inflows, latest first"].split(", ")])
        assert inflow is not None
        repayable = limits.repayable_cents(inflow, share(row["Share"]), cents(row["Owed already"]))
        assert repayable == cents(row["May be repaid within a month"])

    @rows("limits.explained")
    def test_a_climb_is_explained_by_clean_loans(self, row: Row) -> None:
        on, lately = date(2026, 3, 2), int(row["of them in the last 30 days"])
        long_ago = int(row["Clean loans"]) - lately
        clean_on = [on - timedelta(days=29)] * lately + [on - timedelta(days=30)] * long_ago
        policy_ = policy.IN_FORCE
        explained = limits.explained_rung(
            int(row["On rung"]), clean_on, on, window_days=policy_.climb_window_days, most=policy_.climb_rungs
        )
        assert explained == int(row["Explained rung"])


# --- law ----------------------------------------------------------------------------------------------------
class TestLaw:
    def test_the_sections_rest_on_what_the_table_says(self) -> None:
        codes = ("GH", "KE", "NG", "TZ", "UG")
        told = {row["Section"]: [row[code] for code in codes] for row in whole("law.sections")}
        real: dict[str, list[str]] = {}
        for name in Country.model_fields:
            parts = [getattr(LAWS[code.lower()], name) for code in codes]
            if any(isinstance(part, Section) for part in parts):
                real[name] = [part.basis if part else "not found" for part in parts]
        assert told == real

    @rows("law.prices")
    def test_a_price_is_allowed_or_refused_with_the_rule(self, row: Row) -> None:
        price = caps.Price(cents(row["On"]), cents(row["Charges"]), int(row["Days"]))
        broken = [breach.rule for breach in caps.price_breaches(price, LAWS[row["Country"].lower()])]
        assert (broken or ["allowed"])[0] == row["Answer"]

    @rows("law.holidays")
    def test_a_due_date_keeps_off_the_holidays_of_the_country(self, row: Row) -> None:
        section = LAWS[row["Country"].lower()].holidays
        assert section is not None
        due, weekend = (
            date.fromisoformat(row["Would be due"]),
            (5, 6) if row["Saturday and Sunday closed"] == "yes" else (),
        )
        for rule, column in (("next", "Due with `next`"), ("previous", "with `previous`")):
            assert calendar.move(due, rule, weekend, section.kept()).isoformat() == row[column]


# --- PINs ---------------------------------------------------------------------------------------------------
@rows("pins.waits")
def test_a_lock_opens_after_its_wait(row: Row) -> None:
    assert pin_waits.wait(int(row["Lock in a row"])) == figure(row["Opens after"])


@rows("pins.weak")
def test_a_pin_is_taken_or_refused(row: Row) -> None:
    known_digits = ("254711000101", "23456781")
    if row["Answer"] == "taken":
        identity.refuse_weak_pin(row["PIN"], known_digits)
    else:
        with pytest.raises(identity.WeakPin):
            identity.refuse_weak_pin(row["PIN"], known_digits)


# --- accounting ---------------------------------------------------------------------------------------------
AFTER_20 = OWED.minus(Due(fee=2_000))
LEGS = {
    "float paid in: KES 100,000": accounting.capital(10_000_000),
    "loan approved: the payout is reserved": accounting.reservation(50_000),
    "payout failed: the reservation is reversed": [
        accounting.Line(line.account, line.credit_cents, line.debit_cents)
        for line in accounting.reservation(50_000)
    ],
    "payout completed: the loan is disbursed": accounting.disbursement(50_000, 2_500, 500),
    "repayment of KES 600": accounting.repayment(OWED, 7_000),
    "KES 300 that fits nobody": accounting.suspense(30_000),
    "an officer says that the KES 300 are for this loan": accounting.repayment(
        total_of(allocate(30_000, [OWED])[0]), 0, source="suspense"
    ),
    "write-off after KES 20 were repaid": accounting.write_off(AFTER_20),
    "KES 100 recovered after the write-off": accounting.recovery(total_of(allocate(10_000, [AFTER_20])[0]), 0),
    "the KES 70 that were over are given back": accounting.refund(7_000),
    "partner reports savings of KES 200": accounting.savings_deposit(20_000, "Umoja Bank"),
    "partner reports a withdrawal of KES 50": accounting.savings_withdrawal(5_000, "Umoja Bank"),
    "partner's interest of KES 10, tax 1.50": accounting.savings_interest(1_000, 150, "Umoja Bank"),
    "KES 200 that are to be saved come in": accounting.savings_in_transit(20_000),
    "the partner has the KES 200": accounting.savings_handed_on(20_000),
    "the partner does not take the KES 200": accounting.savings_kept(20_000),
    "we hold savings: KES 200 come in": accounting.savings_deposit(20_000, ""),
    "we hold savings: KES 50 go out": accounting.savings_withdrawal(5_000, ""),
    "we hold savings: interest of KES 10, tax 1.50": accounting.savings_interest(1_000, 150, ""),
}


class TestAccounting:
    def test_the_chart_is_the_fixture(self) -> None:
        chart = json.loads((REPOSITORY / "fixtures/accounts.json").read_text())
        assert [(row["Account"], row["Name"], row["Kind"]) for row in whole("accounting.chart")] == [
            (account["code"], account["name"], account["kind"]) for account in chart
        ]

    def test_the_legs_are_those_that_are_posted(self) -> None:
        told: dict[str, list[accounting.Line]] = {}
        event = ""
        for row in whole("accounting.legs"):
            event = row["Event"] or event
            told.setdefault(event, []).append(
                accounting.Line(row["Account"], cents(row["Debit"]), cents(row["Credit"]))
            )
        assert told == LEGS

    @pytest.mark.parametrize("event", LEGS)
    def test_the_legs_of_an_event_balance(self, event: str) -> None:
        assert sum(line.debit_cents - line.credit_cents for line in LEGS[event]) == 0

    def test_every_account_with_legs_is_in_the_chart(self) -> None:
        used = {line.account for legs in LEGS.values() for line in legs}
        assert used <= {row["Account"] for row in whole("accounting.chart")}

    def test_each_kind_of_posting_has_an_example(self) -> None:
        kinds, life = whole("accounting.kinds"), whole("accounting.life")
        assert {row["Kind of posting"] for row in [*kinds, *life]} == set(Posting.Kind.values)
        assert all(hasattr(accounting, row["Function of `lending/rules/accounting.py`"]) for row in life)
        assert [row["Example"] for row in kinds if row["Example"] not in LEGS] == []
        # Interest, and savings that we hold ourselves, are posted by the tests of savings.
        elsewhere = {event for event in LEGS if "interest of" in event or event.startswith("we hold")}
        assert {row["Example"] for row in kinds} == LEGS.keys() - elsewhere

    def test_the_services_post_what_the_examples_say(self, law: None, fixed_scorer: object) -> None:
        _everything_happens()
        posted = {(one.kind, _legs(one)) for one in Posting.objects.prefetch_related("entries")}
        for row in whole("accounting.kinds"):
            assert (row["Kind of posting"], frozenset(LEGS[row["Example"]])) in posted, row

    def test_the_statements_are_those_of_the_example(self, aminas_loan: Loan) -> None:
        posters.fund(100_000)
        factories.pay(aminas_loan.reference, 2_000, at=factories.NOON + timedelta(days=2))
        factories.write_off(aminas_loan, at=factories.NOON + timedelta(days=5))
        for row in whole("accounting.statements"):
            assert (
                _signed(row["Amount"]) == _amounts(row["Statement"], date.fromisoformat(row["On"]))[row["Line"]]
            ), row

    def test_what_is_told_late_is_booked_into_the_open_period(self, law: None, django_user_model: Any) -> None:
        table = whole("accounting.late")
        told = datetime.fromisoformat(f"{table[0]['Told on']} 09:00").replace(tzinfo=NAIROBI)
        closing.close_business(date(2026, 3, 31), told)
        maker, checker = (django_user_model.objects.create_user(name) for name in ("wambui", "njeri"))
        periods.close_period(last_on=date(2026, 3, 31), maker=maker, checker=checker, at=told)
        for row in table:
            paid = datetime.fromisoformat(row["Paid (local time)"]).replace(tzinfo=NAIROBI)
            posting = posters.fund(reference=str(row), at=paid)
            assert posting.business_date.isoformat() == row["Booked on"]
            assert posting.occurred_at == paid


def _everything_happens() -> None:
    """Let each event of the examples happen, through the services."""
    posters.fund(10_000_000)
    factories.live_loan(factories.register())
    factories.pay("254711000101", 60_000, "AMINA")
    factories.give_back(Borrower.objects.get())
    _payout_fails(factories.register("Brian Otieno", "254711000102", "23456782"))
    cheptoo = factories.register("Cheptoo Kiplagat", "254711000103", "23456783")
    factories.live_loan(cheptoo)
    receipts.match_receipt(
        receipt_id=factories.pay("nobody", 30_000, "NOBODY").id, borrower_id=cheptoo.id, officer=None,
        reason="her slip", at=factories.NOON,
    )  # fmt: skip
    lost = factories.live_loan(factories.register("Daudi Mwangi", "254711000104", "23456784"))
    factories.pay(lost.reference, 2_000, "DAUDI1")
    later = factories.NOON + timedelta(days=1)
    factories.write_off(lost, at=later)
    factories.pay(lost.reference, 10_000, "DAUDI2", at=later + timedelta(hours=1))
    for kind, amount_cents in (("deposit", 20_000), ("withdrawal", 5_000)):
        savings.mirror_movement(
            borrower_id=cheptoo.id, kind=kind, amount_cents=amount_cents, reference=kind,
            moved_at=factories.NOON,
        )  # fmt: skip
    _two_deposits(cheptoo)


def _two_deposits(borrower: Borrower) -> None:
    pot = saving.pot(borrower, at=factories.NOON)
    for receipt_no in ("TAKEN", "NOTTAKEN"):
        factories.pay(deposits.paybill_account(pot, borrower), 20_000, receipt_no)
    savings_instructions.confirm_instruction(
        reference="deposit:daraja:TAKEN", amount_cents=20_000, partner_reference="UB1", moved_at=factories.NOON,
        value_on=factories.NOON.date(), at=factories.NOON,
    )  # fmt: skip
    savings_instructions.reject_instruction(reference="deposit:daraja:NOTTAKEN", at=factories.NOON)


def _payout_fails(borrower: Borrower) -> None:
    application = factories.apply(borrower, origin="ussd:fails:1")
    factories.decide(application)
    attempt = PaymentAttempt.objects.create(
        intent=PaymentIntent.objects.get(loan__application=application), number=1, provider="daraja",
        state="failed", created_at=factories.NOON,
    )  # fmt: skip
    loan_services.payout_failed(attempt_id=attempt.id, code="2001", text="refused", at=factories.NOON)


def _legs(posting: Posting) -> frozenset[accounting.Line]:
    return frozenset(
        accounting.Line(entry.account_id, entry.debit_cents, entry.credit_cents) for entry in posting.entries.all()
    )


def _amounts(statement: str, on: date) -> dict[str, int]:
    """Return the amounts of a statement by line, credits of a trial balance with a minus."""
    made = {
        "trial balance": lambda: books.trial_balance(on, "KES"),
        "balance sheet": lambda: books.balance_sheet(on, "KES"),
        "income statement of March": lambda: books.income_statement(date(2026, 3, 1), on, "KES"),
    }[statement]()
    return {
        row["name"]: row["amount_cents"] if "amount_cents" in row else row["debit_cents"] - row["credit_cents"]
        for row in made.rows()
    }


def _signed(cell: str) -> int:
    return -cents(cell.removeprefix("-")) if cell.startswith("-") else cents(cell)


# --- overpayments -------------------------------------------------------------------------------------------
@rows("overpayments.split")
def test_what_is_kept_is_split_between_wallet_books_and_customer(row: Row) -> None:
    told = [cents(row[column]) for column in ("To the wallet", "Closed", "Stays kept")]
    assert list(astuple(split(cents(row["Kept"]), 100, cents(row["Tolerance"])))) == told


def test_the_ways_back_leave_by_these_accounts() -> None:
    assert {row["Way"]: row["Leaves by"] for row in whole("overpayments.ways")} == {**refunds.FROM}


# --- savings ------------------------------------------------------------------------------------------------
def _savings_interest(row: Row) -> savings_rules.Interest:
    tiers = [
        {"from_cents": cents(start), "rate": str(share(f"{rate} %"))}
        for rate, start in re.findall(r"([\d.]+) % from ([\d,]*\d)", row["Tiers"])
    ]
    return savings_rules.Interest.model_validate(
        {
            "tiers": tiers,
            "tiers_apply_to": row["On"],
            "balance": row["Balance"],
            "credited": "monthly",
            "tax_rate": str(share(row["Tax rate"])),
        }
    )


def _savings_version(number: int, rate: Decimal) -> savings_change.Version:
    """Return the goal that ships with one rate and no tax, the next version from 11 January on."""
    stored = json.loads((REPOSITORY / "fixtures/savings/jirani-goal.json").read_text())["terms"]
    changed = {"tiers": [{"from_cents": 0, "rate": str(rate)}], "tax_rate": "0"}
    terms = savings_rules.read_terms(stored | {"interest": stored["interest"] | changed})
    return savings_change.Version(number, number, date(2025 + number, 1, 11), terms)


class TestSavings:
    @rows("savings.interest")
    def test_a_month_earns_what_the_formula_says(self, row: Row) -> None:
        interest = _savings_interest(row)
        moves = [
            savings_rules.Move(date(2026, 1, int(day)), cents(amount) if sign == "+" else -cents(amount))
            for day, sign, amount in re.findall(r"(\d+)\.: ([+-])([\d,]*\d)", row["January"])
        ]
        standing = savings_rules.Standing(0, 0, date(2025, 12, 31), date(2026, 1, 1))
        for move in moves:
            standing, _ = savings_rules.accrue(interest, standing, move.on - savings_rules.DAY)
            standing = savings_rules.replace(standing, balance_cents=standing.balance_cents + move.cents)
        _, [credit] = savings_rules.accrue(interest, standing, date(2026, 1, 31))
        assert (credit.gross_cents, credit.tax_cents) == (cents(row["Interest"]), cents(row["Tax"]))
        parts = savings_rules.earned_parts(interest, moves, date(2026, 1, 1), date(2026, 1, 31))
        assert parts // savings_rules.PARTS_PER_CENT == credit.gross_cents

    @rows("savings.change")
    def test_each_day_earns_by_the_version_of_that_day(self, row: Row) -> None:
        old, new = (_savings_version(number, share(row[name])) for number, name in enumerate(("Rate", "New rate")))
        locked_until = None if row["Locked until"] == "-" else date(2026, 1, int(row["Locked until"]))
        change = savings_change.next_change(old, [new], date(2026, 1, 1), locked_until)
        assert change is not None and change.on.day == int(row["Goes over on"])
        last = change.on - savings_rules.DAY
        standing = savings_rules.Standing(100_000, 0, date(2025, 12, 31), date(2026, 1, 1))
        standing, credits = savings_rules.accrue(old.terms.interest, standing, last, locked_until)
        is_locked = locked_until is not None and locked_until > last
        standing, credit = savings_change.end_terms(old.terms.interest, standing, is_locked)
        _, rest = savings_rules.accrue(new.terms.interest, standing, date(2026, 1, 31), locked_until)
        told = [f"{one.on.day}: {one.gross_cents / 100:.2f}" for one in (*credits, credit, *rest) if one]
        assert ", ".join(told) == row["Credited at the end of"]

    @rows("savings.suggested")
    def test_small_deposits_are_suggested(self, row: Row) -> None:
        inflow = cents(row["Inflow in a week"])
        goal = savings_rules.Goal.model_validate({"suggest_from": "0.01", "suggest_to": "0.02"})
        assert savings_rules.suggested_deposits(inflow, goal, 100) == (cents(row["Smaller"]), cents(row["Larger"]))

    @rows("savings.paybill")
    def test_an_account_to_type_names_savings_or_nothing(self, row: Row) -> None:
        kind, number = paybill_account.read(row["Typed"]) or ("nothing", "")
        assert f"{kind} {number}".strip() == row["Names"]

    @rows("savings.group")
    def test_members_decide(self, row: Row, law: None) -> None:
        members = [
            factories.register(f"Member {place}", f"25471100070{place}", f"4556700{place}")
            for place in range(int(row["Members"]))
        ]
        group = groups.form_group(
            name="Tumaini", members=members, approvals_needed=int(row["Must agree"]), product_code="jirani-group",
            at=saving.MORNING,
        )  # fmt: skip
        groups.contribute(
            group_id=group.id,
            borrower_id=members[0].id,
            amount_cents=10_000,
            reference="in",
            moved_at=saving.MORNING,
        )
        asked = groups.ask_withdrawal(
            group_id=group.id, asked_by=members[0].id, to=members[0].id, amount_cents=5_000, purpose="other",
            origin="o", at=saving.MORNING,
        )  # fmt: skip
        for member, said in zip(members, row["Said"].split(", "), strict=False):
            say = groups.approve if said == "yes" else groups.refuse
            asked = say(withdrawal_id=asked.id, borrower_id=member.id, at=saving.MORNING)
        assert asked.state == row["It is"]

    @rows("savings.floor")
    def test_what_can_be_taken_out_is_above_minimum_and_holds(self, row: Row) -> None:
        balance, minimum = cents(row["Balance"]), cents(row["Minimum"])
        floor = savings_rules.floor_after(0, balance, minimum)
        assert savings_rules.available_cents(balance, cents(row["Held"]), floor) == cents(row["Can be taken out"])

    @rows("savings.on_time")
    def test_deposits_on_time_are_counted(self, row: Row) -> None:
        stored = json.loads((REPOSITORY / "fixtures/savings/jirani-save.json").read_text())["terms"]
        rule = savings_rules.read_terms(stored).save_first
        assert rule is not None
        opened = date(2026, 1, 1)
        moves = [
            savings_rules.Move(opened + int(day) * savings_rules.DAY, 1_000)
            for day in row["Deposits on day"].split(", ")
        ]
        as_of = opened + int(row["Asked on day"]) * savings_rules.DAY
        on_time = savings_rules.deposits_on_time(rule, opened, moves, as_of)
        assert (on_time, on_time >= rule.deposits) == (int(row["On time"]), row["Can stand in"] == "yes")

    @rows("savings.share_out")
    def test_shares_are_the_pot(self, row: Row) -> None:
        paid = dict(enumerate(map(cents, row["Paid in"].split(" / "))))
        shares = savings_rules.share_out(cents(row["Pot"]), paid, 100)
        assert list(shares.values()) == [cents(share) for share in row["Shares"].split(" / ")]
        assert sum(shares.values()) == cents(row["Pot"])

    def test_the_file_of_the_page_is_read(self) -> None:
        page = (REPOSITORY / "docs/domain/savings.md").read_text()
        blocks = re.findall(r"```csv\n(.*?)```", page, flags=re.DOTALL)
        assert blocks[0].splitlines()[0] == settlement_file.write_asked([]).strip()
        assert [answer.outcome for answer in settlement_file.read_answers(blocks[1])] == ["confirmed", "rejected"]

    def test_the_terms_of_the_page_are_those_of_the_goal(self) -> None:
        page = (REPOSITORY / "docs/domain/savings.md").read_text()
        [told] = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
        stored = json.loads((REPOSITORY / "fixtures/savings/jirani-goal.json").read_text())["terms"]
        assert json.loads(told) == stored
        savings_rules.read_terms(stored)


# --- changes ------------------------------------------------------------------------------------------------
PAID_OUT_ON = date(2026, 3, 2)


def _falls_due(life: Life) -> str:
    """Return what is owed by date as the page writes it."""
    due_on = {item.number: item.due_on for item in life.installments}
    owed = sorted((due_on[number], number, due.total) for number, due in life.owed_of.items())
    return ", ".join(f"{on:%m-%d}: {money.show(left, 'KES').removeprefix('KES ')}" for on, _, left in owed)


class TestChanges:
    @rows("changes.examples")
    def test_a_change_does_what_the_line_says(self, row: Row) -> None:
        page = (REPOSITORY / "docs/domain/changes.md").read_text()
        [terms] = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
        agreed = Contract(read_terms(json.loads(terms)), 50_000)
        on, asked = date.fromisoformat(row["On"]), json.loads(row["Asked for"])
        facts = [Fact("paid out", "disburse", PAID_OUT_ON, amount_cents=50_000)]
        before = play(agreed, facts, on)
        facts.append(fact_of("change", row["Change"], on, asked))
        if row["Change"] == "settle":
            facts.append(Fact("change: paid", "pay", on, facts[-1].order, amount_cents=asked["amount_cents"]))
        after = play(agreed, facts, on)
        assert (before.owed.total, after.owed.total) == (cents(row["Owed before"]), cents(row["Owed after"]))
        assert (after.state, _falls_due(after) or "nothing") == (row["State after"], row["Falls due after"])
        assert f"{before.days_past_due} → {after.days_past_due}" == row["Days past due"]

    def test_every_change_has_an_example(self) -> None:
        told = {row["Change"] for row in TABLES["changes.examples"]}
        assert told | {"reverse"} == {*changes.TWO_PEOPLE, *changes.GRANTED}


@rows("replay.figures")
def test_a_bound_of_the_replay_is_the_one_in_the_code(row: Row) -> None:
    assert same(figure(row["Figure"]), value_at(row["In the code"]))


# --- campaigns ----------------------------------------------------------------------------------------------
@rows("campaigns.effects")
def test_a_difference_has_the_interval_of_its_source(row: Row) -> None:
    told, did, left, others = (int(row[name]) for name in ("Told", "of them did it", "Left in peace", "others"))
    found = campaigns.compare(did, told, others, left)
    assert f"{found.difference:.2f}" == row["Difference"]
    assert (f"{found.low:.4f}", f"{found.high:.4f}") == (row["From"], row["To"])


# --- standing, promises -------------------------------------------------------------------------------------
def _parts(cell: str) -> list[tuple[date, int]]:
    """Read "09-12: 265, 09-26: 265" of the year of the examples; "nothing" is none."""
    pairs = (one.split(": ") for one in cell.split(", ") if ":" in one)
    return [(date.fromisoformat(f"2026-{day}"), int(shillings) * 100) for day, shillings in pairs]


class TestStanding:
    @rows("standing.parts")
    def test_the_next_part_is_named_and_what_is_owed_in_all(self, row: Row) -> None:
        found = standing.standing(_parts(row["Unpaid"]), date.fromisoformat(f"2026-{row['On']}"))
        assert found is not None
        assert (found.next_cents, found.all_cents) == (cents(row["Next"]), cents(row["In all"]))
        assert (f"{found.next_on:%m-%d}", f"{found.last_on:%m-%d}") == (row["Since or on"], row["By"])

    def test_nothing_unpaid_is_no_standing(self) -> None:
        assert standing.standing([(date(2026, 9, 1), 0)], date(2026, 9, 1)) is None

    def test_paying_all_today_saves_what_the_table_says(self, law: None) -> None:
        term = {"installments": 12, "unit": "month"}
        lend(product({"kind": "level", "term": term, "interest": {"rate": "0.12"}}), 500_000, noon(2026, 3, 2))
        loan = loans.loan_to_repay(Loan.objects.get().identity_index)
        assert loan is not None
        for row in whole("standing.payoffs"):
            found = payoffs.pay_off(loan, date.fromisoformat(row["Paid all on"]))
            told = tuple(cents(row[column]) for column in ("Owed by the plan", "Settles today", "Saves"))
            assert (found.owed_cents, found.payable_cents, found.saved_cents) == told, row


class TestPromises:
    @rows("promises.taken")
    def test_a_promise_is_taken_or_refused_with_its_reason(self, row: Row) -> None:
        answer = promises.refusal(
            cents(row["Amount"]),
            date.fromisoformat(row["Until"]),
            on=date(2026, 9, 1),
            owed_cents=53_000,
            unit_cents=100,
            is_open=row["Another waits"] == "yes",
            broken=int(row["Broken so far"]),
        )
        assert (answer or "taken") == row["Answer"]

    @rows("promises.kept")
    def test_a_promise_is_kept_or_broken(self, row: Row) -> None:
        paid, owes = _parts(row["Came since"]), row["Owes still"] == "yes"
        kept = promises.is_kept(20_000, date(2026, 9, 4), paid, owes=owes)
        assert ("kept" if kept else "broken") == row["Word"]


# --- reminders ----------------------------------------------------------------------------------------------
class TestReminders:
    @rows("reminders.habits")
    def test_a_habit_says_when(self, row: Row) -> None:
        said = row["Paid at these hours"]
        hours = [] if said == "none" else list(map(int, said.split(", ")))
        contact_hours = LAWS["ke"].contact
        found = contact.best_time(hours, contact_hours.opens, contact_hours.closes)
        assert found.strftime("%H:%M") == row["Reminded at"]

    @rows("reminders.hours")
    def test_contact_hours_are_kept(self, row: Row) -> None:
        local = datetime.combine(date(2026, 3, 2), time.fromisoformat(row["Local time"]), tzinfo=NAIROBI)
        assert may_contact(LAWS["ke"], local) is (row["May be sent"] == "yes")

    def test_the_ladder_is_the_one_in_the_code(self) -> None:
        told = {int(row["Days from the due date"]): row["Step"] for row in whole("reminders.ladder")}
        assert told == reminders.LADDER

    @pytest.mark.parametrize(
        ("column", "on"), [("Reminder", noon(2026, 4, 10)), ("Formal notice", noon(2026, 4, 29))], ids=str
    )
    @rows("reminders.stops")
    def test_what_ends_a_reminder_ends_it_at_once(self, row: Row, column: str, on: datetime, law: None) -> None:
        loan, at = lend(product({}), 50_000, noon(2026, 3, 2)), on - timedelta(days=1)
        borrower_id, msisdn = loan.borrower_id, loan.borrower.msisdn

        def says_why(reason: str) -> None:
            lateness.tell_why(borrower_id=borrower_id, reason=reason, origin="a", at=at)

        def promises_to_pay() -> None:
            until = (on + timedelta(days=1)).date()
            make_promise(borrower_id=borrower_id, amount_cents=10_000, promised_on=until, origin="a", at=at)

        happens: dict[str, Callable[[], Any]] = {
            "nothing": lambda: None,
            "the part is paid": lambda: happen(loan, "pay", at, amount_cents=50_000),
            "a promise to pay waits for its day": promises_to_pay,
            "the loan is disputed": lambda: says_why("dispute"),
            "a complaint waits for its answer": lambda: complain(
                msisdn=msisdn, topic="price", language="en", at=at
            ),
            "a hardship was told": lambda: says_why("sick"),
            "STOP of reminders": lambda: preferences.stop(msisdn=msisdn, at=at, purposes=["reminders"]),
            "STOP of offers": lambda: preferences.stop(msisdn=msisdn, at=at, purposes=["offers"]),
            "the phone is said to be lost": lambda: holds.hold(loan.borrower, "phone", at),
            "the SIM was changed": lambda: holds.hold(loan.borrower, "sim", at),
            "the customer is said to have died": lambda: holds.hold(loan.borrower, "death", at),
            "the death is recorded": lambda: happen(loan, "death", at),
            "the loan is written off": lambda: happen(loan, "write_off", at),
        }
        happens[row["What"]]()
        notice = notices.NOTICES["repayment_reminder"]({"loan_id": loan.id, "due_on": "2026-04-01", "days": 0}, on)
        is_sent = notice is not None and notices._is_wanted(notice, on)
        assert ("sent" if is_sent else "not sent") == row[column]

    def test_a_closed_date_owes_the_next_days_reminders(self, aminas_loan: Loan) -> None:
        for row in whole("reminders.days"):
            on = date.fromisoformat(row["Date closed"])
            OutboxMessage.objects.filter(topic="repayment_reminder").delete()
            closing.close_business(on, calendar.start_of(on + timedelta(days=1), "Africa/Nairobi"))
            owed = [
                (f"{message.due_at.astimezone(NAIROBI):%Y-%m-%d %H:%M}", str(message.payload["days"]))
                for message in OutboxMessage.objects.filter(topic="repayment_reminder")
            ]
            told = (row["Reminder owed for (local time)"], row["Days from the due date"])
            assert owed == ([] if told[0] == "none" else [told]), row

    def test_each_part_is_reminded_of_and_the_oldest_first(self, law: None) -> None:
        term = {"installments": 4, "every": 1, "unit": "week"}
        weekly = product({"kind": "flat", "term": term, "interest": {"rate": "0.08", "per": "term"}})
        lend(weekly, 100_000, noon(2026, 3, 2))
        for row in whole("reminders.parts"):
            on = date.fromisoformat(row["Date closed"])
            OutboxMessage.objects.filter(topic="repayment_reminder").delete()
            closing.close_business(on, calendar.start_of(on + timedelta(days=1), "Africa/Nairobi"))
            owed = [one.payload for one in OutboxMessage.objects.filter(topic="repayment_reminder")]
            told = (row["About the part due on"], row["Days from its due date"])
            assert [(one["due_on"], str(one["days"])) for one in owed] == ([] if told[0] == "none" else [told]), row


# --- payments -----------------------------------------------------------------------------------------------
class TestPayments:
    def test_the_states_are_those_of_the_tables(self) -> None:
        assert [row["State"] for row in whole("payments.intents")] == PaymentIntent.State.values
        assert [row["State"] for row in whole("payments.attempts")] == PaymentAttempt.State.values


# --- decisions ----------------------------------------------------------------------------------------------
BASE: dict[str, Any] = {
    "asked": 50_000,
    "limit_cents": 100_000,
    "score": 0.08,
    "safer_cents": None,
    "repaid_share": None,
    "by_scorecard": False,
    "offer": {},
    "settled": 3.0,
    "inflow_cents": 1_000_000,
    "shares_wallet": True,
    "facts": {},
}


def changed(what: str) -> dict[str, Any]:
    """Return the example that a cell describes: the base case with what it says is different."""
    case = SimpleNamespace(**BASE | {"facts": {}})
    for part in what.split(", "):
        number, last = days(part) if part[0].isdigit() else 0, part.rsplit("KES ")[-1]
        match part.split():
            case ["nothing"]:
                pass
            case ["score", chance, "%"]:
                case.score = float(share(chance))
            case ["would", "approve", "KES", _]:
                case.safer_cents = cents(last)
            case ["no", "score"]:
                case.score = None
            case ["expects", "back", back, "%"]:
                case.repaid_share = float(share(back))
            case ["by", "the", "scorecard"]:
                case.by_scorecard = True
            case ["would", "rather", "save"]:
                case.offer = {"microloan": 0.2, "savings": 0.5, "neither": 0.3}
            case ["poor", "week", *_]:
                case.facts["weekly_inflow_cents"] = cents(last)
            case ["lot", drawn, "%"]:
                case.facts |= {"draw": float(share(drawn)), "pot_loans": 10, "pot_cents": 500_000} | case.facts
            case ["pot", "empty"]:
                case.facts["pot_loans"] = 0
            case ["no", "consent", "to", "scoring"]:
                case.facts["may_score"] = False
            case [_, "days", "late", *_]:
                case.facts["days_in_arrears"] = number
            case ["open", "loan"]:
                case.facts["has_open_loan"] = True
            case ["written", "off"]:
                case.facts["unpaid_write_off"] = True
            case [_, "days", "since", *_]:
                case.facts["days_since_default"] = number
            case ["asks", "for", *_]:
                case.asked = cents(last)
            case ["inflow", *_]:
                case.inflow_cents = cents(last)
            case ["limit", *_]:
                case.limit_cents = cents(last)
            case ["first", "loan"]:
                case.settled = 0.0
            case ["wallet", "not", "shared"]:
                case.shares_wallet = False
            case ["wallet", "not", "seen", "yet"]:
                case.inflow_cents = None
            case [_, "applications", "today"]:
                case.facts["applications_in_day"] = number
            case [_, "applications", "this", "week"]:
                case.facts["applications_in_week"] = number
            case [_, "payouts", "today"]:
                case.facts["payouts_in_day"] = number
            case ["owes", *_]:
                case.facts["owing_cents"] = cents(last.removesuffix(" elsewhere"))
            case [_, "registered", "alike"]:
                case.facts["registered_alike"] = number
            case ["climb", "explains", *_]:
                case.facts["explained_cents"] = cents(last)
            case ["identity", "in", "conflict"]:
                case.facts["identity_in_conflict"] = True
            case _:
                raise AssertionError(f"the test does not know how to change {part!r}")
    return vars(case)


# What the model tells the rules beside the chance of default.
TOLD = ("safer_cents", "repaid_share", "offer", "by_scorecard")


def asked(case: dict[str, Any]) -> policy.Asking:
    """Return an example as the rules see it."""
    quote = quoted(case["asked"])
    ladder = PRODUCT["ladder_cents"]
    facts = {
        "requested_cents": quote.principal_cents,
        "total_cents": quote.total_cents,
        "limit_cents": case["limit_cents"],
        "min_cents": AGREED["min_cents"],
        "first_rung_cents": ladder[0],
        "explained_cents": case["limit_cents"],
        "automatic_cents": ladder[len(ladder) - 1 - policy.IN_FORCE.top_rungs_referred],
        "max_share_of_inflow": KENYA["affordability"]["max_share_of_monthly_inflow"],
        "may_score": True,
        "shares_wallet": case["shares_wallet"],
        "monthly_inflow_cents": case["inflow_cents"],
        "prices": {str(quote.principal_cents): quote.fee_cents + quote.interest_cents},
        "term_days": (quote.due_on - SOME_DAY).days,
    }
    known = {
        "loans_settled": case["settled"],
        "principal_last_cents": 50_000.0,
        "repaid_max_cents": 50_000.0,
        "worst_days_late": 0.0,
    }
    return policy.Asking(
        known,
        case["score"],
        policy.Facts(**facts | case["facts"]),
        policy.IN_FORCE,
        **{name: case[name] for name in TOLD},
    )


class TestDecisions:
    def test_the_rules_stand_in_their_order(self) -> None:
        table = whole("decisions.rules")
        assert [row["Rule"] for row in table] == [rule.__name__ for rule in policy.RULES]
        assert [int(row["#"]) for row in table] == list(range(1, len(policy.RULES) + 1))

    @rows("decisions.examples")
    def test_an_example_is_answered_as_told(self, row: Row) -> None:
        asking = asked(changed(row["What is different"]))
        told = {name: getattr(asking, name) for name in TOLD}
        answer = policy.judge(asking.features, asking.score, asking.facts, **told)
        assert answer.outcome == row["Answer"]
        assert answer.limit_cents == cents(row["Limit"])
        assert [reason.code for reason in answer.reasons] == [code for code in [row["Reason"]] if code]
        assert answer.next_step == row["Next step"]

    def test_a_rule_gives_the_answer_of_the_table(self) -> None:
        """Each example is answered by the first rule that speaks; that rule's line names the same answer."""
        told = {row["Rule"]: row["Answer"] for row in whole("decisions.rules")}
        spoke = set()
        for row in TABLES["decisions.examples"]:
            asking = asked(changed(row["What is different"]))
            rule = next(rule for rule in policy.RULES if rule(asking) is not None)
            assert told[rule.__name__] == row["Answer"], row
            spoke.add(rule.__name__)
        assert spoke == told.keys()

    def test_the_reasons_are_the_sentences_of_the_phone(self) -> None:
        values = {"days": 9, "amount_cents": 50_000, "limit_cents": 1_600_000}
        said = {code: sentence(values, "KES") for code, sentence in words.REASONS.items()}
        assert {row["Code"]: row["Sentence"] for row in whole("decisions.reasons")} == said

    def test_the_next_steps_are_the_sentences_of_the_phone(self) -> None:
        said = {
            code: sentence({"limit_cents": 45_000, "amount_cents": 3_000}, "KES")
            for code, sentence in words.NEXT_STEPS.items()
        }
        assert {row["Code"]: row["Sentence"] for row in whole("decisions.steps")} == said

    @rows("decisions.profit")
    def test_a_loan_is_expected_to_earn_what_the_table_says(self, row: Row) -> None:
        amount, price, days_ = cents(row["Amount"]), cents(row["Price"]), int(row["Days"])
        chance, back = float(share(row["Chance of default"])), float(share(row["Expected back"]))
        facts = replace(asked(BASE).facts, prices={str(amount): price}, term_days=days_)
        assert policy.loss_share(chance, back, policy.IN_FORCE) == pytest.approx(float(share(row["LGD"])))
        lost = policy.expected_loss_rate(chance, back, policy.IN_FORCE) * amount
        earned = policy.expected_profit_cents(amount, chance, back, facts, policy.IN_FORCE)
        for told, found in (("Expected loss", lost), ("Expected profit", earned)):
            assert Decimal(row[told].removeprefix("KES ")) * 100 == round(found), told

    def test_the_scorecard_is_that_of_the_table(self) -> None:
        said = {
            fact.name: (str(fact.missing), ", ".join(f"{start:g}: {points}" for start, points in fact.bands))
            for fact in scorecard.CARD
        }
        assert {row["Fact"]: (row["Missing"], row["Points"]) for row in whole("decisions.scorecard")} == said

    @rows("decisions.savings")
    def test_a_poor_week_carries_the_saving_of_the_table(self, row: Row) -> None:
        seen = row["Comes in in a poor week"]
        inflow = None if seen == "nothing seen" else cents(seen)
        asking = replace(asked(BASE), facts=replace(asked(BASE).facts, weekly_inflow_cents=inflow))
        target = row["Weekly saving"]
        assert asking.weekly_target_cents == (None if target == "none" else cents(target))

    def test_every_code_of_the_examples_has_a_sentence(self) -> None:
        for row in TABLES["decisions.examples"]:
            assert not row["Reason"] or row["Reason"] in words.REASONS, row
            assert not row["Next step"] or row["Next step"] in words.NEXT_STEPS, row

    def test_the_features_are_those_of_the_model(self) -> None:
        columns = ("Feature", "Unit", "Missing when", "Made of")
        told = [tuple(row[column] for column in columns) for row in whole("decisions.features")]
        assert told == [(one.name, one.unit, one.missing, one.source) for one in features.FEATURES]

    def test_the_events_are_those_of_the_model(self) -> None:
        told = [
            (row["Event"], row["Made of"], row["The chance of default it"]) for row in whole("decisions.events")
        ]
        never_raises = {-1: "never raises", 0: ""}
        assert told == [(kind.name, kind.source, never_raises[kind.promise]) for kind in events.KINDS]

    def test_the_promises_are_those_that_the_network_keeps(self) -> None:
        told = {row["More of"]: row["The chance of default it"] for row in whole("decisions.promises")}
        never_raises = dict.fromkeys(features.MORE_NEVER_HURTS, "never raises")
        assert told == never_raises | dict.fromkeys(features.MORE_NEVER_HELPS, "never lowers")

    def test_the_deeds_are_those_of_a_plan(self) -> None:
        deeds = [field.name for field in fields(Plan)]
        assert sorted(row["Deed"] for row in whole("decisions.deeds")) == sorted(deeds)

    def test_their_number_is_told(self) -> None:
        page = (REPOSITORY / "docs" / "domain" / "decisions.md").read_text()
        assert f"\n{len(features.FEATURES)} numbers, as they stood" in page
