"""Tables, constraints, choices. No rules live here: those are in lending.rules and lending.services."""

from lending.models.audit import AuditEvent
from lending.models.ledger import Account, Checkpoint, Entry, Posting
from lending.models.limits import LimitRaise
from lending.models.loans import Allocation, Application, Decision, Installment, Loan, Repayment, Review
from lending.models.outbox import JobRun, OutboxMessage
from lending.models.payments import (
    Case,
    PaymentAttempt,
    PaymentIntent,
    ProviderEvent,
    Rail,
    Receipt,
)
from lending.models.people import Borrower, Consent, WalletMovement
from lending.models.products import CountryPack, ProductVersion
from lending.models.savings import SavingsAccount, SavingsMovement

__all__ = [
    "Account",
    "Allocation",
    "Application",
    "AuditEvent",
    "Borrower",
    "Case",
    "Checkpoint",
    "Consent",
    "CountryPack",
    "Decision",
    "Entry",
    "Installment",
    "JobRun",
    "LimitRaise",
    "Loan",
    "OutboxMessage",
    "PaymentAttempt",
    "PaymentIntent",
    "Posting",
    "ProductVersion",
    "ProviderEvent",
    "Rail",
    "Receipt",
    "Repayment",
    "Review",
    "SavingsAccount",
    "SavingsMovement",
    "WalletMovement",
]
