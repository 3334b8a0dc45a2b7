"""Reading about loans: what is open, what is owed, what happened."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

from django.db.models import Case, OuterRef, Q, QuerySet, Sum, When

from lending.models import Allocation, Application, Draw, Installment, Loan, PaymentIntent, Receipt
from lending.prepared import Prepared
from lending.rules import arrears
from lending.rules import standing as rules
from lending.rules.allocation import KINDS, Due
from lending.rules.standing import Standing
from lending.selectors.deposits import SAVED


@dataclass(frozen=True)
class StatementLine:
    """One movement for the mini-statement. `kind` is paid_out, refinanced (paid off by a new loan), repaid or,
    of the last event only, saved."""

    at: datetime
    kind: str
    amount_cents: int
    reference: str


def open_loan(borrower_id: int) -> Loan | None:
    """Return the borrower's one open loan: payout under way, or live. The live one, where another is on its way
    that pays it off."""
    mine = Loan.objects.filter(borrower_id=borrower_id, state__in=Loan.OPEN).select_related("product_version")
    return mine.order_by("-state").first()


def open_loan_of_person(identity_index: str, beside: Loan | None = None) -> Loan | None:
    """Return the open loan of the person behind a national ID, on whichever SIM they took it; one `beside` it is
    left out."""
    mine = Loan.objects.filter(identity_index=identity_index, state__in=Loan.OPEN)
    others = mine if beside is None else mine.exclude(id=beside.id)
    return others.order_by("-state").first()


def loan_to_repay(identity_index: str) -> Loan | None:
    """Return the loan that a person's money goes to: the live one, else one charged off, else the first that was
    written off, on whichever of their numbers."""
    return _LOAN_TO_REPAY.first(identity_index=identity_index)


def loan_of_person(identity_index: str) -> Loan | None:
    """Return what a person, on whichever of their numbers, has as their loan: the live one, one that is on its
    way, or one that was lost and is still owed."""
    return _LOAN_OF_PERSON.first(identity_index=identity_index)


def loans_of(identity_index: str | OuterRef) -> "QuerySet[Loan]":
    """Return the loans of a person that are open or still owed, the one that `loan_of_person` returns first."""
    turn = {Loan.State.LIVE: 0, Loan.State.APPROVED: 1, Loan.State.CHARGED_OFF: 2, Loan.State.WRITTEN_OFF: 3}
    mine = Loan.objects.filter(identity_index=identity_index, state__in=turn)
    open_or_owed = Q(state__in=Loan.OPEN) | Q(outstanding_cents__gt=0) | Q(written_off_cents__gt=0)
    in_turn = Case(*(When(state=state, then=place) for state, place in turn.items()))
    found = mine.filter(open_or_owed).select_related("product_version", "country_pack", "borrower")
    return found.order_by(in_turn, "written_off_at", "id")


_LOAN_OF_PERSON: Prepared[Loan] = Prepared(lambda identity_index: loans_of(identity_index)[:1], identity_index=str)
_LOAN_TO_REPAY: Prepared[Loan] = Prepared(
    lambda identity_index: loans_of(identity_index).exclude(state=Loan.State.APPROVED)[:1], identity_index=str
)


def undecided_application(borrower_id: int) -> Application | None:
    """Return the application that is still with the computer or with an officer."""
    return undecided_applications(borrower_id).first()


def undecided_applications(borrower_id: int | OuterRef) -> "QuerySet[Application]":
    """Return the applications of a borrower that are still with the computer or with an officer."""
    undecided = [Application.State.SUBMITTED, Application.State.REFERRED]
    return Application.objects.filter(borrower_id=borrower_id, state__in=undecided)


def dues(loan: Loan) -> list[tuple[Installment, Due]]:
    """Return what is still owed of each installment, oldest first; paid-up installments are left out."""
    items = _INSTALLMENTS.all(loan_id=loan.id)
    owed = ((item, as_due(item).minus(Due(*(getattr(item, _covered(kind)) for kind in KINDS)))) for item in items)
    return [(item, due) for item, due in owed if due.total]


def _covered(kind: str) -> str:
    return f"covered_{kind}_cents"


# What was agreed of each installment of a loan, and what of it is covered.
_INSTALLMENTS: Prepared[Installment] = Prepared(
    lambda loan_id: (
        Installment.objects.filter(loan_id=loan_id)
        .annotate(**{_covered(kind): Sum(f"allocations__{kind}_cents", default=0) for kind in KINDS})
        .order_by("number")
    ),
    loan_id=int,
)


def as_due(row: Installment | Allocation) -> Due:
    """Return the amounts of an installment as agreed, or of an allocation as covered, by kind."""
    return Due(*(getattr(row, f"{kind}_cents") for kind in KINDS))


def days_past_due(loan: Loan, on: date) -> int:
    """Count days late from the facts, not from the stored figure."""
    return arrears.days_past_due([item.due_on for item, _ in dues(loan)], on)


def standing(loan: Loan, on: date) -> Standing | None:
    """Return what is to be paid next of a loan, and what in all; None: nothing is owed by a date."""
    return rules.standing(((item.due_on, due.total) for item, due in dues(loan)), on)


def statement(borrower_id: int, limit: int = 5) -> list[StatementLine]:
    """Return the newest movements, newest first."""
    newest = _newest_of(limit)
    loans = newest.loans.all(borrower_id=borrower_id)
    draws = newest.draws.all(borrower_id=borrower_id)
    paid_out = [
        *((loan.disbursed_at, loan, loan) for loan in loans),
        *((draw.paid_out_at, draw, draw.loan) for draw in draws),
    ]
    lent = (StatementLine(at, "paid_out", paid.received_cents, loan.reference) for at, paid, loan in paid_out if at)
    refinanced = (
        StatementLine(loan.disbursed_at, "refinanced", loan.refinanced_cents, loan.refinances.reference)
        for loan in newest.paid_off.all(borrower_id=borrower_id)
        if loan.disbursed_at and loan.refinances
    )
    repaid = (
        StatementLine(receipt.paid_at, "repaid", receipt.amount_cents, receipt.receipt_no)
        for receipt in newest.receipts.all(borrower_id=borrower_id)
    )
    return _newest([*lent, *refinanced, *repaid], limit)


@dataclass(frozen=True)
class _Newest:
    """So many of the newest of what a statement is made of."""

    loans: Prepared[Loan]
    draws: Prepared[Draw]
    paid_off: Prepared[Loan]
    receipts: Prepared[Receipt]


@cache
def _newest_of(limit: int) -> _Newest:
    def made(borrower_id: int) -> "QuerySet[Loan]":
        mine = Loan.objects.filter(borrower_id=borrower_id, disbursed_at__isnull=False, credit_limit_cents=None)
        return mine.order_by("-disbursed_at")

    def drawn(borrower_id: int) -> "QuerySet[Draw]":
        mine = Draw.objects.filter(loan__borrower_id=borrower_id, paid_out_at__isnull=False).select_related("loan")
        return mine.order_by("-paid_out_at")[:limit]

    def paid_off(borrower_id: int) -> "QuerySet[Loan]":
        return made(borrower_id).filter(refinances__isnull=False).select_related("refinances")[:limit]

    def paid_in(borrower_id: int) -> "QuerySet[Receipt]":
        mine = Receipt.objects.filter(borrower_id=borrower_id, reversed_at=None).exclude(SAVED)
        return mine.order_by("-paid_at")[:limit]

    return _Newest(
        Prepared(lambda borrower_id: made(borrower_id)[:limit], borrower_id=int),
        Prepared(drawn, borrower_id=int),
        Prepared(paid_off, borrower_id=int),
        Prepared(paid_in, borrower_id=int),
    )


def _newest(lines: Iterable[StatementLine], limit: int) -> list[StatementLine]:
    return sorted(lines, key=lambda line: line.at, reverse=True)[:limit]


def last_event(borrower_id: int, since: datetime) -> StatementLine | None:
    """Return the newest movement after a moment, also into savings: "did it go through?" on the first screen."""
    paid_in = _LAST_SAVED.all(borrower_id=borrower_id)
    saved = (StatementLine(one.paid_at, "saved", one.amount_cents, one.receipt_no) for one in paid_in)
    lines = _newest([*statement(borrower_id, limit=1), *saved], 1)
    return lines[0] if lines and lines[0].at >= since else None


_LAST_SAVED: Prepared[Receipt] = Prepared(
    lambda borrower_id: Receipt.objects.filter(SAVED, borrower_id=borrower_id).order_by("-paid_at")[:1],
    borrower_id=int,
)


def pending_prompt(msisdn: str) -> PaymentIntent | None:
    """Return the prompt that is on its way to a phone or on it, whatever it is for: one at a time."""
    return _PENDING.first(msisdn=msisdn)


def last_prompt(msisdn: str, since: datetime) -> PaymentIntent | None:
    """Return the newest prompt to a phone since a moment, whatever became of it."""
    return _LAST_PROMPT.first(msisdn=msisdn, since=since)


_PENDING: Prepared[PaymentIntent] = Prepared(
    lambda msisdn: PaymentIntent.objects.filter(
        msisdn=msisdn, purpose__in=PaymentIntent.PROMPTS, state=PaymentIntent.State.OPEN
    ).order_by("id")[:1],
    msisdn=str,
)
_LAST_PROMPT: Prepared[PaymentIntent] = Prepared(
    lambda msisdn, since: (
        PaymentIntent.objects.filter(msisdn=msisdn, purpose=PaymentIntent.Purpose.COLLECT, created_at__gte=since)
        .select_related("borrower")
        .order_by("-created_at", "-id")[:1]
    ),
    msisdn=str,
    since=datetime,
)
