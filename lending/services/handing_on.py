"""Money that reached us and is to be saved: in transit until its holder has it, then handed on, or kept instead.

Each function runs inside the caller's transaction, under the person's lock and that of the account.
Source: docs/domain/savings.md, "Paying in".
"""

from datetime import datetime

from lending import outbox
from lending.ledger import post
from lending.models import Posting, Receipt, SavingsInstruction
from lending.rules import accounting
from lending.rules.receipts import event_key


def arrive(receipt: Receipt) -> None:
    """Book that money for savings is here: it is owed to its holder."""
    _post(receipt, "in_transit", accounting.savings_in_transit(receipt.amount_cents), receipt.paid_at)


def hand_on(instruction: SavingsInstruction, moved_at: datetime) -> None:
    """Book that the holder has the money of a deposit that came through us."""
    if instruction.receipt is None:
        return
    receipt = instruction.receipt
    post(
        kind=Posting.Kind.SAVINGS,
        reference=f"handed_on:{instruction.reference}",
        occurred_at=max(moved_at, receipt.paid_at),
        currency=receipt.currency,
        lines=accounting.savings_handed_on(receipt.amount_cents),
        borrower=receipt.borrower,
    )


def keep_instead(instruction: SavingsInstruction, at: datetime) -> None:
    """Keep the money of a deposit that the holder did not take for whoever paid it, and tell them."""
    if instruction.receipt is None:
        return
    receipt = instruction.receipt
    receipt.over_cents = receipt.amount_cents
    receipt.save(update_fields=["over_cents"])
    _post(receipt, "not_saved", accounting.savings_kept(receipt.amount_cents), at)
    outbox.write("deposit_kept", reference=f"deposit_kept:{receipt.id}:0", receipt_id=receipt.id, nth=0, at=at)


def _post(receipt: Receipt, way: str, lines: list[accounting.Line], at: datetime) -> None:
    key = event_key(receipt.provider, receipt.receipt_no)
    post(
        kind=Posting.Kind.SAVINGS,
        reference=f"{key}:{way}",
        occurred_at=at,
        currency=receipt.currency,
        lines=lines,
        borrower=receipt.borrower,
        event_key=key,
    )
