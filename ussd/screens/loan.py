"""My loan: what is owed next and in all, what happened, whether it went through, and what can be done."""

from collections.abc import Sequence

from django.conf import settings

from lending.models import AuditEvent, Loan, PaymentIntent
from lending.rules import calendar
from lending.rules.standing import Standing
from lending.selectors import limits
from lending.selectors.loans import StatementLine
from ussd import owing, samples, words
from ussd.engine import Choice, Dialogue, Go, Menu, Read, View, screen
from ussd.facts import LATELY
from ussd.screens import late
from ussd.tongue import npgettext, pgettext


@screen("loan.status", samples=[samples.owing, samples.late, samples.in_parts, samples.lost], paged=True)
def status(dialogue: Dialogue) -> View:
    waiting, loan = dialogue.facts.open_loan, dialogue.facts.owed_loan
    if loan is None:
        return Go("borrow.amount" if waiting is None else "borrow.payout_pending")
    standing = dialogue.facts.standing(loan)
    lines = [
        pgettext("loan.status", "Loan %(ref)s") % {"ref": loan.reference},
        owing.owed(loan, standing, dialogue.facts.today),
        _when(dialogue, loan, standing),
    ]
    return Menu(
        "\n".join(line for line in lines if line),
        [
            Choice(pgettext("loan.status", "Mini-statement"), "loan.statement"),
            Choice(pgettext("loan.status", "Repay"), "repay.menu"),
            Choice(pgettext("loan.status", "Did it go through?"), "loan.last"),
            *_promise(dialogue, loan, standing),
            *([Choice(pgettext("loan.status", "More time"), "plan.menu")] if loan.state == Loan.State.LIVE else []),
            *([Choice(pgettext("loan.status", "Why I am late"), "late.why")] if late.is_late(dialogue) else []),
        ],
    )


def _when(dialogue: Dialogue, loan: Loan, standing: Standing | None) -> str:
    """Say in how many days the next part is due, or how many days late it is."""
    if standing is None or loan.state != Loan.State.LIVE:
        return ""
    left = (standing.next_on - dialogue.facts.today).days
    if left < 0:
        return npgettext("loan.status", "%(days)d day late", "%(days)d days late", -left) % {"days": -left}
    if not left:
        return pgettext("loan.status", "Due today")
    return npgettext("loan.status", "In %(days)d day", "In %(days)d days", left) % {"days": left}


def _promise(dialogue: Dialogue, loan: Loan, standing: Standing | None) -> list[Choice]:
    """Offer a promise to who cannot pay what is late or due today."""
    if loan.state == Loan.State.LIVE and standing and standing.next_on > dialogue.facts.today:
        return []
    return [Choice(pgettext("loan.status", "Promise to pay"), "plan.promise")]


@screen("loan.last", samples=[samples.owing, samples.prompted, samples.not_paid, samples.fresh], tries=("98", "x"))
def last(dialogue: Dialogue) -> View:
    """Did it go through? What was asked for and what moved in the last day, also what took nothing so far."""
    prompt, since = dialogue.facts.last_prompt, dialogue.at - LATELY
    told = [_prompt_line(prompt)] if prompt and prompt.state != PaymentIntent.State.SUCCEEDED else []
    moved = [_line(line) for line in dialogue.facts.statement if line.at >= since]
    return Read(told + moved or [pgettext("loan.last", "Nothing in the last 24 hours.")])


def _prompt_line(prompt: PaymentIntent) -> str:
    values = {"time": words.clock(prompt.created_at), "amount": words.amount(prompt.amount_cents, prompt.currency)}
    if prompt.state == PaymentIntent.State.OPEN:
        return pgettext("loan.last", "%(time)s asked for %(amount)s: no answer yet") % values
    return pgettext("loan.last", "%(time)s asked for %(amount)s: nothing was taken") % values


@screen("loan.statement", samples=[samples.owing], tries=("98", "x"))
def statement(dialogue: Dialogue) -> View:
    items = statement_lines(dialogue) or [pgettext("loan.statement", "Nothing has happened yet.")]
    return Read(items, (Choice(pgettext("loan.statement", "Did it go through?"), "loan.last"),))


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


# --- the limit ------------------------------------------------------------------------------------------------
@screen("loan.limit", samples=[samples.fresh, *samples.limit_moves()], paged=True)
def limit(dialogue: Dialogue) -> View:
    """The limit, what moved it last, and what moves it next."""
    borrower, version = dialogue.facts.known, dialogue.facts.offer.product_version
    more_cents = limits.after_a_clean_loan_cents(borrower, version)
    values = {
        "limit": words.amount(borrower.offered_limit_cents, version.currency),
        "more": words.amount(more_cents, version.currency),
    }
    if more_cents > borrower.limit_cents:
        coming = pgettext("loan.limit", "Next loan repaid on time: %(more)s. Late: it goes down.")
    else:
        coming = pgettext("loan.limit", "It is at its highest. Late: it goes down.")
    lines = [
        pgettext("loan.limit", "Your limit is %(limit)s.") % values,
        *_last_move(dialogue.facts.last_limit_move),
        coming % values,
    ]
    return Menu("\n".join(lines), (Choice(pgettext("loan.limit", "Ask for less"), "settings.limit"),))


def _last_move(move: AuditEvent | None) -> list[str]:
    """Say what moved the limit last, and when."""
    if move is None:
        return []
    values = {"day": words.day(calendar.business_date(move.happened_at, settings.TIME_ZONE))}
    if move.action == "limit_chosen":
        return [pgettext("loan.limit", "You chose it on %(day)s.") % values]
    if move.action == "limit_taken_back":
        return [pgettext("loan.limit", "It changed on %(day)s: a payment was taken back.") % values]
    if move.detail["rung"] > move.detail["rung_before"]:
        return [pgettext("loan.limit", "It went up on %(day)s: you repaid on time.") % values]
    return [pgettext("loan.limit", "It went down on %(day)s: a loan was late.") % values]
