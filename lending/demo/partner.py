"""Settling with the bank of the sandbox, as a lender's clerk does with a real one: our file out, his file in."""

from datetime import datetime
from typing import Any

import httpx
from django.conf import settings

from lending.models import SavingsAccount, SavingsInstruction
from lending.selectors import loans
from lending.selectors import savings as selectors
from lending.services import partner_files


def settle_all(at: datetime) -> int:
    """Settle with each partner who has been asked for something; return how many files were taken in.

    Repeats safely: the bank answers the same to the same, and a file that was taken in changes nothing.
    """
    partners = SavingsAccount.objects.exclude(partner="").order_by("partner").values_list("partner", flat=True)
    return sum(_settle(partner, at) for partner in partners.distinct())


def _settle(partner: str, at: datetime) -> bool:
    asked = partner_files.file_of_asked(partner)
    if asked.count("\n") < 2:
        return False
    answered = httpx.post(f"{settings.SANDBOX_URL}/bank/settlement", json=_beside(partner, asked), timeout=30)
    answered.raise_for_status()
    text = answered.json()["answers"]
    partner_files.take_file(partner=partner, name=f"sandbox {at:%Y-%m-%d %H:%M:%S}", text=text, actor=None, at=at)
    return True


def _beside(partner: str, asked: str) -> dict[str, Any]:
    """Return our file, and what the bank knows of its customers: whose wallet is paid, and which loan."""
    waiting = selectors.open_instructions(partner).select_related("account__borrower", "member__borrower")
    owners = {row.reference: row.member.borrower if row.member else row.account.borrower for row in waiting}
    sweeps = waiting.filter(kind=SavingsInstruction.Kind.SWEEP).values_list("reference", flat=True)
    owed = {name: loans.loan_to_repay(owner.identity_index) for name in sweeps if (owner := owners[name])}
    return {
        "asked": asked,
        "paybill": settings.DARAJA_PAYBILL,
        "wallets": {name: owner.msisdn for name, owner in owners.items() if owner},
        "bills": {name: loan.reference if loan else "SWEEP" for name, loan in owed.items()},
    }
