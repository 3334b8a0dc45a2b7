"""What COPY brings in is what the services would have written: every table, every column but ids and clock."""

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, models, transaction

from lending.ledger import post
from lending.models import Borrower, Consent, CountryPack, LimitRaise, Loan, LoanEvent
from lending.rules.history import Clock
from lending.rules.pricing import key_facts
from lending.services import audit, history, history_batches, history_files, life
from lending.services.history import Setting
from lending.services.history_rows import CONSENT_TEXT, Borrowing
from lending.services.life import earned_of
from lending.services.references import new_reference
from tests import factories
from tests.lending import lending
from tests.lending.test_import_history import AMINA, BRIAN, CHEPTOO, bring_in, lent, paid, write
from tests.stack import ROOT, database_url, wait_for

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "every": 1, "unit": "week"},
    "interest": {"rate": "0.08", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}],
}
MONTHLY = {
    "kind": "level",
    "term": {"installments": 3, "every": 1, "unit": "month"},
    "interest": {"rate": "0.36", "per": "year", "day_count": "act/365"},
    "early": {"interest": "to_day"},
    "closing_tolerance_cents": 200,
    "fees": [{"name": "Fee", "rate": "0.03", "earned": "over_term", "rebated": True}],
    "tax": {"rate": "0.2"},
}
KEPT_BACK = WEEKLY | {
    "fees": [
        {"name": "Fee", "rate": "0.05", "charged": "deducted"},
        {"name": "Card", "amount_cents": 5_000, "charged": "capitalised"},
    ],
    "tax": {"rate": "0.2"},
}
DAWIT = {
    "borrower_id": "B4",
    "phone": "254711000104",
    "name": "Dawit Bekele",
    "national_id": "23456784",
    "registered_at": "2025-02-01",
    "consents": "service",
    "consented_at": "2025-02-01",
}
# Chosen by chance, by the wall clock or by the database.
BY_CHANCE = {"id", "booked_at"}
NAMES = {"Borrower": "msisdn", "Loan": "origin", "Posting": "reference", "LoanEvent": "key"}


@pytest.fixture
def varied(law: None, tmp_path: Path) -> Path:
    """Loans on time, early, late with penalties, in parts, overpaid, given up and recovered, one after another."""
    weekly, monthly = lending.product(WEEKLY).code, lending.product(MONTHLY).code
    loans = [
        lent("L1", "B1"),
        lent("L2", "B1", disbursed_at="2025-04-10T09:00", principal="1000"),
        lent("L3", "B1", disbursed_at="2025-09-01T09:00", principal="2000", product=weekly),
        lent("L4", "B2", product=weekly, principal="1000"),
        lent("L5", "B2", disbursed_at="2025-07-01", product=monthly, principal="3000"),
        lent("L6", "B2", disbursed_at="2025-10-01", product=monthly, principal="3333.33"),
        lent("L7", "B3", product=weekly, principal="900", written_off_at="2025-09-30"),
        lent("L8", "B3", disbursed_at="2026-02-20", principal="700"),
        lent("L9", "B4", disbursed_at="2025-02-10", principal="500"),
        lent("L11", "B1", disbursed_at="2025-10-06", principal="1500", product=lending.product(KEPT_BACK).code),
        lent("L10", "B4", disbursed_at="2025-12-20", product=monthly, principal="5000"),
    ]
    repayments = [
        paid("R1", "L1", "530"),
        paid("R2", "L2", "400", "2025-04-30"),
        paid("R3", "L2", "700", "2025-06-20"),
        *[paid(f"R4{n}", "L3", "540", f"2025-09-{8 + 7 * n:02d}") for n in range(3)],
        paid("R5", "L3", "540", "2025-09-29"),
        paid("R6", "L4", "270", "2025-03-25"),
        paid("R7", "L4", "1200", "2025-06-25"),
        paid("R8", "L5", "3200", "2025-07-12"),
        paid("R9", "L6", "1200", "2025-10-20"),
        paid("R10", "L6", "800", "2026-01-05"),
        paid("R11", "L7", "300", "2025-04-01"),
        paid("R12", "L7", "250", "2025-12-24"),
        paid("R13", "L9", "530", "2025-02-11"),
        paid("R31", "L11", "800", "2025-10-13"),
        paid("R32", "L11", "1000", "2025-12-05"),
        paid("R14", "L10", "0.01", "2025-12-20"),
        paid("R15", "L10", "1900", "2026-01-20"),
    ]
    return write(tmp_path, [AMINA, BRIAN, CHEPTOO, DAWIT], loans, repayments)


def setting() -> Setting:
    return Setting("history", AT, AT.date().replace(day=1), keeps_differences=True)


def stage(directory: Path) -> None:
    said: list[Any] = []
    for _ in history_files.stage(
        history_files.paths_in(directory), Clock(settings.TIME_ZONE, AT), "[0-9]{6,9}", said.append
    ):
        assert not said


def by_services(told: Setting) -> None:
    """Write borrower after borrower, loan after loan, posting after posting, as the services do."""
    for batch in history_files.batches(500):
        for one in batch:
            _, borrowing = history._checked(one, history.Here.of([one], told), told)
            if borrowing is not None:
                _write(borrowing)


