"""What somebody owes, in words: the same sentences on screens and in messages, without a full stop."""

from datetime import date

from lending.models import Loan
from lending.rules.standing import Standing
from ussd import words
from ussd.tongue import pgettext


def owed(loan: Loan, standing: Standing | None, on: date) -> str:
    """Say the next unpaid part with its day, and what is owed in all; one sum where that is the same."""
    if standing is None or loan.state != Loan.State.LIVE:
        return pgettext("owing", "You owe %(all)s") % {"all": words.amount(loan.owing_cents, loan.currency)}
    said = _one_sum(standing, on) if standing.is_one_sum else _parts(standing, on)
    return said % {
        "next": words.amount(standing.next_cents, loan.currency),
        "day": words.day(standing.next_on),
        "all": words.amount(standing.all_cents, loan.currency),
        "last": words.day(standing.last_on),
    }


def _one_sum(standing: Standing, on: date) -> str:
    if standing.is_late(on):
        return pgettext("owing", "You owe %(all)s; it was due %(day)s")
    return pgettext("owing", "You owe %(all)s by %(day)s")


def _parts(standing: Standing, on: date) -> str:
    if standing.is_late(on):
        return pgettext("owing", "%(next)s was due %(day)s; in all %(all)s by %(last)s")
    return pgettext("owing", "%(next)s due %(day)s; in all %(all)s by %(last)s")
