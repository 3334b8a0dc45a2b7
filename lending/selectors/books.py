"""The books as an accountant reads them: trial balance, balance sheet, income statement.

Each figure comes from the checkpoints and the entries since, by business date, so any date costs about the same.
Amounts are integer cents of one currency. Source of the definitions: docs/domain/accounting.md, "Statements".
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from django.db import connection

from lending.models import Account

Kind = Account.Kind
# Accounts whose balance is debits less credits; the others' is credits less debits.
DEBIT_KINDS = (Kind.ASSET, Kind.EXPENSE)


@dataclass(frozen=True)
class Line:
    """One line of a statement. A line without an account is worked out from others."""

    section: str
    name: str
    amount_cents: int
    account: str = ""


@dataclass(frozen=True)
class TrialLine:
    """One account of a trial balance: its balance stands on the side where it is above zero."""

    section: str
    name: str
    debit_cents: int
    credit_cents: int
    account: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement with what its figures mean. Its rows have the columns of its lines, amounts end in `_cents`."""

    title: str
    definition: str
    currency: str
    lines: Sequence[Line | TrialLine]

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(line) for line in self.lines]


def trial_balance(on: date, currency: str) -> Statement:
    """Return the balance of each account that ever moved, at the end of a business date."""
    lines = [
        TrialLine(account.get_kind_display(), account.name, max(cents, 0), max(-cents, 0), account.code)
        for account, cents in _moved(currency, date.min, on)
    ]
    debits, credits = sum(line.debit_cents for line in lines), sum(line.credit_cents for line in lines)
    return Statement(
        f"Trial balance at the end of {on.isoformat()}",
        "Each account's debits less its credits over all postings dated until this day, on the side where the"
        " difference is above zero; both sides sum to the same.",
        currency,
        [*lines, TrialLine("Total", "Total", debits, credits)],
    )


def balance_sheet(on: date, currency: str) -> Statement:
    """Return what the lender has, owes and is worth at the end of a business date.

    The result is that of all time: income and expense accounts are never emptied into capital.
    """
    moved = _moved(currency, date.min, on)
    assets = _section("Assets", Kind.ASSET, moved)
    liabilities = _section("Liabilities", Kind.LIABILITY, moved)
    equity = _section("Equity", Kind.EQUITY, moved)
    equity.append(Line("Equity", "Result until this date", _result(moved)))
    return Statement(
        f"Balance sheet at the end of {on.isoformat()}",
        "Balances over all postings dated until this day. The result is all income less all expenses until then;"
        " assets equal liabilities and equity.",
        currency,
        [
            *assets,
            Line("Assets", "Total assets", _total(assets)),
            *liabilities,
            *equity,
            Line("Equity", "Total liabilities and equity", _total(liabilities) + _total(equity)),
        ],
    )


def income_statement(first_on: date, last_on: date, currency: str) -> Statement:
    """Return what was earned and what it cost, from one business date to another, both included."""
    moved = _moved(currency, first_on, last_on)
    income = _section("Income", Kind.INCOME, moved)
    expenses = _section("Expenses", Kind.EXPENSE, moved)
    return Statement(
        f"Income statement from {first_on.isoformat()} to {last_on.isoformat()}",
        "Postings dated within these days, both included; what happened in a period that was closed already"
        " counts on the day on which it was booked. Result: income less expenses.",
        currency,
        [
            *income,
            Line("Income", "Total income", _total(income)),
            *expenses,
            Line("Expenses", "Total expenses", _total(expenses)),
            Line("Result", "Result", _result(moved)),
        ],
    )


Moved = list[tuple[Account, int]]


def _moved(currency: str, first_on: date, last_on: date) -> Moved:
    """Return each account that moved, in the order of kinds and codes, with its debits less credits."""
    with connection.cursor() as cursor:
        cursor.execute(MOVED, {"currency": currency, "first_on": first_on, "last_on": last_on})
        cents = dict(cursor.fetchall())
    accounts = Account.objects.filter(code__in=cents)
    order = [kind.value for kind in Kind]
    return [
        (account, cents[account.code])
        for account in sorted(accounts, key=lambda one: (order.index(one.kind), one.code))
    ]


MOVED = """
    SELECT account_id, sum(debit_cents - credit_cents)::bigint FROM (
           SELECT account_id, debit_cents, credit_cents FROM lending_checkpoint
            WHERE currency = %(currency)s AND business_date BETWEEN %(first_on)s AND %(last_on)s
            UNION ALL
           SELECT account_id, debit_cents, credit_cents
             FROM lending_entry entry JOIN lending_posting posting ON posting.id = entry.posting_id
            WHERE entry.id > (SELECT coalesce(max(last_entry_id), 0) FROM lending_checkpoint)
              AND currency = %(currency)s AND business_date BETWEEN %(first_on)s AND %(last_on)s
    ) part GROUP BY account_id
"""


def _section(section: str, kind: str, moved: Moved) -> list[Line]:
    sign = 1 if kind in DEBIT_KINDS else -1
    return [
        Line(section, account.name, sign * cents, account.code) for account, cents in moved if account.kind == kind
    ]


def _total(lines: Iterable[Line]) -> int:
    return sum(line.amount_cents for line in lines)


def _result(moved: Moved) -> int:
    return -sum(cents for account, cents in moved if account.kind in (Kind.INCOME, Kind.EXPENSE))
