"""A lender moves in: Amina borrowed and paid there, Brian still owes, Cheptoo's rows do not add up."""

import csv
import io
import resource
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lending import closing
from lending.ledger import balance_cents
from lending.models import (
    Application,
    AuditEvent,
    Borrower,
    Consent,
    Entry,
    Loan,
    LoanEvent,
    OutboxMessage,
    PaymentIntent,
    Posting,
    Receipt,
    Repayment,
)
from lending.services import people, periods
from tests import factories
from tests.lending import lending

AMINA = {
    "borrower_id": "B1",
    "phone": "+254711000101",
    "name": "Amina Wanjiru",
    "national_id": "23456781",
    "registered_at": "2025-01-10",
    "language": "sw",
    "consents": "service scoring",
    "consented_at": "2025-01-10",
}
BRIAN = {
    "borrower_id": "B2",
    "phone": "254711000102",
    "name": "Brian Otieno",
    "national_id": "23456782",
    "registered_at": "2025-02-01",
}
CHEPTOO = {
    "borrower_id": "B3",
    "phone": "254711000103",
    "name": "Cheptoo Kirui",
    "national_id": "23456783",
    "registered_at": "2025-02-01",
}


def lent(loan_id: str, borrower_id: str, **changes: Any) -> dict[str, Any]:
    """Return a row of KES 500 that were lent on 3 March 2025 for 30 days."""
    return {
        "loan_id": loan_id,
        "borrower_id": borrower_id,
        "principal": "500",
        "disbursed_at": "2025-03-03T10:00",
        "product": "jirani-30",
        "product_version": "1",
    } | changes


def paid(repayment_id: str, loan_id: str, amount: str, paid_at: str = "2025-03-20") -> dict[str, Any]:
    return {"repayment_id": repayment_id, "loan_id": loan_id, "amount": amount, "paid_at": paid_at}


Rows = list[dict[str, Any]]


def write(directory: Path, borrowers: Rows, loans: Rows, repayments: Rows) -> Path:
    """Write the three files as CSV."""
    empty = {"borrowers": AMINA, "loans": lent("", ""), "repayments": paid("", "", "")}
    for name, rows in (("borrowers", borrowers), ("loans", loans), ("repayments", repayments)):
        columns = list(dict.fromkeys(column for row in [empty[name], *rows] for column in row))
        with (directory / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
    return directory


def bring_in(directory: Path, *options: str) -> str:
    """Run the command; return what it says, and at the end how it failed, if it did."""
    told = io.StringIO()
    try:
        call_command("import_history", str(directory), *options, stdout=told)
    except CommandError as error:
        return f"{told.getvalue()}failed: {error}"
    return told.getvalue()


STORED = (Borrower, Loan, LoanEvent, Posting, Entry, AuditEvent, Consent)


def counted() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in STORED}


@pytest.fixture
def moved_in(law: None, tmp_path: Path) -> Path:
    """Amina paid back in time, Brian paid a part of it."""
    return write(
        tmp_path,
        [AMINA, BRIAN],
        [
            lent("L1", "B1", closing_balance="0", closing_state="settled"),
            lent("L2", "B2", closing_balance="430", closing_state="live"),
        ],
        [paid("R1", "L1", "530"), paid("R2", "L2", "100")],
    )


