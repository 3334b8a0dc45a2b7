"""The worked examples of docs/domain, run against the rules that they explain."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lending import closing
from lending.models import Borrower, Loan, OutboxMessage, PaymentAttempt, PaymentIntent
from lending.rules import accounting, arrears, calendar, caps, identity, limits, money, pricing
from lending.rules.allocation import KINDS, Due, allocate, total_of
from lending.rules.country import Country, Section, may_contact
from lending.selectors import portfolio
from lending.selectors.products import price_of
from lending.services.receipts import borrower_of_account
from ml import features
from scoring import policy
from tests import factories
from tests.docs.tables import REPOSITORY, Row, cents, checked_tables, days, figure, same, share, value_at
from tests.lending.rules.packs import LAWS
from ussd import words

# Those of the other pages have a test file of their own.
TABLES = {
    name: rows
    for name, rows in checked_tables().items()
    if name.split(".")[0] not in ("operations", "architecture")
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
    "accounting.legs",
    "arrears.classes",
    "arrears.closing",
    "arrears.par",
    "decisions.features",
    "decisions.reasons",
    "decisions.rules",
    "decisions.steps",
    "law.sections",
    "limits.ladder",
    "payments.attempts",
    "payments.intents",
    "reminders.days",
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


def terms(fee_rate: str = PRODUCT["fee_rate"], tax_rate: str = PRODUCT["fee_tax_rate"]) -> pricing.Terms:
    """Return the product's terms, or those with other rates."""
    return pricing.Terms(
        currency=PRODUCT["currency"],
        term_days=PRODUCT["term_days"],
        fee_rate=Decimal(fee_rate),
        fee_tax_rate=Decimal(tax_rate),
        min_cents=PRODUCT["min_cents"],
        max_cents=PRODUCT["max_cents"],
    )


# --- pricing ------------------------------------------------------------------------------------------------
class TestPricing:
    @rows("pricing.quotes")
    def test_a_quote_is_what_the_calculator_says(self, row: Row) -> None:
        quote = pricing.quote(terms(), cents(row["You get"]))
        assert quote.fee_cents == cents(row["Fee"])
        assert quote.tax_cents == cents(row["Tax"])
        assert quote.total_cents == cents(row["You repay"])
        assert quote.apr == share(row["APR"])
        cost = quote.fee_cents + quote.tax_cents
        assert pricing.effective_apr(cost, quote.principal_cents, quote.term_days) == share(row["Effective"])

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
        assert pricing.quote(terms(), 50_000).due_on(day).isoformat() == row["Due on"]

    @rows("pricing.caps")
    def test_a_cap_refuses_what_is_too_dear(self, row: Row) -> None:
        quote = pricing.quote(terms(str(share(row["Fee"])), str(share(row["Tax on the fee"]))), cents(row["Loan"]))
        assert share(row["Cost"]) == Decimal(quote.fee_cents + quote.tax_cents) / quote.principal_cents
        if row["Answer"] == "lent":
            caps.enforce_price(price_of(quote), LAWS["ke"])
        else:
            with pytest.raises(caps.AgainstLaw, match="max_total_cost_rate"):
                caps.enforce_price(price_of(quote), LAWS["ke"])

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
        [covered], over = allocate(cents(row["Paid"]), [OWED], PRODUCT["allocation_order"])
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
    """Return a live loan as the close of business leaves it when it is so late."""
    digits = f"{principal_cents // 100:04d}"
    borrower = factories.register(f"{name} Example", f"25471100{digits}", f"3456{digits}")
    loan = factories.live_loan(borrower, principal_cents)
    Loan.objects.filter(id=loan.id).update(days_past_due=days_late)
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
        outstanding = portfolio.principal_outstanding_cents(Loan.objects.all())
        for row in table:
            late = Loan.objects.filter(portfolio.late_loans(int(row["More than n days late"])))
            assert {column: row[column] == "yes" for column in loans} == {
                column: loan in late for column, loan in loans.items()
            }
            assert Decimal(portfolio.principal_outstanding_cents(late)) / outstanding == share(row["PAR-n"])
        assert portfolio.figures(factories.NOON.date()).par0 == float(share(table[0]["PAR-n"]))
        assert portfolio.figures(factories.NOON.date()).par30 == float(share(table[2]["PAR-n"]))

    def test_a_closed_date_ages_the_loan(self, aminas_loan: Loan) -> None:
        for row in whole("arrears.closing"):
            on = date.fromisoformat(row["Date closed"])
            assert closing.close_business(on, calendar.start_of(on + timedelta(days=1), "Africa/Nairobi"))
            aminas_loan.refresh_from_db()
            assert aminas_loan.days_past_due == int(row["Days past due"])
            assert aminas_loan.worst_days_past_due == int(row["Worst so far"])


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


