"""Changes of a loan after it was made: more time, less to pay, giving up, undoing.

Each is one fact that the rules play. What would cost the lender money or undo history takes two people
(lending.services.proposals); what the product grants the borrower takes none. Every change can be looked at
before it is made, by the same calculator.

Source: docs/domain/changes.md; who has to agree: docs/operations.md, "Two people".
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Borrower, Case, Installment, Loan, LoanEvent, Receipt
from lending.rules import calendar
from lending.rules.accounting import REFINANCING
from lending.rules.facts import Fact, FactRefused, Life
from lending.rules.life import play
from lending.selectors import contracts, loans, products, refinancing
from lending.services import audit, cases, deposits, life, proposals, receipts, refunds, requests
from lending.services.people import lock_person

# What takes a second person, and what it is called in the trail of acts.
TWO_PEOPLE = ("waive", "settle", "reverse", "write_off", "charge_off", "charge", "reschedule")
# What the product or the law grants: the borrower, or one officer on their behalf.
GRANTED = ("skip", "extend", "cancel", "death")
# What the customer is told by SMS when it is done; it answers a wish for another date, too.
TOLD = ("skip", "extend", "cancel", "reschedule")
# What somebody asks who owes something; paid since the loan was looked up, they ask for nothing.
ASKED_BY_WHO_OWES = ("skip", "extend", "cancel")
MOST_WISHED_DAYS = 31


class TwoPeopleNeeded(Exception):
    """This change is proposed by one person and approved by another."""


class NotALoanToChange(Exception):
    """The loan is in a state in which this change means nothing. The text says which."""


def preview(loan: Loan, kind: str, details: Mapping[str, Any], on: date) -> dict[str, Any]:
    """Say what a change on a day would do, without doing it: what is owed before and after, and the new dates.

    A settlement is shown as it will be when the agreed amount has come.

    Raises:
        FactRefused: the change cannot be made, with the field that is wrong.
        NotALoanToChange: there is nothing to change, yet or any more.
        RefinancingUnderWay: a new loan is on its way to pay it off.
        RefundUnderWay: what would be undone is just being given back.
    """
    _refuse_what_cannot_be(loan, kind, details)
    facts = contracts.facts_of(life.events_of(loan))
    change = [contracts.fact_of("change", kind, _counts_on(loan, kind, details, on), details)]
    if kind == LoanEvent.Kind.SETTLE:
        change.append(Fact("change:paid", "pay", on, contracts.LAST, change[0].amount_cents))
    contract = contracts.contract_of(loan)
    before = play(contract, facts, on)
    if kind in ASKED_BY_WHO_OWES and not before.owed_of:
        raise NotALoanToChange(f"loan {loan.reference} owes nothing any more")
    return {
        "on": on.isoformat(),
        "before": _seen(before),
        "after": _seen(play(contract, [*facts, *change], on)),
    }


def _seen(lived: Life) -> dict[str, Any]:
    due_on = {item.number: item.due_on for item in lived.installments}
    return {
        "state": lived.state,
        "outstanding_cents": lived.outstanding_cents,
        "owed": asdict(lived.owed),
        "kept_cents": lived.kept_cents,
        "days_past_due": lived.days_past_due,
        "restructured": lived.restructured,
        "schedule": sorted([due_on[number].isoformat(), owed.total] for number, owed in lived.owed_of.items()),
        "balances": lived.balances(),
    }


def _counts_on(loan: Loan, kind: str, details: Mapping[str, Any], on: date) -> date:
    """Return from which day a change counts: from the one on which it is made, a death from the day of death or,
    of a loan that was paid out later, from that day."""
    died_on = details.get("died_on") if kind == LoanEvent.Kind.DEATH else None
    if died_on is None:
        return on
    if date.fromisoformat(died_on) > on:
        raise FactRefused(kind, "died_on", "must not be a day ahead", died_on)
    return max(date.fromisoformat(died_on), _paid_out_on(loan))


# In which states a change means something; all but these need a live loan.
_STATES = {
    # It may have been paid since, with charges to give back.
    LoanEvent.Kind.DEATH: (Loan.State.LIVE, Loan.State.SETTLED),
    LoanEvent.Kind.WRITE_OFF: (Loan.State.LIVE, Loan.State.CHARGED_OFF),
    LoanEvent.Kind.REVERSE: (
        Loan.State.LIVE,
        Loan.State.SETTLED,
        Loan.State.CHARGED_OFF,
        Loan.State.WRITTEN_OFF,
        Loan.State.CANCELLED,
    ),
}


def offered(loan: Loan) -> list[str]:
    """Return the kinds of change that mean something for a loan as it stands, in the order of the menus."""
    terms = products.terms_of(loan.product_version)
    granted = {"skip": terms.skips, "extend": terms.extension, "cancel": terms.cooling_off_days}
    granted["death"] = loan.state == Loan.State.LIVE
    return [kind for kind in (*TWO_PEOPLE, *GRANTED) if _fits(loan, kind) and granted.get(kind, True)]


def granted(loan: Loan, on: date) -> list[str]:
    """Return what the product grants the borrower of a loan on a day, and has not granted as often as it may."""
    terms = products.terms_of(loan.product_version)
    standing = loan.events.filter(reversed_by=None, kind__in=("skip", "extend")).values_list("kind", flat=True)
    made = Counter(standing)
    last = _paid_out_on(loan) + timedelta(days=terms.cooling_off_days)
    holds = {
        "extend": terms.extension is not None and made["extend"] < terms.extension.most_times,
        "skip": made["skip"] < terms.skips and _has_date_ahead(loan, on),
        "cancel": bool(terms.cooling_off_days) and on <= last and loan.stopped_on is None,
    }
    return [kind for kind, held in holds.items() if held and _fits(loan, kind)]


def _paid_out_on(loan: Loan) -> date:
    return calendar.business_date(loan.disbursed_at, settings.TIME_ZONE) if loan.disbursed_at else date.min


def _has_date_ahead(loan: Loan, on: date) -> bool:
    ahead = (item for item, _ in loans.dues(loan) if item.due_on > on)
    return any(item.source == Installment.Source.PLAN for item in ahead)


def _fits(loan: Loan, kind: str) -> bool:
    return loan.state in _STATES.get(LoanEvent.Kind(kind), (Loan.State.LIVE,))


def undoable(loan: Loan) -> list[LoanEvent]:
    """Return the facts of a loan that may be undone, the latest first."""
    standing = loan.events.filter(reversed_by=None).exclude(kind__in=(*_MONEY_OUT, LoanEvent.Kind.REVERSE))
    standing = standing.exclude(details__account=REFINANCING)
    return list(standing.select_related("repayment__receipt").order_by("-happened_at", "-id"))


def _refuse_what_cannot_be(loan: Loan, kind: str, details: Mapping[str, Any]) -> None:
    if not _fits(loan, kind):
        raise NotALoanToChange(f"loan {loan.reference} is {loan.get_state_display().lower()}")
    if new := refinancing.under_way(loan.id):
        raise refinancing.RefinancingUnderWay(new)
    if kind == LoanEvent.Kind.SETTLE and not details.get("due_on"):
        raise FactRefused(kind, "due_on", "must say until when the agreed amount may come")
    if kind == LoanEvent.Kind.REVERSE:
        refunds.refuse_while_under_way(loan.borrower)
    if kind == LoanEvent.Kind.REVERSE:
        undone = _undone(loan, details)
        if undone.kind in _MONEY_OUT or undone.details.get("account") == REFINANCING:
            raise FactRefused(kind, "of", "must not name money that went out: only the operator brings it back")


_MONEY_OUT = (LoanEvent.Kind.DISBURSE, LoanEvent.Kind.REFUND)


@transaction.atomic
def change_loan(
    *,
    loan_id: int,
    kind: str,
    origin: str,
    at: datetime,
    details: Mapping[str, Any] | None = None,
    actor: Any = None,
    reason: str = "",
) -> Loan:
    """Make a change that the product or the law grants; `origin` names the wish, so the same one counts once.

    Raises:
        TwoPeopleNeeded: it has to be proposed.
        FactRefused: the product does not grant it (any more).
        NotALoanToChange: there is nothing to change, yet or any more.
    """
    if kind not in GRANTED:
        raise TwoPeopleNeeded(kind)
    loan = _change(loan_id, kind, origin, details or {}, at=at, actor=actor, reason=reason)
    if kind == LoanEvent.Kind.DEATH:
        # Nobody lends to them again, and no menu greets them.
        Borrower.objects.filter(identity_index=loan.identity_index).update(state=Borrower.State.DECEASED)
    return loan


@transaction.atomic
def wish_another_date(*, loan_id: int, due_on: date, at: datetime) -> Case:
    """Ask officers to move the next date of a loan to another day; one of them proposes it and another decides.

    Repeats safely: while the wish waits, it is the same case.

    Raises:
        FactRefused: the day is not ahead, or further than MOST_WISHED_DAYS.
        NotALoanToChange: there is nothing to change, yet or any more.
    """
    loan = contracts.with_contract().get(id=loan_id)
    lock_person(loan.borrower)
    on = calendar.business_date(at, settings.TIME_ZONE)
    if not on < due_on <= on + timedelta(days=MOST_WISHED_DAYS):
        raise FactRefused("wish", "due_on", f"must be within {MOST_WISHED_DAYS} days", due_on)
    _refuse_what_cannot_be(loan, LoanEvent.Kind.RESCHEDULE, {})
    case = cases.open_case(
        kind=Case.Kind.PLAN_WISH,
        subject_key=f"loan:{loan.id}",
        note=f"loan {loan.reference}: wishes to pay by {due_on}",
        borrower=loan.borrower,
        details={"loan_id": loan.id, "due_on": due_on.isoformat()},
        at=at,
    )
    outbox.write("plan_wish", reference=f"plan_wish:{case.id}", case_id=case.id, at=at)
    return case


@transaction.atomic
def keep_dates(*, case_id: int, officer: Any, resolution: str, at: datetime) -> Case:
    """Leave the dates of a loan as they are though its borrower wished another one, and tell them.

    Raises:
        NotOpen: the wish is answered already.
        AlreadyPending: another date waits for its second person.
        ValueError: no resolution was given.
    """
    case = requests.locked(case_id, Case.Kind.PLAN_WISH)
    for waiting in proposals.pending(case.subject_key):
        if waiting.act == "loan_reschedule":
            raise proposals.AlreadyPending(waiting)
    requests.close(case, officer=officer, resolution=resolution, at=at, is_told=False)
    outbox.write("dates_stay", reference=f"dates_stay:{case.id}", case_id=case.id, at=at)
    return case


def _answer_wish(loan: Loan, kind: str, actor: Any, at: datetime) -> None:
    """Close the wish for another date that a change of the plan answers; the customer is told of the change."""
    waiting = Case.objects.filter(kind=Case.Kind.PLAN_WISH, subject_key=f"loan:{loan.id}", closed_at__isnull=True)
    waiting.update(closed_at=at, closed_by=actor, resolution=f"the loan was changed: {kind}")


def propose_change(
    *, loan: Loan, kind: str, details: Mapping[str, Any], maker: Any, reason: str, at: datetime
) -> proposals.Proposal:
    """Propose a change that takes two people.

    Raises:
        ValueError: it takes no second person, or no reason was given.
        FactRefused, NotALoanToChange, AlreadyPending: as `preview` and `proposals.propose` say.
    """
    if kind not in TWO_PEOPLE:
        raise ValueError(f"kind must be one of {', '.join(TWO_PEOPLE)}, got {kind!r}")
    on = calendar.business_date(at, settings.TIME_ZONE)
    return proposals.propose(
        act=f"loan_{kind}",
        subject=f"loan:{loan.id}",
        details={"loan_id": loan.id, "kind": kind, "on": on.isoformat(), "fact": dict(details)},
        maker=maker,
        reason=reason,
        at=at,
        borrower=loan.borrower,
    )


def _preview_proposed(details: Mapping[str, Any]) -> dict[str, Any]:
    loan = contracts.with_contract().get(id=details["loan_id"])
    return preview(loan, details["kind"], details["fact"], date.fromisoformat(details["on"]))


def _carry_out(details: Mapping[str, Any], *, proposal: Any, at: datetime) -> None:
    """Make an approved change. It counts from the moment at which it was proposed and looked at."""
    _change(
        details["loan_id"],
        details["kind"],
        f"proposal:{proposal.id}",
        details["fact"],
        at=at,
        happened_at=proposal.made_at,
        actor=proposal.maker,
        reason=proposal.reason,
    )


for _kind in TWO_PEOPLE:
    proposals.act(f"loan_{_kind}", _preview_proposed, _carry_out)


# --- money that the operator took back ------------------------------------------------------------------------
RECEIPT_REVERSAL = "receipt_reverse"


def propose_receipt_reversal(*, receipt: Receipt, maker: Any, reason: str, at: datetime) -> proposals.Proposal:
    """Propose to take out of the books what the operator gave back to its payer.

    Raises:
        ValueError: no reason was given.
        NotCounted: it is out of the books already.
        AlreadyPending: as `proposals.propose` says.
    """
    on = calendar.business_date(at, settings.TIME_ZONE)
    return proposals.propose(
        act=RECEIPT_REVERSAL,
        subject=f"receipt:{receipt.id}",
        details={"receipt_id": receipt.id, "on": on.isoformat()},
        maker=maker,
        reason=reason,
        at=at,
        borrower=receipt.borrower,
    )


def preview_receipt_reversal(receipt_id: int, on: date) -> dict[str, Any]:
    """Say what taking a receipt out of the books would do, to its loan or to what is kept, without doing it.

    Raises:
        NotCounted: it is out of the books already.
        HandedOn: it is in somebody's savings.
    """
    receipt = Receipt.objects.get(id=receipt_id)
    if receipt.state == Receipt.State.REVERSED:
        raise receipts.NotCounted(receipt.receipt_no)
    deposits.refuse_handed_on(receipt)
    seen = {"receipt_state": receipt.state, "kept_cents": receipt.over_cents}
    repayment = getattr(receipt, "repayment", None)
    if repayment is None or hasattr(repayment.event, "reversed_by"):
        return seen | {"on": on.isoformat()}
    loan = contracts.with_contract().get(id=repayment.loan_id)
    return seen | preview(loan, "reverse", {"of": repayment.event.key}, on)


def _preview_reversal(details: Mapping[str, Any]) -> dict[str, Any]:
    return preview_receipt_reversal(details["receipt_id"], date.fromisoformat(details["on"]))


def _reverse_receipt(details: Mapping[str, Any], *, proposal: Any, at: datetime) -> None:
    receipts.reverse_receipt(receipt_id=details["receipt_id"], actor=proposal.maker, reason=proposal.reason, at=at)


proposals.act(RECEIPT_REVERSAL, _preview_reversal, _reverse_receipt)


# --- making a change ------------------------------------------------------------------------------------------
# How the trail of acts calls what was done, where it is not the name of the change.
_DONE = {"write_off": "written_off", "charge_off": "charged_off"}


def _change(
    loan_id: int,
    kind: str,
    origin: str,
    details: Mapping[str, Any],
    *,
    at: datetime,
    happened_at: datetime | None = None,
    actor: Any = None,
    reason: str = "",
) -> Loan:
    loan = contracts.with_contract().get(id=loan_id)
    lock_person(loan.borrower)
    loan.refresh_from_db()
    key = _key(loan.id, kind, origin)
    if LoanEvent.objects.filter(key=key).exists():
        return loan
    _refuse_what_cannot_be(loan, kind, details)
    day = _counts_on(loan, kind, details, calendar.business_date(at, settings.TIME_ZONE))
    undone = _undone(loan, details) if kind == LoanEvent.Kind.REVERSE else None
    if undone is not None and hasattr(undone, "repayment"):
        # The money is still with us; it waits in suspense for whoever it belongs to.
        receipts.release_receipt(receipt_id=undone.repayment.receipt_id, actor=actor, reason=reason, at=at)
        loan.refresh_from_db()
        return loan
    life.record(
        loan,
        key=key,
        kind=kind,
        happened_at=happened_at or min(at, calendar.end_of(day, settings.TIME_ZONE)),
        at=at,
        details={name: value for name, value in details.items() if name != "of"},
        undoes=undone,
        actor=actor,
        reason=reason,
    )
    audit.record(
        f"loan_{_DONE.get(kind, kind)}",
        subject=f"loan:{loan.id}",
        borrower=loan.borrower,
        actor=actor,
        reason=reason,
        at=at,
    )
    if kind in TOLD:
        outbox.write("loan_changed", reference=f"loan_changed:{key}", loan_id=loan.id, kind=kind, at=at)
        _answer_wish(loan, kind, actor, at)
    return loan


def _key(loan_id: int, kind: str, origin: str) -> str:
    return ":".join(part for part in (kind, "loan", str(loan_id), origin) if part)


def _undone(loan: Loan, details: Mapping[str, Any]) -> LoanEvent:
    event = loan.events.filter(key=details.get("of", "")).first()
    if event is None:
        raise FactRefused("reverse", "of", "must name a fact of this loan", details.get("of"))
    return event
