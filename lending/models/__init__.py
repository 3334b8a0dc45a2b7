"""Tables, constraints, choices. No rules live here: those are in lending.rules and lending.services."""

from lending.models.agents import Agent, Invitation
from lending.models.approvals import Proposal
from lending.models.audit import AuditEvent
from lending.models.business import BookEntry
from lending.models.ledger import Account, Checkpoint, Entry, PeriodClosing, Posting, PostingHash
from lending.models.limits import LimitRaise
from lending.models.loans import (
    Allocation,
    Application,
    BureauNotice,
    Decision,
    Draw,
    ExplorationPot,
    Installment,
    Loan,
    LoanEvent,
    Repayment,
    Review,
)
from lending.models.outbox import JobRun, OutboxMessage
from lending.models.payments import (
    Case,
    PaymentAttempt,
    PaymentIntent,
    ProviderEvent,
    Rail,
    Receipt,
    Refund,
    RefundPart,
)
from lending.models.people import Borrower, Consent, WalletMovement
from lending.models.products import CountryPack, ProductVersion
from lending.models.promises import LateReason, Promise
from lending.models.reports import ReportSnapshot
from lending.models.rights import AccessRecord, Erasure, NextOfKin, Preference
from lending.models.savings import (
    GroupApproval,
    GroupMember,
    GroupRefusal,
    GroupWithdrawal,
    SavingsAccount,
    SavingsGroup,
    SavingsHold,
    SavingsInstruction,
    SavingsMovement,
    SavingsProductVersion,
    SavingsVersionChange,
    SettlementFile,
    SettlementLine,
    SweepMandate,
)

__all__ = [
    "AccessRecord",
    "Account",
    "Agent",
    "Allocation",
    "Application",
    "AuditEvent",
    "BookEntry",
    "Borrower",
    "BureauNotice",
    "Case",
    "Checkpoint",
    "Consent",
    "CountryPack",
    "Decision",
    "Draw",
    "Entry",
    "Erasure",
    "ExplorationPot",
    "GroupApproval",
    "GroupMember",
    "GroupRefusal",
    "GroupWithdrawal",
    "Installment",
    "Invitation",
    "JobRun",
    "LateReason",
    "LimitRaise",
    "Loan",
    "LoanEvent",
    "NextOfKin",
    "OutboxMessage",
    "PaymentAttempt",
    "PaymentIntent",
    "PeriodClosing",
    "Posting",
    "PostingHash",
    "Preference",
    "ProductVersion",
    "Promise",
    "Proposal",
    "ProviderEvent",
    "Rail",
    "Receipt",
    "Refund",
    "RefundPart",
    "Repayment",
    "ReportSnapshot",
    "Review",
    "SavingsAccount",
    "SavingsGroup",
    "SavingsHold",
    "SavingsInstruction",
    "SavingsMovement",
    "SavingsProductVersion",
    "SavingsVersionChange",
    "SettlementFile",
    "SettlementLine",
    "SweepMandate",
    "WalletMovement",
]