def _write(one: Borrowing) -> None:
    borrower = one.borrower
    if one.is_newcomer:
        borrower.save()
        for purpose in one.consents:
            Consent.objects.create(
                borrower=borrower,
                purpose=purpose,
                granted=True,
                text_version=CONSENT_TEXT,
                language=borrower.language,
                given_at=one.consented_at,
            )
        audit.record("brought_in", subject=f"borrower:{borrower.id}", borrower=borrower, at=AT, origin=one.origin)
    for played in one.loans:
        loan = played.loan
        loan.borrower = borrower
        borrower.refresh_from_db()
        if loan._state.adding:
            priced = key_facts(played.contract.terms, loan.principal_cents, played.life.started_on)
            loan.reference = new_reference()
            loan.fee_cents, loan.tax_cents = priced.fee_cents, priced.tax_cents
            loan.interest_cents, loan.deducted_cents = priced.interest_cents, priced.deducted_cents
            loan.capitalised_cents = priced.capitalised_cents
            for kind, cents in earned_of(played.life).items():
                setattr(loan, f"{kind}_cents", cents)
            loan.save()
            for draft in life.drafts_of(loan, played.life, played.events):
                post(**draft)
        for event in played.new:
            event.loan = loan
        LoanEvent.objects.bulk_create(played.new)
        life.replay(loan, AT, closed_on=setting().closed_on)
        audit.record(
            "loan_brought_in",
            subject=f"loan:{loan.id}",
            borrower=borrower,
            at=AT,
            origin=loan.origin,
            facts=len(played.new),
        )


def rows() -> dict[str, Counter[str]]:
    """Return the rows of every table by what they say; whom they point to is named, not numbered."""
    tables = list(apps.get_app_config("lending").get_models())
    loans = dict(Loan.objects.values_list("id", "origin"))
    people = dict(Borrower.objects.values_list("id", "msisdn"))

    earned = dict(LimitRaise.objects.values_list("id", "earned_by__origin"))

    def said(text: str) -> str:
        text = re.sub(r"limit_raise_offered:(\d+)", lambda hit: f"raise:{earned[int(hit[1])]}", text)
        text = re.sub(r"loan:(\d+)", lambda hit: f"loan:{loans[int(hit[1])]}", text)
        return re.sub(r"borrower:(\d+)", lambda hit: f"borrower:{people[int(hit[1])]}", text)

    names: dict[type[models.Model], dict[Any, str]] = {}
    for model in tables:
        column = NAMES.get(model.__name__)
        if column:
            names[model] = {pk: said(name) for pk, name in model._default_manager.values_list("pk", column)}
    items = apps.get_model("lending", "Installment")
    names[items] = {
        pk: f"{loans[loan]}-{number}"
        for pk, loan, number in items._default_manager.values_list("pk", "loan_id", "number")
    }

    def value(field: Any, found: Any) -> Any:
        if field.is_relation and found is not None:
            return names.get(field.related_model, {}).get(found, found)
        if isinstance(found, memoryview):
            return found.hex()
        if isinstance(found, dict) and "loan_id" in found:
            return found | {"loan_id": loans[found["loan_id"]]}
        if isinstance(found, dict) and "raise_id" in found:
            return found | {"raise_id": earned[found["raise_id"]]}
        return said(found) if isinstance(found, str) else found

    def row(model: type[models.Model], found: Any) -> str:
        chance = BY_CHANCE | ({"reference"} if model is Loan else set())
        fields = [field for field in model._meta.concrete_fields if field.name not in chance]
        return repr({field.name: value(field, getattr(found, field.attname)) for field in fields})

    return {
        model.__name__: Counter(row(model, found) for found in model._default_manager.all()) for model in tables
    }


