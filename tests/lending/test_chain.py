"""The hash chain over postings: anybody can compute it, and nobody can change the books beside it."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from lending import chain, invariants, ledger
from lending.models import Loan, Posting, PostingHash
from tests.factories import NOON, pay
from tests.lending.posters import SlowWriter, fund


def content_of(posting: Posting) -> str:
    """Return what docs/domain/accounting.md says that a posting's content is, by other means than PostgreSQL's."""

    def moment(at: datetime) -> str:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    entries = posting.entries.order_by("id")
    return json.dumps(
        [
            *(posting.id, posting.kind, posting.reference),
            *(posting.borrower_id, posting.loan_id, posting.reverses_id),
            *(moment(posting.occurred_at), posting.business_date.isoformat(), moment(posting.booked_at)),
            [[e.id, e.account_id, e.currency, e.debit_cents, e.credit_cents] for e in entries],
        ],
        ensure_ascii=False,
    )


def computed() -> dict[int, str]:
    """Return the hash of each posting as an auditor would compute it."""
    before, hashes = bytes(32), {}
    for posting in Posting.objects.order_by("id"):
        before = hashlib.sha256(before + content_of(posting).encode()).digest()
        hashes[posting.id] = before.hex()
    return hashes


def stored() -> dict[int, str]:
    return {row.posting_id: str(row) for row in PostingHash.objects.order_by("posting_id")}


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def offenders() -> tuple[str, ...]:
    """Return what the audit says about the chain."""
    return next(finding.offenders for finding in invariants.audit() if finding.name.startswith("the chain"))


class TestExtend:
    def test_hashes_are_those_that_anybody_computes_from_the_books(self, aminas_loan: Loan) -> None:
        pay(aminas_loan.reference, 10_000)
        fund(reference='of "Öhm" \\ & Söhne\n\t\x7f\u2028')
        assert chain.extend() == Posting.objects.count() == 4
        assert stored() == computed()

    def test_goes_on_where_it_ended_whatever_the_batches(self, law: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(5):
            fund(reference=f"capital:{number}")
        monkeypatch.setattr(chain, "BATCH", 2)
        assert chain.extend() == 5
        fund(reference="capital:5")
        assert chain.extend() == 1
        assert chain.extend() == 0
        assert stored() == computed()

    def test_is_never_changed_afterwards(self, law: None) -> None:
        fund()
        chain.extend()
        for statement in ("UPDATE lending_postinghash SET hash = ''", "DELETE FROM lending_postinghash"):
            with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
                run(statement)


@pytest.mark.django_db(transaction=True)
def test_a_posting_that_commits_late_is_waited_for_and_chained_in_its_place(
    law: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PATIENCE_SECONDS", 0.05)
    with ThreadPoolExecutor(1) as pool:
        slow = SlowWriter(pool)
        fund(reference="quick")
        assert chain.extend() == 0
        slow.commits()
    assert chain.extend() == 2
    assert list(Posting.objects.order_by("id").values_list("reference", flat=True)) == ["slow", "quick"]
    assert stored() == computed()


class TestTampering:
    @pytest.fixture(autouse=True)
    def books(self, law: None) -> None:
        self.postings = [fund(1_000 + number, f"capital:{number}") for number in range(4)]
        chain.extend()
        self.head = chain.head()
        run("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        run("SET LOCAL session_replication_role = replica")

    @pytest.mark.parametrize(
        ("sql", "where", "told"),
        [
            ("UPDATE lending_posting SET kind = 'refund' WHERE id = {1}", 1, "not what was chained"),
            ("UPDATE lending_posting SET booked_at = booked_at - interval '1 s' WHERE id = {1}", 1, "not what was"),
            (
                "UPDATE lending_entry SET account_id = 'suspense' WHERE posting_id = {1} AND debit_cents > 0",
                1,
                "not",
            ),
            (
                "UPDATE lending_entry SET debit_cents = 2 * debit_cents, credit_cents = 2 * credit_cents"
                " WHERE posting_id = {2}",
                2,
                "not what was chained",
            ),
            ("DELETE FROM lending_posting WHERE id = {1}", 1, "in the chain and not in the books"),
            ("DELETE FROM lending_postinghash WHERE posting_id = {1}", 1, "in the books and not in the chain"),
            (
                "DELETE FROM lending_postinghash WHERE posting_id = {1};"
                " DELETE FROM lending_posting WHERE id = {1}",
                2,
                "does not follow",
            ),
            ("UPDATE lending_postinghash SET hash = sha256('x') WHERE posting_id = {0}", 0, "not what was chained"),
        ],
    )
    def test_what_was_changed_is_named(self, sql: str, where: int, told: str) -> None:
        assert offenders() == ()
        run(sql.format(*(posting.id for posting in self.postings)))
        assert told in offenders()[0]
        assert f"posting {self.postings[where].id} " in offenders()[0]

    def test_a_posting_that_was_slipped_in_below_the_head_is_named(self) -> None:
        last = self.postings[-1].id
        run(f"UPDATE lending_posting SET id = {last + 10} WHERE id = {last}")
        run(f"UPDATE lending_entry SET posting_id = {last + 10} WHERE posting_id = {last}")
        fund(reference="slipped in")
        assert Posting.objects.filter(id=last + 1).exists()
        run(f"UPDATE lending_postinghash SET posting_id = {last + 10} WHERE posting_id = {last}")
        assert f"posting {last + 1} is in the books and not in the chain" in offenders()

    def test_a_chain_that_was_rewritten_as_well_is_found_by_a_noted_head(self) -> None:
        noted = f"{self.head.posting_id}:{self.head.hash.hex()}"
        call_command("chain_head", noted, stdout=StringIO())
        run(f"UPDATE lending_posting SET kind = 'refund' WHERE id = {self.postings[0].id}")
        run("DELETE FROM lending_postinghash")
        chain.extend()
        assert offenders() == ()
        with pytest.raises(CommandError, match="the books were rewritten"):
            call_command("chain_head", noted, stdout=StringIO())


class TestCommand:
    def said(self, *args: Any) -> str:
        out = StringIO()
        call_command("chain_head", *args, stdout=out)
        return out.getvalue()

    def test_prints_a_head_that_it_takes_back(self, law: None) -> None:
        assert self.said().startswith("0:" + "00" * 32)
        fund()
        chain.extend()
        printed = self.said()
        assert printed.endswith(" (1 postings)\n")
        fund(reference="capital:2", at=NOON + timedelta(days=1))
        chain.extend()
        assert "still holds" in self.said(printed.split()[0])
