"""Forgetting somebody: what may go goes at once, what the law keeps goes when its time is over.

Nothing that moved money is deleted: the books must still add up. What goes is everything that says whose it was.
Source: docs/domain/data_rights.md, "Erasing".
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from lending import outbox, ports
from lending.fields import blind_index
from lending.models import (
    Agent,
    Application,
    Borrower,
    Case,
    Consent,
    Erasure,
    GroupMember,
    LateReason,
    LimitRaise,
    Loan,
    NextOfKin,
    PaymentIntent,
    Proposal,
    ProviderEvent,
    Receipt,
    Refund,
    SavingsAccount,
    SweepMandate,
    WalletMovement,
)
from lending.rules import calendar
from lending.selectors import erasing as selectors
from lending.services import audit
from lending.services.people import lock_person

logger = logging.getLogger(__name__)

# Country code 999 belongs to nobody, so no phone ever has such a number.
NOBODYS_NUMBER = "999{:010d}"
NAMELESS = "Erased"
# Every table that points to a borrower, and what becomes of its rows; a test holds it complete.
ERASED = "rows go at once"
EMPTIED = "rows stay, and what says whose they were is emptied"
ANONYMOUS = "rows stay, and say nothing but by whom, which nobody can tell any more"
RELATIONS = {
    "AccessRecord": ANONYMOUS,
    "Agent": ANONYMOUS,
    "Application": EMPTIED,
    "AuditEvent": ANONYMOUS,
    "BookEntry": ERASED,
    "CampaignMember": ANONYMOUS,
    "Case": EMPTIED,
    "Consent": ANONYMOUS,
    "Erasure": ANONYMOUS,
    "GroupMember": EMPTIED,
    "LateReason": ERASED,
    "LimitRaise": ANONYMOUS,
    "Loan": EMPTIED,
    "NextOfKin": ERASED,
    "PaymentIntent": EMPTIED,
    "Posting": ANONYMOUS,
    "Promise": ANONYMOUS,
    "Proposal": EMPTIED,
    "Receipt": EMPTIED,
    "Refund": EMPTIED,
    "SavingsAccount": EMPTIED,
    "Sms": ERASED,
    "WalletMovement": ERASED,
}


# What one reports of somebody else: an officer settles it by the number that it is about.
ABOUT_OTHERS = (Case.Kind.DEATH, Case.Kind.LOST_PHONE)
OBSTACLES = ("undecided", "loan", "payment", "kept", "savings", "request", "group")
# By then the dialogue in which it was asked is over, so that nothing writes about it afterwards.
SOON = timedelta(minutes=5)


class NotYet(Exception):
    """Something has to end before: undecided, loan, payment, kept, savings, request, group, or held."""

    def __init__(self, obstacle: str) -> None:
        super().__init__(obstacle)
        self.obstacle = obstacle


@transaction.atomic
def ask_to_erase(*, borrower_id: int, at: datetime) -> None:
    """Owe the erasing of a person at their own word, in a few minutes. Repeats safely.

    Raises:
        NotYet: money is owed, on its way or kept.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    if why := selectors.obstacle(borrower.identity_index):
        raise NotYet(why)
    outbox.write(
        "erasure_asked", reference=f"erasure_asked:{borrower_id}:{at.isoformat()}", at=at, due_at=at + SOON,
        borrower_id=borrower_id,
    )  # fmt: skip


def erase_from_outbox(*, topic: str, payload: dict[str, Any], at: datetime) -> None:
    """Handle the outbox row of a wish to be forgotten. What came in between keeps the account as it is."""
    try:
        erase(borrower_id=payload["borrower_id"], at=at)
    except NotYet as error:
        borrower = Borrower.objects.get(id=payload["borrower_id"])
        audit.record(
            "erasure_overtaken", subject=f"borrower:{borrower.id}", borrower=borrower, at=at, by=error.obstacle
        )


@transaction.atomic
def erase(*, borrower_id: int, at: datetime) -> Erasure:
    """Forget a person on all their numbers, at their own word and as far as the law lets us today.

    The account closes, agreements end, nobody is written to any more. Repeats safely.

    Raises:
        NotYet: money is owed, on its way or kept.
    """
    asked = Borrower.objects.get(id=borrower_id)
    lock_person(asked)
    if known := Erasure.objects.filter(borrower_id=borrower_id).first():
        return known
    if why := selectors.obstacle(asked.identity_index):
        raise NotYet(why)
    if Borrower.objects.filter(identity_index=asked.identity_index).exclude(hold="").exists():
        # Whoever asked may not be whose it is: a person looks first.
        raise NotYet("held")
    until = selectors.kept_until(asked.identity_index, at)
    numbers = list(Borrower.objects.filter(identity_index=asked.identity_index).order_by("id"))
    for borrower in numbers:
        counts = _forget_what_may_go(borrower, at)
        # `done_at` first, so that no moment shows an erasure that is neither kept nor done.
        Erasure.objects.create(
            borrower=borrower, asked_at=at, kept_until=until, done_at=None if until else at, counts=counts
        )
        audit.record("erasure_asked", subject=f"borrower:{borrower.id}", borrower=borrower, at=at)
        if until is None:
            _make_nameless(borrower)
    return Erasure.objects.get(borrower_id=borrower_id)


