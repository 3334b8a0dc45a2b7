"""What happens in the demo portfolio, event by event: facts from outside, never what our books make of them.

The writer turns events into rows; a test plays the same events through the real services and compares.
Moments are aware datetimes; `who` is the number of a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a phone, as they register."""

    msisdn: str
    full_name: str
    national_id: str
    language: str
    consents: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the starter policy said. `reasons` are (code, values)."""

    outcome: str
    limit_cents: int
    inputs: Mapping[str, Any]
    reasons: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Funded:
    """The owners put money into the payout account."""

    at: datetime
    reference: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Registered:
    at: datetime
    who: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A customer accepted the key facts and gave the PIN; the decision came a moment later."""

    at: datetime
    who: int
    principal_cents: int
    origin: str
    shown_at: datetime
    terms_read: bool
    decided_at: datetime
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PaidOut:
    """The payout was sent at `at`, completed by the operator, and we learnt of it at `settled_at`."""

    at: datetime
    who: int
    request_id: str
    receipt_no: str
    completed_at: datetime
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class PayoutFailed:
    at: datetime
    who: int
    request_id: str
    code: str
    text: str
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class PromptPaid:
    """The customer asked for a prompt at `at`, it went out at `sent_at`, and was paid."""

    at: datetime
    who: int
    amount_cents: int
    origin: str
    sent_at: datetime
    request_id: str
    receipt_no: str
    paid_at: datetime
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class PromptFailed:
    at: datetime
    who: int
    amount_cents: int
    origin: str
    sent_at: datetime
    request_id: str
    code: str
    text: str
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class PaybillPaid:
    """Money came to the paybill; `who` is None when what was typed as account is nobody's."""

    at: datetime
    who: int | None
    party: str
    account: str
    amount_cents: int
    receipt_no: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class WrittenOff:
    at: datetime
    who: int
    reason: str


@dataclass(frozen=True, slots=True)
class SavingsMoved:
    at: datetime
    who: int
    kind: str
    amount_cents: int
    reference: str


@dataclass(frozen=True, slots=True)
class DayClosed:
    """Close of business of a date, shortly after its midnight."""

    at: datetime
    on: date


Event = (
    Funded
    | Registered
    | Asked
    | PaidOut
    | PayoutFailed
    | PromptPaid
    | PromptFailed
    | PaybillPaid
    | WrittenOff
    | SavingsMoved
    | DayClosed
)
