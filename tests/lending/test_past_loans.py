"""Past loans as scenarios: under their own terms they are what they were, under others what would have come."""

import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lending.models import Loan, Posting
from lending.rules import whatif
from lending.rules.terms import TermsRefused
from lending.selectors import contracts, past_loans
from tests.lending.lending import FEE_FREE, happen, lend, noon, product
from tests.lending.test_import_history import AMINA, bring_in, lent, paid, write

pytestmark = pytest.mark.django_db
START = noon(2026, 3, 2)
DAY = timedelta(days=1)
SINCE, UNTIL = date(2026, 3, 1), date(2026, 6, 30)
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "unit": "week"},
    "interest": {"rate": "0.02", "per": "period"},
    "penalties": [
        {"name": "late", "rate": "0.03", "of": "overdue_installment", "grace_days": 2, "cap_cents": 5_000}
    ],
    "skips": 1,
}


@pytest.fixture
def loans() -> list[Loan]:
    """Return one that was paid back late, one that is owed, and one whose payment was taken back."""
    version = product(WEEKLY, "weekly")
    paid, owed, undone = (lend(version, 100_000, START) for _ in range(3))
    happen(paid, "pay", START + 12 * DAY, amount_cents=60_000)
    rest = contracts.payoff(contracts.with_contract().get(id=paid.id), (START + 40 * DAY).date())
    happen(paid, "pay", START + 40 * DAY, amount_cents=rest.total)
    happen(owed, "skip", START + DAY)
    happen(owed, "pay", START + 5 * DAY, amount_cents=20_000)
    happen(undone, "pay", START + 2 * DAY, amount_cents=30_000)
    from lending.services import life

    life.record(
        Loan.objects.get(id=undone.id), key=f"undo:{undone.id}", kind="reverse", happened_at=START + 3 * DAY,
        at=START + 3 * DAY, undoes=undone.events.get(kind="pay"),
    )  # fmt: skip
    return [Loan.objects.get(id=loan.id) for loan in (paid, owed, undone)]


def scenarios(terms: dict[str, Any] | None = None, until: date = UNTIL) -> list[dict[str, Any]]:
    return [past_loans.scenario_of(loan, until, terms) for loan in past_loans.paid_out(SINCE, until, "weekly")]


