"""Two people for what could hurt: one proposes with a reason, another one looks at the preview and decides.

An act is a pair of functions: what it would change, and the change. Which acts there are is declared beside
them (`act`); who may propose and who may decide are permissions. Source: docs/operations.md, "Two people".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lending.models import Borrower, Proposal
from lending.services import audit
from lending.services.people import lock_person


class SamePerson(Exception):
    """Whoever proposes an act cannot be the one who approves it."""


class NotTheMaker(Exception):
    """Only whoever proposed an act can take the proposal back."""


class AlreadyPending(Exception):
    """The same act on the same subject waits for its second person already."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(f"{proposal} is waiting since {proposal.made_at:%Y-%m-%d %H:%M}")
        self.proposal = proposal


class NotPending(Exception):
    """Somebody has decided it already."""


class Overtaken(Exception):
    """What the proposal would change is not any more what its preview showed; it has to be proposed anew."""


@dataclass(frozen=True)
class Act:
    """`preview(details)` says what would change and raises what speaks against it; `carry_out` does it."""

    preview: Callable[[Mapping[str, Any]], dict[str, Any]]
    carry_out: Callable[..., Any]


ACTS: dict[str, Act] = {}


def act(name: str, preview: Callable[[Mapping[str, Any]], dict[str, Any]], carry_out: Callable[..., Any]) -> None:
    """Declare an act that takes two people."""
    ACTS[name] = Act(preview, carry_out)


@transaction.atomic
def propose(
    *,
    act: str,
    subject: str,
    details: Mapping[str, Any],
    maker: Any,
    reason: str,
    at: datetime,
    borrower: Borrower | None = None,
) -> Proposal:
    """Record an act for a second person to decide, with what it would change as of now.

    Raises:
        ValueError: no reason was given, or the act does not exist.
        AlreadyPending: the same act on the same subject is waiting.
        Whatever the act's own preview raises: it would be refused.
    """
    if not reason.strip():
        raise ValueError("a proposal needs a reason in words")
    if act not in ACTS:
        raise ValueError(f"act must be one of {', '.join(sorted(ACTS))}, got {act!r}")
    preview = ACTS[act].preview(details)
    waiting = Proposal.objects.filter(act=act, subject=subject, state=Proposal.State.PENDING)
    if known := waiting.first():
        raise AlreadyPending(known)
    try:
        with transaction.atomic():
            proposal = Proposal.objects.create(
                act=act,
                subject=subject,
                borrower=borrower,
                details=dict(details),
                preview=preview,
                maker=maker,
                reason=reason.strip()[:300],
                made_at=at,
            )
    except IntegrityError:
        raise AlreadyPending(waiting.get()) from None
    audit.record(f"{act}_proposed", subject=subject, borrower=borrower, actor=maker, reason=reason, at=at)
    return proposal


@transaction.atomic
def decide(*, proposal_id: int, checker: Any, approve: bool, remark: str = "", at: datetime) -> Proposal:
    """Approve and carry out a proposal, or refuse it. Repeats safely for the same checker and answer.

    Raises:
        SamePerson: the maker cannot be the checker.
        NotPending: it was decided otherwise.
        ValueError: a refusal needs a remark.
        Overtaken: things have changed since the preview; nothing is done.
    """
    proposal = _locked(proposal_id)
    state = Proposal.State.APPROVED if approve else Proposal.State.REFUSED
    if proposal.state == state and proposal.checker_id == checker.id:
        return proposal
    if proposal.state != Proposal.State.PENDING:
        raise NotPending(f"{proposal} is {proposal.get_state_display().lower()}")
    if proposal.maker_id == checker.id:
        raise SamePerson(f"{proposal} was proposed by {checker}")
    if not approve and not remark.strip():
        raise ValueError("a refusal needs a remark in words")
    proposal.state, proposal.checker, proposal.decided_at = state, checker, at
    proposal.remark = remark.strip()[:300]
    proposal.save(update_fields=["state", "checker", "remark", "decided_at"])
    if approve:
        _carry_out(proposal, at)
    audit.record(
        f"{proposal.act}_{state}",
        subject=proposal.subject,
        borrower=proposal.borrower,
        actor=checker,
        reason=remark,
        at=at,
    )
    return proposal


@transaction.atomic
def withdraw(*, proposal_id: int, maker: Any, at: datetime) -> Proposal:
    """Take a proposal back, also one that events have overtaken; nothing is done. Repeats safely.

    Raises:
        NotTheMaker: only whoever proposed it takes it back; anybody else refuses it.
        NotPending: it was decided.
    """
    proposal = _locked(proposal_id)
    if proposal.maker_id != maker.id:
        raise NotTheMaker(f"{proposal} was proposed by {proposal.maker}")
    if proposal.state == Proposal.State.WITHDRAWN:
        return proposal
    if proposal.state != Proposal.State.PENDING:
        raise NotPending(f"{proposal} is {proposal.get_state_display().lower()}")
    proposal.state, proposal.decided_at = Proposal.State.WITHDRAWN, at
    proposal.save(update_fields=["state", "decided_at"])
    audit.record(
        f"{proposal.act}_withdrawn",
        subject=proposal.subject,
        borrower=proposal.borrower,
        actor=maker,
        reason=proposal.reason,
        at=at,
    )
    return proposal


def pending(subject: str) -> list[Proposal]:
    """Return what waits for a second person about a record, the oldest first."""
    waiting = Proposal.objects.filter(subject=subject, state=Proposal.State.PENDING)
    return list(waiting.select_related("maker").order_by("made_at"))


def overtaken(proposal: Proposal) -> Exception | None:
    """Return what speaks against a proposal now, or that it would not do what its preview showed; None if all
    is as it was."""
    try:
        now = ACTS[proposal.act].preview(proposal.details)
    except Exception as refusal:  # noqa: BLE001 - whatever speaks against it now did not when it was proposed
        return refusal
    if now == proposal.preview:
        return None
    return Overtaken(f"{proposal} would not do any more what its preview showed")


def _locked(proposal_id: int) -> Proposal:
    """Lock the person first: no payment of theirs comes between the look at the preview and the act."""
    proposal = Proposal.objects.select_related("borrower").get(id=proposal_id)
    if proposal.borrower is not None:
        lock_person(proposal.borrower)
    return Proposal.objects.select_for_update().get(id=proposal_id)


def _carry_out(proposal: Proposal, at: datetime) -> None:
    declared = ACTS[proposal.act]
    if (why := overtaken(proposal)) is not None:
        raise Overtaken(str(why)) from why
    declared.carry_out(proposal.details, proposal=proposal, at=at)
