"""Paying in: a prompt to the saver's own phone, and what becomes of money that came for savings.

Money counts in an account when its holder confirms it; until then it is in transit. Where we hold the savings
ourselves that is at once. Source: docs/domain/savings.md, "Paying in".
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from lending.models import PaymentIntent, Receipt, SavingsAccount, SavingsInstruction
from lending.rules import money
from lending.selectors import deposits as selectors
from lending.selectors import loans
from lending.selectors.deposits import Target
from lending.services import handing_on, savings, savings_instructions
from lending.services.people import lock_borrower
from lending.services.repayments import AFTER_SESSION, PromptPending
from lending.wake import wake

# The operator takes no more in one payment from a wallet (Safaricom, M-PESA tariff: KES 250,000 a transaction).
MOST_CENTS = 25_000_000


class NotTheirAccount(Exception):
    """The account is another person's, or of a group that they are not in."""


class InvalidDeposit(ValueError):
    """The amount is not payable on this rail."""


class HandedOn(Exception):
    """The holder of the savings has the money already: it can only be taken out of the savings again."""


@transaction.atomic
def request_deposit(
    *, borrower_id: int, account_id: int, amount_cents: int, origin: str, at: datetime
) -> PaymentIntent:
    """Owe the saver's phone one prompt for this amount, a few seconds after the session has ended.

    Repeats safely: the same `origin` returns the intent on record.

    Raises:
        NotTheirAccount: it belongs to somebody else.
        AccountClosed: nothing comes into it any more.
        PromptPending: an earlier prompt, for savings or a loan, is still open.
        InvalidDeposit: below one unit, not whole units, or more than the rail takes at once.
    """
    borrower = lock_borrower(borrower_id)
    key = f"save:{origin}"
    if known := PaymentIntent.objects.filter(business_key=key).first():
        return known
    account = SavingsAccount.objects.get(id=account_id)
    if account.borrower_id != borrower_id and selectors.membership(account, borrower) is None:
        raise NotTheirAccount(account)
    savings.refuse_closed(account)
    if loans.pending_prompt(borrower.msisdn):
        raise PromptPending
    unit = money.currency(account.currency).payable_cents
    if not unit <= amount_cents <= MOST_CENTS or amount_cents % unit:
        raise InvalidDeposit(f"need whole units from {unit} to {MOST_CENTS}, got {amount_cents}")
    intent = PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.SAVE,
        business_key=key,
        provider=settings.PAYMENT_PROVIDER,
        borrower=borrower,
        savings_account=account,
        msisdn=borrower.msisdn,
        amount_cents=amount_cents,
        currency=account.currency,
        due_at=at + AFTER_SESSION,
        created_at=at,
    )
    wake("lending.tasks.run_payments", queue="money", countdown=AFTER_SESSION.total_seconds())
    return intent


def take(receipt: Receipt, target: Target, at: datetime) -> SavingsInstruction:
    """Hand a receipt on to the holder of the savings that it is for, inside the caller's transaction and lock.

    Raises:
        NotTheirAccount: it is a group's account, and whoever paid is no member now.
        AccountClosed: nothing comes into it any more.
    """
    if not target.is_open:
        raise NotTheirAccount(target.account)
    reference = f"deposit:{receipt.provider}:{receipt.receipt_no}"
    asked = savings_instructions.instruct_deposit(
        account_id=target.account.id,
        amount_cents=receipt.amount_cents,
        reference=reference,
        at=at,
        receipt=receipt,
        member=target.member,
    )
    handing_on.arrive(receipt)
    if not target.account.partner:
        savings_instructions.confirm_instruction(
            reference=reference,
            amount_cents=receipt.amount_cents,
            partner_reference=reference,
            moved_at=receipt.paid_at,
            value_on=min(savings.today(receipt.paid_at), savings.today(at)),
            at=at,
        )
        asked.refresh_from_db()
    return asked


def refuse_handed_on(receipt: Receipt) -> None:
    """Refuse to undo a receipt whose money is in somebody's savings.

    Raises:
        HandedOn: the holder has confirmed it.
    """
    if receipt_is(receipt, SavingsInstruction.State.CONFIRMED):
        raise HandedOn(f"receipt {receipt} is in the savings already")


def receipt_is(receipt: Receipt, state: str) -> bool:
    """Say whether a receipt was for savings, and how far it has come."""
    return SavingsInstruction.objects.filter(receipt=receipt, state=state).exists()


def take_back(receipt: Receipt, at: datetime) -> None:
    """Ask the holder no more for a deposit whose money is not ours to hand on, under the person's lock.

    Repeats safely. What the holder says to it later becomes a case: it is a yes after a no.

    Raises:
        HandedOn: the holder has confirmed it.
    """
    asked = SavingsInstruction.objects.filter(receipt=receipt).first()
    if asked is None:
        return
    savings.lock_account(asked.account_id)
    refuse_handed_on(receipt)
    SavingsInstruction.objects.filter(id=asked.id, state=SavingsInstruction.State.OPEN).update(
        state=SavingsInstruction.State.REJECTED, ended_at=at
    )