def erase_due(at: datetime) -> int:
    """Make nameless whose records the law keeps no longer; return how many. Repeats safely."""
    on = calendar.business_date(at, settings.TIME_ZONE)
    done = 0
    for erasure_id in Erasure.objects.filter(done_at__isnull=True, kept_until__lt=on).values_list("id", flat=True):
        with transaction.atomic():
            erasure = Erasure.objects.select_for_update(of=("self",)).select_related("borrower").get(id=erasure_id)
            if erasure.done_at is None:
                _make_nameless(erasure.borrower)
                Erasure.objects.filter(id=erasure_id).update(done_at=at)
                done += 1
    return done


def _forget_what_may_go(borrower: Borrower, at: datetime) -> dict[str, int]:
    """Erase what no law keeps, and close the account; return how many rows of what are gone."""
    counts = {
        "wallet movements": WalletMovement.objects.filter(borrower=borrower).delete()[0],
        "next of kin": NextOfKin.objects.filter(borrower=borrower).delete()[0],
        "reasons for being late": LateReason.objects.filter(borrower=borrower).delete()[0],
    }
    counts["lines of a book"] = _burn_book(borrower)
    for forget in ports.forgetters():
        counts |= forget(msisdn=borrower.msisdn, borrower_id=borrower.id)
    Consent.objects.filter(borrower=borrower, withdrawn_at__isnull=True).update(withdrawn_at=at)
    SweepMandate.objects.filter(account__borrower=borrower, withdrawn_at__isnull=True).update(withdrawn_at=at)
    LimitRaise.objects.filter(borrower=borrower, state=LimitRaise.State.OFFERED).update(
        state=LimitRaise.State.WITHDRAWN, answered_at=at
    )
    Agent.objects.filter(borrower=borrower, state=Agent.State.ASKED).delete()
    Borrower.objects.filter(id=borrower.id).update(
        state=Borrower.State.CLOSED, pin_hash="", own_limit_cents=None, limit_cents=0, hold="", held_at=None
    )
    return counts


def _burn_book(borrower: Borrower) -> int:
    """Delete what a trader wrote: it is theirs alone, and names people who never dealt with us."""
    with connection.cursor() as cursor:
        # The one case in which PostgreSQL lets lines of a book go.
        cursor.execute("SET LOCAL jirani.forgets_borrower = %s", [str(borrower.id)])
        cursor.execute("DELETE FROM lending_bookentry WHERE borrower_id = %s", [borrower.id])
        return int(cursor.rowcount)


def _make_nameless(borrower: Borrower) -> None:
    """Take away everything that says whose the rows of a customer are; the rows and their money stay."""
    own = Q(borrower=borrower)
    receipts = Receipt.objects.filter(own)
    told = Q(attempt__intent__borrower=borrower) | Q(attempt__intent__payer=borrower)
    told |= Q(body__contains=borrower.msisdn)
    for receipt_no in receipts.values_list("receipt_no", flat=True):
        told |= Q(body__contains=receipt_no)
    ProviderEvent.objects.filter(told).update(body="", source_address="")
    receipts.update(party="", account_reference="")
    # What they paid for others says nothing of them any more, either.
    Receipt.objects.filter(party__in=[borrower.msisdn, borrower.msisdn_sha256]).update(party="")
    for forget in ports.forgetters():
        forget(msisdn=borrower.msisdn, borrower_id=borrower.id)
    nobody = {"identity_index": blind_index("erased", str(borrower.id))}
    for model in (Loan, Refund, GroupMember):
        model.objects.filter(own).update(**nobody)
    number = NOBODYS_NUMBER.format(borrower.id)
    PaymentIntent.objects.filter(Q(borrower=borrower, payer=None) | Q(payer=borrower)).update(msisdn=number)
    SavingsAccount.objects.filter(own).update(goal="")
    Application.objects.filter(own).update(appeal_words="")
    _empty_cases(borrower)
    Proposal.objects.filter(own).update(details={}, preview={}, reason=NAMELESS, remark="")
    Borrower.objects.filter(id=borrower.id).update(
        msisdn=number, msisdn_sha256="", full_name=NAMELESS, national_id="", **nobody
    )
    logger.info("customer %s is nameless", borrower.id)


def _empty_cases(borrower: Borrower) -> None:
    """Empty the cases of a customer. What they reported of somebody else, and waits, loses only who said so."""
    named = Q(details__contains={"lost number": borrower.msisdn}) | Q(details__contains={"number": borrower.msisdn})
    about_others = Q(kind__in=ABOUT_OTHERS, closed_at__isnull=True) & ~named
    theirs = Case.objects.filter(Q(borrower=borrower) | Q(msisdn=borrower.msisdn) | named)
    theirs.exclude(about_others).update(note="", msisdn="", details={}, answer="", resolution=NAMELESS)
    theirs.filter(about_others).update(msisdn="")