class TestBringingIn:
    def test_loans_stand_as_they_stood_there(self, moved_in: Path, books_balance: Callable[[], None]) -> None:
        assert bring_in(moved_in) == "borrowers: 2 brought in, 0 unchanged, 0 held back; 0 problems\n"
        aminas, brians = Loan.objects.order_by("origin")
        assert (aminas.state, aminas.outstanding_cents, aminas.total_cents) == ("settled", 0, 53_000)
        assert aminas.settled_at == datetime(2025, 3, 20, 20, 59, 59, 999999, UTC)
        assert (brians.state, brians.outstanding_cents) == ("live", 43_000)
        assert brians.due_on == date(2025, 4, 2)
        assert brians.worst_days_past_due == brians.days_past_due > 300
        books_balance()

    def test_no_application_payout_receipt_or_message_of_ours_is_made_up(self, moved_in: Path) -> None:
        bring_in(moved_in)
        for model in (Application, PaymentIntent, Receipt, Repayment, OutboxMessage):
            assert not model._default_manager.exists(), model
        touched = set(Entry.objects.values_list("account_id", flat=True))
        assert not touched & {"mpesa_payout", "mpesa_paybill", "payouts_reserved", "payouts_promised"}

    def test_its_money_is_booked_on_its_days_against_history(self, moved_in: Path) -> None:
        bring_in(moved_in)
        dates = Posting.objects.values_list("kind", "business_date").distinct()
        assert set(dates) == {("disbursement", date(2025, 3, 3)), ("repayment", date(2025, 3, 20))}
        assert balance_cents("history_brought_in", "KES") == -100_000 + 63_000
        assert balance_cents("principal_receivable", "KES") == 43_000

    def test_what_is_in_a_closed_period_is_booked_on_the_first_open_day(
        self, moved_in: Path, django_user_model: Any, books_balance: Callable[[], None]
    ) -> None:
        told = datetime(2025, 3, 11, 6, tzinfo=UTC)
        closing.close_business(date(2025, 3, 10), told)
        maker, checker = (django_user_model.objects.create_user(name) for name in ("wambui", "njeri"))
        periods.close_period(last_on=date(2025, 3, 10), maker=maker, checker=checker, at=told)
        bring_in(moved_in)
        days = set(Posting.objects.filter(kind="disbursement").values_list("business_date", flat=True))
        assert days == {date(2025, 3, 11)}
        assert Loan.objects.get(origin="history:L2").due_on == date(2025, 4, 2)
        books_balance()

    def test_amina_proves_who_she_is_and_chooses_a_pin(self, moved_in: Path) -> None:
        bring_in(moved_in)
        amina = Borrower.objects.get(msisdn="254711000101")
        assert (amina.pin_hash, amina.full_name, amina.language, amina.rung) == ("", "Amina Wanjiru", "sw", 1)
        assert amina.national_id == "23456781"
        with pytest.raises(people.WrongPin):
            people.check_pin(borrower_id=amina.id, pin="2580", at=factories.NOON)
        people.choose_pin_after_reset(
            borrower_id=amina.id, national_id="23456781", new_pin="2580", at=factories.NOON
        )
        people.check_pin(borrower_id=amina.id, pin="2580", at=factories.NOON)
        assert set(Consent.objects.values_list("borrower", "purpose")) == {
            (amina.id, "service"),
            (amina.id, "scoring"),
        }

    def test_brian_pays_the_rest_here(self, moved_in: Path, books_balance: Callable[[], None]) -> None:
        bring_in(moved_in)
        loan = Loan.objects.get(origin="history:L2")
        factories.pay(loan.reference, 43_000, at=datetime.now(UTC))
        loan.refresh_from_db()
        assert loan.state == "settled"
        books_balance()

    def test_a_loan_written_off_there_is_written_off_here(
        self, law: None, tmp_path: Path, books_balance: Callable[[], None]
    ) -> None:
        loan = lent("L2", "B2", written_off_at="2025-09-30", closing_state="written_off", closing_balance="0")
        bring_in(write(tmp_path, [BRIAN], [loan], [paid("R2", "L2", "100")]))
        stored = Loan.objects.get()
        assert (stored.state, stored.written_off_cents, stored.outstanding_cents) == ("written_off", 43_000, 0)
        books_balance()

    def test_money_beyond_what_was_owed_is_a_difference_and_kept_only_if_asked_for(
        self, law: None, tmp_path: Path, books_balance: Callable[[], None]
    ) -> None:
        write(tmp_path, [AMINA], [lent("L1", "B1")], [paid("R1", "L1", "600")])
        assert "loans:2: principal must be repaid without the 70.00 that are more" in bring_in(tmp_path)
        assert not Loan.objects.exists()
        bring_in(tmp_path, "--keep-differences")
        assert balance_cents("customer_overpayments", "KES") == -7_000
        books_balance()

    def test_terms_in_the_row_find_their_product(self, law: None, tmp_path: Path) -> None:
        terms = {"currency": "kes", "installments": "1", "every": "30", "unit": "day"}
        price = {"fee": "25", "tax": "5", "interest": "0"}
        loan = lent("L1", "B1", product="", product_version="") | terms | price
        bring_in(write(tmp_path, [AMINA], [loan], []))
        assert Loan.objects.get().product_version.code == "jirani-30"

    def test_parquet_is_read_like_csv(self, law: None, tmp_path: Path, books_balance: Callable[[], None]) -> None:
        moment = datetime(2025, 3, 3, 7, tzinfo=UTC)
        loan = lent("L1", "B1", principal=Decimal("500.00"), disbursed_at=moment, product_version=1)
        repayment = paid("R1", "L1", "") | {"amount": 530.0, "paid_at": date(2025, 3, 20)}
        for name, row in (("borrowers", AMINA), ("loans", loan), ("repayments", repayment)):
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
        bring_in(tmp_path)
        assert Loan.objects.get().state == "settled"
        assert LoanEvent.objects.get(kind="disburse").happened_at == moment
        books_balance()


