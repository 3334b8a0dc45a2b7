"""Settling with the partner who holds savings: the file of what we ask, and the file of what was done.

A difference books nothing and becomes a case: the partner has the money, so a person finds out which book is
wrong. Source: docs/domain/savings.md, "Settlement file".
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from lending.models import (
    Borrower,
    Case,
    SavingsInstruction,
    SavingsMovement,
    SettlementFile,
    SettlementLine,
)
from lending.rules import calendar
from lending.rules.settlement_file import Answer, Asked, read_answers, write_asked
from lending.selectors import savings as selectors
from lending.services import cases, savings_instructions
from lending.services.people import lock_person

# A partner settles daily; two days of silence are no accident.
SILENCE = timedelta(days=2)


class Differs(Exception):
    """A line of the partner's is not what our book says."""


def file_of_asked(partner: str) -> str:
    """Return the file for a partner: each open instruction and each credit of interest he has not confirmed.

    What he does not answer is in the next file again, under the same reference. What would go out to a number that
    stands still waits until a person has checked.
    """
    zone = settings.TIME_ZONE
    asked = [
        Asked(
            row.reference,
            row.account_id,
            row.kind,
            row.amount_cents,
            calendar.business_date(row.instructed_at, zone),
        )
        for row in selectors.open_instructions(partner)
        if not _stands_still(row)
    ]
    credits = [
        Asked(row.reference, row.account_id, row.kind, row.amount_cents, calendar.business_date(row.moved_at, zone))
        for row in selectors.interest_to_confirm(partner)
    ]
    return write_asked(asked + credits)


def _stands_still(row: SavingsInstruction) -> bool:
    owner = row.member.borrower if row.member else row.account.borrower
    return row.kind != SavingsInstruction.Kind.DEPOSIT and owner is not None and bool(owner.hold)


@transaction.atomic
def take_file(*, partner: str, name: str, text: str, actor: Any, at: datetime) -> SettlementFile:
    """Take in a partner's file: confirm, reject, and open a case for each line that differs.

    Repeats safely: the same content again returns the file on record.

    Raises:
        FileRefused: it cannot be read; nothing of it was taken.
    """
    answers = read_answers(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    file, created = SettlementFile.objects.get_or_create(
        partner=partner,
        sha256=digest,
        defaults={"name": name[:120], "taken_at": at, "taken_by": actor},
    )
    if not created:
        return file
    _lock_payers(answers)
    # In one order, so that two files at once wait for each other instead of standing in each other's way.
    result = Counter(_take(file, answer, at) for answer in sorted(answers, key=lambda answer: answer.account))
    file.result = dict(result)
    file.save(update_fields=["result"])
    return file


def _lock_payers(answers: Iterable[Answer]) -> None:
    """Lock everybody whose payments a file moves before any account, as a payment does: two members of one group
    would wait for each other otherwise."""
    asked = [answer.reference for answer in answers]
    moved = Q(receipts__saving__reference__in=asked) | Q(refunds__instruction__reference__in=asked)
    for payer in Borrower.objects.filter(moved).distinct().order_by("id"):
        lock_person(payer)


def _take(file: SettlementFile, answer: Answer, at: datetime) -> str:
    """Take one line and say what became of it: confirmed, rejected, repeated or differs."""
    try:
        with transaction.atomic():
            return _settle(file, answer, at)
    except (Differs, savings_instructions.InstructionMismatch) as difference:
        cases.open_case(
            kind=Case.Kind.SAVINGS_MISMATCH,
            subject_key=f"settlement:{file.partner}:{answer.partner_reference}",
            note=str(difference),
            at=at,
        )
        return "differs"


def _settle(file: SettlementFile, answer: Answer, at: datetime) -> str:
    movement = SavingsMovement.objects.filter(reference=answer.reference).first()
    if movement is not None:
        _refuse_other(movement, answer, file.partner, movement.kind)
        return _confirm(file, movement, answer)
    instruction = SavingsInstruction.objects.filter(reference=answer.reference).first()
    if instruction is None:
        raise Differs(f"{answer.reference}: we know no such reference; {answer.kind} of {answer.amount_cents}")
    _refuse_other(instruction, answer, file.partner, instruction.kind)
    if answer.outcome == "rejected":
        repeated = instruction.state == SavingsInstruction.State.REJECTED
        savings_instructions.reject_instruction(reference=answer.reference, at=at)
        return "repeated" if repeated else "rejected"
    taken = SavingsMovement.objects.filter(reference=answer.partner_reference).first()
    if taken is not None and taken.instruction_id != instruction.id:
        raise Differs(f"{answer.partner_reference}: confirmed another movement before")
    booked = savings_instructions.confirm_instruction(
        reference=answer.reference,
        amount_cents=answer.amount_cents,
        partner_reference=answer.partner_reference,
        moved_at=min(at, calendar.end_of(answer.value_on, settings.TIME_ZONE)),
        value_on=answer.value_on,
        at=at,
    )
    return _confirm(file, booked, answer)


def _refuse_other(ours: SavingsMovement | SavingsInstruction, answer: Answer, partner: str, kind: str) -> None:
    """Refuse a line that is about another account, kind, amount or partner than the row of ours that it names."""
    said = (answer.account, answer.kind, answer.amount_cents, partner)
    known = (ours.account_id, kind, ours.amount_cents, ours.account.partner)
    if said != known:
        raise Differs(f"{answer.reference}: partner says {said}, we say {known}"[:500])
    if isinstance(ours, SavingsMovement) and answer.outcome == "rejected":
        raise Differs(f"{answer.reference}: rejected, but it is in our book already")


def _confirm(file: SettlementFile, movement: SavingsMovement, answer: Answer) -> str:
    line, created = SettlementLine.objects.get_or_create(
        movement=movement, defaults={"file": file, "partner_reference": answer.partner_reference}
    )
    if not created and line.partner_reference != answer.partner_reference:
        raise Differs(
            f"{answer.reference}: confirmed as {line.partner_reference}, now as {answer.partner_reference}"
        )
    return "confirmed" if created else "repeated"


def chase_silence(*, partner: str, at: datetime) -> int:
    """Open a case for each instruction that was not answered for too long; return how many there are."""
    silent = selectors.open_instructions(partner).filter(instructed_at__lt=at - SILENCE)
    for instruction in silent:
        cases.open_case(
            kind=Case.Kind.SAVINGS_SILENCE,
            subject_key=f"instruction:{instruction.id}",
            note=f"{instruction.reference} of {instruction.amount_cents} is not answered",
            borrower=instruction.account.borrower,
            at=at,
        )
    return len(silent)