def both_ways(
    directory: Path, outcomes: frozenset[str] | set[str] = frozenset({"brought in"})
) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Bring the same files in both ways from the same start; return the rows of each. The second one stands."""
    stage(directory)
    with transaction.atomic():
        by_services(setting())
        services = rows()
        transaction.set_rollback(True)
    brought = list(history_batches.bring_in(setting(), processes=1))
    assert {one.outcome for one in brought} == outcomes
    return services, rows()


def assert_same(services: dict[str, Counter[str]], copied: dict[str, Counter[str]]) -> None:
    for table, found in services.items():
        assert copied[table] - found == Counter() == found - copied[table], table


class TestCopiedRows:
    def test_are_those_of_the_services(self, varied: Path, books_balance: Any) -> None:
        services, copied = both_ways(varied)
        assert_same(services, copied)
        assert all(
            copied[table]
            for table in ("Consent", "LoanEvent", "Installment", "Allocation", "Posting", "AuditEvent")
        )
        states = set(Loan.objects.values_list("state", flat=True))
        assert states == {"settled", "live", "written_off"}
        assert set(Borrower.objects.values_list("rung", flat=True)) > {0}
        books_balance()

    def test_are_those_of_the_services_for_a_customer_of_ours(
        self, varied: Path, amina: Borrower, books_balance: Any
    ) -> None:
        assert_same(*both_ways(varied))
        assert Loan.objects.filter(borrower=amina).count() == 4
        books_balance()

    def test_are_those_of_the_services_where_a_raise_needs_consent(self, varied: Path) -> None:
        pack = CountryPack.objects.filter(country=settings.COUNTRY).latest("version")
        pack.pk, pack.version, pack.effective_on = None, pack.version + 1, date(2025, 1, 1)
        pack.rules |= {"raises": {"need_consent": True, "basis": "law", "source": "a test"}}
        pack.rules["not_found"].pop("raises")
        pack.save()
        services, copied = both_ways(varied)
        assert_same(services, copied)
        assert copied["LimitRaise"] and copied["OutboxMessage"]
        assert set(Borrower.objects.values_list("rung", flat=True)) == {0}

    def test_are_the_same_when_a_later_file_adds_to_them(self, varied: Path, books_balance: Any) -> None:
        bring_in(varied, "--keep-differences")
        repayments = (varied / "repayments.csv").read_text() + "R16,L8,42,2026-02-25\nR17,L6,5,2026-02-26\n"
        (varied / "repayments.csv").write_text(repayments)
        assert_same(*both_ways(varied, outcomes={"brought in", "unchanged"}))
        books_balance()


class TestInterrupted:
    def test_between_batches_it_goes_on_to_the_same_end(
        self, varied: Path, monkeypatch: pytest.MonkeyPatch, books_balance: Any
    ) -> None:
        monkeypatch.setattr(history_batches, "BATCH", 1)
        stage(varied)
        with transaction.atomic():
            list(history_batches.bring_in(setting(), processes=1))
            whole = rows()
            transaction.set_rollback(True)
        running = history_batches.bring_in(setting(), processes=1)
        assert [next(running).outcome for _ in range(2)] == ["brought in"] * 2
        running.close()
        again = [one.outcome for one in history_batches.bring_in(setting(), processes=1)]
        assert again == ["unchanged", "unchanged", "brought in", "brought in"]
        assert_same(whole, rows())
        books_balance()

    def test_one_that_the_database_refuses_costs_only_itself(self, varied: Path, books_balance: Any) -> None:
        stage(varied)
        with connection.cursor() as cursor:
            # What no check of ours foresees: a name that is longer than its column.
            cursor.execute(
                "UPDATE history_borrowers SET body = jsonb_set(body::jsonb, '{name}', to_jsonb(repeat('x', 61)))"
                " WHERE key = 'B3'"
            )
        brought = list(history_batches.bring_in(setting(), processes=1))
        assert [one.outcome for one in brought] == ["brought in", "brought in", "held back", "brought in"]
        told = str(brought[2].problems[0])
        assert told.startswith(
            "borrowers:4: borrower_id must be one that can be brought in with all loans (StringDataRightTrunc"
        )
        assert "xxx" not in told
        books_balance()


IMPORT_ALONE = """
import sys
from pathlib import Path
import django
django.setup()
from lending.services import history_batches
from tests.lending.test_import_rows import setting, stage
history_batches.BATCH = 1
stage(Path(sys.argv[1]))
print(sum(one.outcome == "brought in" for one in history_batches.bring_in(setting(), processes=2)))
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_among_its_processes_and_started_again_it_leaves_the_same(tmp_path: Path) -> None:
    call_command("load_fixtures", verbosity=0)
    brian = factories.register("Brian Otieno", BRIAN["phone"], BRIAN["national_id"])
    people = [AMINA, BRIAN, CHEPTOO, DAWIT]
    loans = [
        lent(f"{one['borrower_id']}-{month}", one["borrower_id"], disbursed_at=f"2025-0{month}-03")
        for one in people
        for month in (2, 5)
    ]
    repayments = [paid(f"R{loan['loan_id']}", loan["loan_id"], "530", "2025-05-04") for loan in loans]
    write(tmp_path, people, loans, repayments)
    stage(tmp_path)
    with transaction.atomic():
        list(history_batches.bring_in(setting(), processes=1))
        whole = rows()
        transaction.set_rollback(True)
    command = [sys.executable, "-c", IMPORT_ALONE, str(tmp_path)]
    surroundings = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    with transaction.atomic():
        Borrower.objects.select_for_update().get(id=brian.id)  # here it stops
        process = subprocess.Popen(command, cwd=ROOT, env=surroundings)
        try:
            wait_for(lambda: _waiting() and Borrower.objects.count() > 2, 60, why="it never came to the lock")
            others = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        finally:
            process.kill()
        process.wait()
        assert len(others) == 2
        wait_for(
            lambda: not any(Path(f"/proc/{one}").exists() for one in others),
            30,
            why="its processes did not end with it",
        )
        assert 0 < Loan.objects.count() < len(loans)
    again = subprocess.run(command, cwd=ROOT, env=surroundings, check=True, capture_output=True, text=True)
    assert 0 < int(again.stdout) < len(people)
    assert_same(whole, rows())
    call_command("audit_books", verbosity=0)


def _waiting() -> bool:
    """Say whether anybody waits for this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        return cursor.fetchone() is not None