class TestBringingInAgain:
    def test_changes_nothing(self, moved_in: Path, books_balance: Callable[[], None]) -> None:
        bring_in(moved_in)
        before = counted()
        assert bring_in(moved_in) == "borrowers: 0 brought in, 2 unchanged, 0 held back; 0 problems\n"
        assert counted() == before
        books_balance()

    def test_adds_what_was_paid_there_since(self, moved_in: Path, books_balance: Callable[[], None]) -> None:
        bring_in(moved_in)
        since = [paid("R1", "L1", "530"), paid("R2", "L2", "100"), paid("R3", "L2", "430", "2025-03-31")]
        write(moved_in, [AMINA, BRIAN], [lent("L1", "B1"), lent("L2", "B2")], since)
        assert "1 brought in, 1 unchanged" in bring_in(moved_in)
        brians = Loan.objects.get(origin="history:L2")
        assert (brians.state, brians.worst_days_past_due) == ("settled", 0)
        books_balance()

    def test_refuses_what_contradicts_the_first_time(self, moved_in: Path) -> None:
        bring_in(moved_in)
        before = counted()
        write(moved_in, [AMINA], [lent("L1", "B1")], [paid("R1", "L1", "500")])
        assert "repayments:2: amount must be what was brought in before" in bring_in(moved_in)
        assert counted() == before


