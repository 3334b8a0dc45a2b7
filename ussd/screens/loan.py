"""My loan: what is owed, until when, and what happened."""

from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import npgettext, pgettext

from lending.models import Loan
from lending.rules import calendar
from lending.selectors.loans import StatementLine
from ussd import samples, words
from ussd.engine import Choice, Dialogue, Go, Menu, Read, View, screen


@screen("loan.status", samples=[samples.owing, samples.late])
def status(dialogue: Dialogue) -> View:
    loan = dialogue.facts.open_loan
    if loan is None:
        return Go("borrow.amount")
    if loan.state == Loan.State.APPROVED:
        return Go("borrow.payout_pending")
    owed = pgettext("loan.status", "Loan %(ref)s\nYou owe %(amount)s") % {
        "ref": loan.reference,
        "amount": words.amount(loan.outstanding_cents, loan.currency),
    }
    return Menu(
        f"{owed}\n{_when(dialogue, loan)}",
        (
            Choice(pgettext("loan.status", "Mini-statement"), "loan.statement"),
            Choice(pgettext("loan.status", "Repay"), "repay.menu"),
        ),
    )


def _when(dialogue: Dialogue, loan: Loan) -> str:
    """Say when it is due, and in how many days or how many days late."""
    assert loan.due_on is not None
    late = dialogue.facts.days_past_due(loan)
    left = (loan.due_on - dialogue.facts.today).days
    if late:
        return npgettext(
            "loan.status", "Due %(day)s, %(days)d day late", "Due %(day)s, %(days)d days late", late
        ) % {
            "day": words.day(loan.due_on),
            "days": late,
        }
    if not left:
        return pgettext("loan.status", "Due today")
    return npgettext("loan.status", "Due %(day)s, in %(days)d day", "Due %(day)s, in %(days)d days", left) % {
        "day": words.day(loan.due_on),
        "days": left,
    }


@screen("loan.statement", samples=[samples.owing], tries=("98", "x"))
def statement(dialogue: Dialogue) -> View:
    return Read(statement_lines(dialogue) or [pgettext("loan.statement", "Nothing has happened yet.")])


def statement_lines(dialogue: Dialogue) -> list[str]:
    """Return the newest movements, one a line."""
    return lines_of(dialogue.facts.statement)


def lines_of(movements: Sequence[StatementLine]) -> list[str]:
    """Return movements as they are told, one a line."""
    return [_line(line) for line in movements]


def _line(line: StatementLine) -> str:
    values = {
        "day": words.day(calendar.business_date(line.at, settings.TIME_ZONE)),
        "amount": words.amount(line.amount_cents),
        "ref": words.reference(line.reference),
    }
    if line.kind == "paid_out":
        return pgettext("loan.statement", "%(day)s sent %(amount)s %(ref)s") % values
    if line.kind == "refinanced":
        return pgettext("loan.statement", "%(day)s paid off %(amount)s %(ref)s") % values
    return pgettext("loan.statement", "%(day)s repaid %(amount)s %(ref)s") % values