# --- PINs ---------------------------------------------------------------------------------------------------
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
    "partner reports savings of KES 200": accounting.savings_deposit(20_000),
    "partner reports a withdrawal of KES 50": accounting.savings_withdrawal(5_000),
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


# --- reminders ----------------------------------------------------------------------------------------------
class TestReminders:
    @rows("reminders.hours")
    def test_contact_hours_are_kept(self, row: Row) -> None:
        local = datetime.combine(date(2026, 3, 2), time.fromisoformat(row["Local time"]), tzinfo=NAIROBI)
        assert may_contact(LAWS["ke"], local) is (row["May be sent"] == "yes")

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


def asked(case: dict[str, Any]) -> policy.Asking:
    """Return an example as the rules see it."""
    quote = pricing.quote(terms(), case["asked"])
    ladder = PRODUCT["ladder_cents"]
    facts = {
        "requested_cents": quote.principal_cents,
        "total_cents": quote.total_cents,
        "limit_cents": case["limit_cents"],
        "min_cents": PRODUCT["min_cents"],
        "first_rung_cents": ladder[0],
        "explained_cents": case["limit_cents"],
        "automatic_cents": ladder[len(ladder) - 1 - policy.IN_FORCE.top_rungs_referred],
        "max_share_of_inflow": KENYA["affordability"]["max_share_of_monthly_inflow"],
        "may_score": True,
        "shares_wallet": case["shares_wallet"],
        "monthly_inflow_cents": case["inflow_cents"],
    }
    known = {
        "loans_settled": case["settled"],
        "principal_last_cents": 50_000.0,
    }
    return policy.Asking(
        known,
        case["score"],
        policy.Facts(**facts | case["facts"]),
        policy.IN_FORCE,
        safer_cents=case["safer_cents"],
    )


class TestDecisions:
    def test_the_rules_stand_in_their_order(self) -> None:
        table = whole("decisions.rules")
        assert [row["Rule"] for row in table] == [rule.__name__ for rule in policy.RULES]
        assert [int(row["#"]) for row in table] == list(range(1, len(policy.RULES) + 1))

    @rows("decisions.examples")
    def test_an_example_is_answered_as_told(self, row: Row) -> None:
        asking = asked(changed(row["What is different"]))
        answer = policy.judge(asking.features, asking.score, asking.facts, safer_cents=asking.safer_cents)
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
        said = {code: sentence({"limit_cents": 45_000}, "KES") for code, sentence in words.NEXT_STEPS.items()}
        assert {row["Code"]: row["Sentence"] for row in whole("decisions.steps")} == said

    def test_every_code_of_the_examples_has_a_sentence(self) -> None:
        for row in TABLES["decisions.examples"]:
            assert not row["Reason"] or row["Reason"] in words.REASONS, row
            assert not row["Next step"] or row["Next step"] in words.NEXT_STEPS, row

    def test_the_features_are_those_of_the_model(self) -> None:
        told = [(row["Feature"], row["Unit"], row["Missing when"]) for row in whole("decisions.features")]
        assert told == [(feature.name, feature.unit, feature.missing) for feature in features.FEATURES]