def refused(row: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return dict(row) | changes


# Each: what is wrong with Cheptoo's rows, and the line that says so. Amina's rows are in line 2.
REFUSALS: dict[str, tuple[Rows, Rows, Rows, str]] = {
    "no number": ([refused(CHEPTOO, phone="")], [], [], "borrowers:3: phone must be given"),
    "a number without country code": (
        [refused(CHEPTOO, phone="0711000103")],
        [],
        [],
        "borrowers:3: phone must be a number with its country code, such as 254700000000",
    ),
    "an ID of another form": (
        [refused(CHEPTOO, national_id="ABC")],
        [],
        [],
        "borrowers:3: national_id must be of the form [0-9]{6,9}",
    ),
    "Amina's ID": (
        [refused(CHEPTOO, national_id="2345-6781")],
        [],
        [],
        "borrowers:3: national_id must be there once, and is in line 2 already",
    ),
    "consent on no day": (
        [refused(CHEPTOO, consents="scoring")],
        [],
        [],
        "borrowers:3: consented_at must be given with consents",
    ),
    "an unknown product": (
        [CHEPTOO],
        [lent("L3", "B3", product="boda-7")],
        [],
        "loans:3: product must be a product version of ours, got 'boda-7 version 1'",
    ),
    "a product without its version": (
        [CHEPTOO],
        [lent("L3", "B3", product_version="")],
        [],
        "loans:3: product_version must be given with product, and only with it",
    ),
    "no principal": (
        [CHEPTOO],
        [lent("L3", "B3", principal="0")],
        [],
        "loans:3: principal must be an amount above 0, got '0'",
    ),
    "a negative principal": (
        [CHEPTOO],
        [lent("L3", "B3", principal="-500")],
        [],
        "loans:3: principal must be an amount in plain digits with at most two decimals, such as 500 or 500.50,"
        " got '-500'",
    ),
    "a principal beyond all bounds": (
        [CHEPTOO],
        [lent("L3", "B3", principal="90071992547409.93")],
        [],
        "loans:3: principal must be an amount from 0 to 100000000000, got '90071992547409.93'",
    ),
    "a principal beyond the product": (
        [CHEPTOO],
        [lent("L3", "B3", principal="100")],
        [],
        "loans:3: principal must be an amount of the product: must be from 20000 to 5000000 cents, got '10000'",
    ),
    "another fee than ours": (
        [CHEPTOO],
        [lent("L3", "B3", fee="30")],
        [],
        "loans:3: fee must be the 25.00 of our calculator, got '30.00'",
    ),
    "another currency": (
        [CHEPTOO],
        [lent("L3", "B3", currency="UGX")],
        [],
        "loans:3: currency must be KES, got 'UGX'",
    ),
    "29 February of no leap year": (
        [CHEPTOO],
        [lent("L3", "B3", disbursed_at="2025-02-29")],
        [],
        "loans:3: disbursed_at must be a date or a moment such as 2025-03-31 or 2025-03-31T14:05, got '2025-02-29'",
    ),
    "a payout before any law that we know": (
        [CHEPTOO],
        [lent("L3", "B3", disbursed_at="2024-02-29")],
        [],
        "loans:3: disbursed_at must be a day whose law is loaded: packs begin on 2024-12-27, got '2024-02-29'",
    ),
    "a write-off before the payout": (
        [CHEPTOO],
        [lent("L3", "B3", written_off_at="2025-03-01")],
        [],
        "loans:3: written_off_at must be no earlier than disbursed_at",
    ),
    "two open loans": (
        [CHEPTOO],
        [lent("L3", "B3"), lent("L4", "B3")],
        [],
        "loans:4: loan_id must be the only open loan of its borrower, got 'L4'",
    ),
    "a payment before the payout": (
        [CHEPTOO],
        [lent("L3", "B3")],
        [paid("R3", "L3", "100", "2025-03-02")],
        "repayments:3: paid_at must be no earlier than the payout",
    ),
    "a payment of half a cent": (
        [CHEPTOO],
        [lent("L3", "B3")],
        [paid("R3", "L3", "100.505")],
        "repayments:3: amount must be an amount in plain digits with at most two decimals, such as 500 or 500.50,"
        " got '100.505'",
    ),
    "a payment twice": (
        [CHEPTOO],
        [lent("L3", "B3")],
        [paid("R3", "L3", "100"), paid("R3", "L3", "100")],
        "repayments:4: repayment_id must be there once, and is in line 3 already, got 'R3'",
    ),
    "a payment tomorrow": (
        [CHEPTOO],
        [lent("L3", "B3")],
        [paid("R3", "L3", "100", "2999-01-01")],
        "repayments:3: paid_at must be from 1990-01-01 until now",
    ),
    "a payment of an unknown loan": (
        [CHEPTOO],
        [],
        [paid("R3", "L9", "100")],
        "repayments:3: loan_id must be one of loans, got 'L9'",
    ),
    "a loan of nobody known": (
        [],
        [lent("L3", "B9")],
        [],
        "loans:3: borrower_id must be one of borrowers, got 'B9'",
    ),
    "a balance that is not ours": (
        [CHEPTOO],
        [lent("L3", "B3", closing_balance="430.50")],
        [paid("R3", "L3", "100")],
        "loans:3: closing_balance must be the 430.00 of our calculator, got '430.50'",
    ),
    "a state that is not ours": (
        [CHEPTOO],
        [lent("L3", "B3", closing_state="settled")],
        [paid("R3", "L3", "100")],
        "loans:3: closing_state must be the live of our calculator, got 'settled'",
    ),
}


class TestRefusing:
    @pytest.mark.parametrize("wrong", REFUSALS)
    def test_a_bad_row_is_told_and_its_borrower_held_back_whole(
        self, wrong: str, law: None, tmp_path: Path, books_balance: Callable[[], None]
    ) -> None:
        borrowers, loans, repayments, line = REFUSALS[wrong]
        if any(row["borrower_id"] == "B3" for row in borrowers) and not loans:
            loans = [lent("L3", "B3")]
        write(tmp_path, [AMINA, *borrowers], [lent("L1", "B1"), *loans], [paid("R1", "L1", "530"), *repayments])
        told = bring_in(tmp_path)
        assert line in told
        assert "failed: not all of it adds up" in told
        assert not Borrower.objects.filter(full_name="Cheptoo Kirui").exists() or wrong.startswith(
            "a payment of an"
        )
        assert not Loan.objects.filter(origin__in=["history:L3", "history:L4"]).exists() or "unknown loan" in wrong
        assert Borrower.objects.filter(full_name="Amina Wanjiru").exists() == (wrong != "Amina's ID")
        books_balance()

    def test_nothing_that_says_who_somebody_is_is_shown(self, law: None, tmp_path: Path) -> None:
        twice = refused(CHEPTOO, national_id="23456781", phone="+254711000101")
        odd = refused(BRIAN, national_id="A-23456782", name="B", phone="0711000102")
        told = bring_in(write(tmp_path, [AMINA, twice, odd], [], []))
        assert told.count("\n") == 6
        for private in ("23456781", "23456782", "11000101", "11000102", "Amina"):
            assert private not in told

    def test_differences_are_kept_if_asked_for(
        self, law: None, tmp_path: Path, books_balance: Callable[[], None]
    ) -> None:
        write(tmp_path, [CHEPTOO], [lent("L3", "B3", closing_balance="400")], [paid("R3", "L3", "100")])
        told = bring_in(tmp_path, "--keep-differences")
        assert told == (
            "loans:2: closing_balance must be the 430.00 of our calculator, got '400.00'\n"
            "borrowers: 1 brought in, 0 unchanged, 0 held back; 1 problems\n"
        )
        assert Loan.objects.get().outstanding_cents == 43_000
        books_balance()

    def test_a_claim_is_compared_as_of_its_own_day(self, law: None, tmp_path: Path) -> None:
        loan = lent("L1", "B1", closing_balance="530", closing_state="live", closing_on="2025-03-19")
        assert "1 brought in" in bring_in(write(tmp_path, [AMINA], [loan], [paid("R1", "L1", "530")]))

    def test_somebody_who_has_an_open_loan_here_brings_no_other(self, aminas_loan: Loan, tmp_path: Path) -> None:
        told = bring_in(write(tmp_path, [AMINA], [lent("L1", "B1")], []))
        assert "loans:2: loan_id must be the only open loan of its borrower, got 'L1'" in told
        assert Loan.objects.get() == aminas_loan

    def test_a_customer_of_ours_brings_what_is_settled(
        self, amina: Borrower, tmp_path: Path, books_balance: Callable[[], None]
    ) -> None:
        bring_in(write(tmp_path, [AMINA], [lent("L1", "B1")], [paid("R1", "L1", "530")]))
        assert Loan.objects.get().borrower == amina
        assert Borrower.objects.get().pin_hash == Borrower.objects.get(id=amina.id).pin_hash != ""
        books_balance()

    @pytest.mark.parametrize(
        ("number", "national_id"), [("254711000109", "23456781"), ("254711000101", "23456789")]
    )
    def test_a_customer_of_ours_is_known_by_number_and_id_together(
        self, number: str, national_id: str, amina: Borrower, tmp_path: Path
    ) -> None:
        told = bring_in(write(tmp_path, [refused(AMINA, phone=number, national_id=national_id)], [], []))
        assert "borrowers:2: " in told and "1 held back" in told
        assert Borrower.objects.count() == 1

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("R1,L1,530,2025-03-20\nR2,,100,2025-03-20\n", "1 rows do not say whose they are"),
            ('R1,L1,530,2025-03-20\n"R2,L1,100,2025-03-20\nR3,L1,1,2025-03-20\n', "must be a row of CSV"),
            ('R1,L1,530,2025-03-20\n"R2\n",L1,100,2025-03-20\n', "repayments.csv:3: a row must be on one line"),
        ],
    )
    def test_rows_of_nobody_let_nothing_in(self, text: str, why: str, law: None, tmp_path: Path) -> None:
        write(tmp_path, [AMINA], [lent("L1", "B1")], [])
        (tmp_path / "repayments.csv").write_text("repayment_id,loan_id,amount,paid_at\n" + text)
        told = bring_in(tmp_path)
        assert "failed: nothing was brought in: " in told and why in told
        assert not Borrower.objects.exists()

    @pytest.mark.parametrize("text", ["R2,L3\n", "R2,L3,10,2025-03-20,more\n", "R2,L3,\xff,2025-03-20\n"])
    def test_a_row_with_other_cells_than_columns_holds_its_borrower_back(
        self, text: str, law: None, tmp_path: Path
    ) -> None:
        write(tmp_path, [AMINA, CHEPTOO], [lent("L1", "B1"), lent("L3", "B3")], [])
        header = "repayment_id,loan_id,amount,paid_at\n"
        (tmp_path / "repayments.csv").write_text(header + text, encoding="latin-1")
        assert "repayments:2: row must be " in bring_in(tmp_path)
        assert Borrower.objects.get().full_name == "Amina Wanjiru"

    def test_files_that_are_none_are_refused(self, law: None, tmp_path: Path) -> None:
        assert "must hold borrowers.csv or borrowers.parquet, got neither" in bring_in(tmp_path)
        write(tmp_path, [], [], [])
        (tmp_path / "loans.csv").write_text("loan_id,borrower\n")
        assert "loans.csv:1: must have each column once, borrower_id, principal, disbursed_at" in bring_in(tmp_path)
        (tmp_path / "loans.csv").rename(tmp_path / "loans.parquet")
        assert "loans.parquet cannot be read" in bring_in(tmp_path)