def run(*arguments: str) -> tuple[Any, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("past_loans", "--since", "2026-03-01", *arguments, stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


def booked(loan: Loan) -> dict[str, int]:
    """Return debit less credit of each account that a loan moved in the books."""
    sums: dict[str, int] = {}
    for posting in Posting.objects.filter(loan=loan).prefetch_related("entries__account"):
        for entry in posting.entries.all():
            name = entry.account.code
            sums[name] = sums.get(name, 0) + entry.debit_cents - entry.credit_cents
    return {name: cents for name, cents in sums.items() if cents}


class TestUnderTheirOwnTerms:
    def test_they_are_what_they_were(self, loans: list[Loan]) -> None:
        played = whatif.run({"scenarios": scenarios(until=START.date() + 41 * DAY)})["scenarios"]
        assert [one["state"] for one in played] == ["settled", "live", "live"]
        assert played[0]["worst_days_past_due"] == loans[0].worst_days_past_due > 0

    def test_their_postings_are_those_of_the_books(self, loans: list[Loan]) -> None:
        assert whatif.run(scenarios()[0])["balances"] == booked(loans[0])

    def test_those_of_a_loan_that_was_brought_in_are_too(self, law: None, tmp_path: Path) -> None:
        bring_in(write(tmp_path, [AMINA], [lent("L1", "B1")], [paid("R1", "L1", "530")]))
        (loan,) = past_loans.paid_out(date(2025, 3, 1), date(2025, 3, 31))
        played = whatif.run(past_loans.scenario_of(loan, UNTIL))
        assert played["balances"] == booked(loan)
        assert played["balances"]["history_brought_in"] == 3_000

    def test_nothing_of_a_person_is_in_them(self, loans: list[Loan]) -> None:
        written = json.dumps(scenarios())
        for loan in loans:
            assert loan.borrower.msisdn not in written
            assert loan.borrower.full_name not in written
        assert "receipt" not in written

    def test_a_payment_that_was_taken_back_is_named_by_its_place(self, loans: list[Loan]) -> None:
        undone = scenarios()[2]["events"]
        assert [(event["event"], event.get("key"), event.get("of")) for event in undone] == [
            ("disburse", None, None),
            ("pay", "event 2", None),
            ("reverse", None, "event 2"),
            ("day_end", None, None),
        ]


class TestUnderOtherTerms:
    DEARER = FEE_FREE | WEEKLY | {"interest": {"rate": "0.0225", "per": "period"}, "penalties": []}

    def test_who_paid_all_pays_all_of_the_other_loan(self, loans: list[Loan]) -> None:
        played = whatif.run({"scenarios": scenarios(self.DEARER)})["scenarios"]
        assert (played[0]["state"], played[0]["paid_cents"]) == ("settled", 109_000)
        assert played[1]["outstanding_cents"] == 109_000 - 20_000

    def test_who_was_paid_off_by_a_new_loan_pays_all_of_the_other_loan(self, law: None) -> None:
        loan = lend(product(WEEKLY, "weekly"), 100_000, START)
        happen(loan, "pay", START + 12 * DAY, amount_cents=60_000)
        happen(loan, "settle", START + 40 * DAY, amount_cents=55_000, account="refinancing")
        [scenario] = scenarios(self.DEARER)
        assert scenario["events"][2] == {
            "event": "pay", "on": "2026-04-11", "amount_cents": 49_000, "account": "refinancing",
        }  # fmt: skip
        played = whatif.run(scenario)
        assert (played["state"], played["paid_cents"]) == ("settled", 109_000)

    @pytest.mark.parametrize("in_advance", [True, False])
    def test_who_was_let_go_for_less_pays_what_was_agreed(self, law: None, in_advance: bool) -> None:
        loan = lend(product(WEEKLY, "weekly"), 100_000, START)
        happen(loan, "pay", START + 12 * DAY, amount_cents=60_000)
        if in_advance:
            until = (START + 45 * DAY).date().isoformat()
            happen(loan, "settle", START + 35 * DAY, amount_cents=20_000, due_on=until)
        happen(loan, "pay" if in_advance else "settle", START + 40 * DAY, amount_cents=20_000)
        assert Loan.objects.get(id=loan.id).state == "settled"
        played = whatif.run(scenarios(self.DEARER)[0])
        assert (played["state"], played["paid_cents"]) == ("settled", 80_000)

    def test_who_paid_all_after_an_agreement_had_lapsed_pays_all_of_the_other_loan(self, law: None) -> None:
        loan = lend(product(WEEKLY | {"penalties": []}, "weekly"), 100_000, START)
        until = (START + 35 * DAY).date().isoformat()
        happen(loan, "settle", START + 30 * DAY, amount_cents=20_000, due_on=until)
        happen(loan, "pay", START + 40 * DAY, amount_cents=108_000)
        played = whatif.run(scenarios(self.DEARER)[0])
        assert (played["state"], played["paid_cents"]) == ("settled", 109_000)

    def test_a_loan_that_they_do_not_allow_is_left_out_with_the_reason(self, loans: list[Loan]) -> None:
        with pytest.raises(past_loans.LeftOut, match="principal_cents must be from 1 to 50000"):
            scenarios(self.DEARER | {"max_cents": 50_000})
        with pytest.raises(past_loans.LeftOut, match="skip"):
            scenarios(self.DEARER | {"skips": 0})
        with pytest.raises(past_loans.LeftOut, match="max_total_cost_rate allows"):
            scenarios(self.DEARER | {"interest": {"rate": "0.03", "per": "period"}})

    def test_terms_that_cannot_be_read_are_refused_with_their_path(self) -> None:
        with pytest.raises(TermsRefused, match=r"terms\.kind"):
            past_loans.terms_from({"terms": FEE_FREE | {"kind": "balloon"}})


class TestTheCommand:
    def test_what_it_writes_is_what_whatif_reads(self, loans: list[Loan]) -> None:
        written, told = run("--until", "2026-06-30", "--product", "weekly")
        found = whatif.together(written)["KES"]
        assert found["loans"] == 3
        assert found["states"] == {"settled": 1, "live": 2}
        assert found["principal_cents"] == 300_000
        assert found["late"] == {"1": 3, "7": 3, "30": 2, "60": 2, "90": 2}
        assert sum(found["balances"].values()) == 0
        assert told == "3 loans paid out from 2026-03-01 to 2026-06-30, 0 left out\n"

    def test_it_names_what_it_leaves_out(self, loans: list[Loan], tmp_path: Path) -> None:
        other = tmp_path / "next.json"
        other.write_text(json.dumps({"code": "weekly", "terms": TestUnderOtherTerms.DEARER | {"skips": 0}}))
        written, told = run("--until", "2026-06-30", "--product", "weekly", "--terms", str(other))
        assert [one["name"] for one in written["scenarios"]] == [loans[0].reference, loans[2].reference]
        assert told.startswith(f"{loans[1].reference} left out: ")
        assert "2 loans paid out" in told and "1 left out" in told

    def test_only_the_days_asked_for_are_in_it(self, loans: list[Loan]) -> None:
        written, _ = run("--until", "2026-03-01")
        assert written == {"scenarios": []}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--since", "2026-07-01", "--until", "2026-06-30"], "--since must be 2026-06-30 or before"),
            (["--since", "yesterday"], "needs a date like 2026-03-31, got 'yesterday'"),
            (["--terms", "/nowhere/next.json"], "--terms next.json: "),
        ],
    )
    def test_what_is_wrong_is_said(self, arguments: list[str], said: str) -> None:
        with pytest.raises(CommandError, match=said):
            call_command("past_loans", *arguments, stdout=io.StringIO())