def test_a_hundred_thousand_rows_with_one_bad_one_need_little_memory(law: None, tmp_path: Path) -> None:
    write(tmp_path, [AMINA, CHEPTOO], [lent("L1", "B1"), lent("L3", "B3")], [])
    with (tmp_path / "repayments.csv").open("a") as stream:
        stream.writelines(
            f"R{n},L{3 if n == 70_000 else 9},{'x' if n == 70_000 else 1},2025-03-20\n" for n in range(10**5)
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_history", str(tmp_path), stdout=told)
    assert "repayments:70002: amount must be an amount in plain digits" in told.getvalue()
    assert Borrower.objects.get().full_name == "Amina Wanjiru"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120 * 1024


def test_the_audit_finds_history_money_on_a_loan_made_here(
    moved_in: Path, aminas_loan: Loan, books_balance: Callable[[], None]
) -> None:
    LoanEvent.objects.create(
        loan=aminas_loan,
        key="pay:slipped in",
        kind="pay",
        business_date="2026-03-03",
        happened_at=factories.NOON,
        details={"amount_cents": 100, "account": "history_brought_in"},
        booked_at=factories.NOON,
    )
    with pytest.raises((CommandError, SystemExit)):
        books_balance()


def test_the_tables_of_a_run_end_with_its_connection(moved_in: Path) -> None:
    bring_in(moved_in)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(body, '') FROM history_borrowers")
        assert "23456781" not in cursor.fetchone()[0]
        cursor.execute("SELECT bool_and(relpersistence = 't') FROM pg_class WHERE relname LIKE 'history_%'")
        assert cursor.fetchone()[0] is True


def test_interest_is_booked_as_it_was_earned(law: None, tmp_path: Path) -> None:
    interest = {"rate": "0.1", "per": "term"}
    term = {"installments": 3, "every": 1, "unit": "month"}
    version = lending.product({"kind": "flat", "term": term, "interest": interest})
    loan = lent("L1", "B1", principal="3000", product=version.code, interest="300")
    payments = [paid(f"R{n}", "L1", "1100", f"2025-0{3 + n}-03") for n in (1, 2, 3)]
    assert "1 brought in" in bring_in(write(tmp_path, [AMINA], [loan], payments))
    earned = Entry.objects.filter(account="interest_income").order_by("posting__business_date")
    days = [entry.posting.business_date.isoformat() for entry in earned]
    ends = {"2025-03-31", "2025-04-30", "2025-05-31"}
    paid_on = {"2025-04-03", "2025-05-03", "2025-06-03"}
    the_days_before = {"2025-04-02", "2025-05-02", "2025-06-02"}
    assert days == sorted(ends | paid_on | the_days_before)
    assert sum(entry.credit_cents - entry.debit_cents for entry in earned) == 30_000
    stored = Loan.objects.get()
    assert (stored.state, stored.interest_cents, stored.accrual_cents) == ("settled", 30_000, 30_000)
