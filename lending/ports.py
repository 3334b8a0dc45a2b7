"""What lending asks of the world, as Protocols. Settings name the implementations by dotted path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string


# --- payment rails: every answer is one of these five, and silence is Unknown --------------------------------
@dataclass(frozen=True)
class Accepted:
    """The rail took the request. This is never money."""

    request_id: str


@dataclass(frozen=True)
class Succeeded:
    """Money moved. `at` is the operator's completion time."""

    receipt_no: str
    amount_cents: int
    party: str
    at: datetime


@dataclass(frozen=True)
class Failed:
    """The rail said no for certain. `ours`: our float, credential or request is at fault, not the customer.

    `again_after_s`: the customer's phone was busy; one new try may go out after so many seconds.
    """

    code: str
    text: str
    ours: bool = False
    again_after_s: int = 0


@dataclass(frozen=True)
class NotSent:
    """Certainly nothing left or nothing was taken (refused connection, spike arrest): same id, later."""

    why: str


@dataclass(frozen=True)
class Unknown:
    """Neither success nor failure: ask again, never send anew."""

    why: str


@dataclass(frozen=True)
class NotFound:
    """The rail has never heard of this request."""


Answer = Accepted | Succeeded | Failed | NotSent | Unknown | NotFound


@dataclass(frozen=True)
class PaymentOrder:
    """What a rail needs to know of an attempt."""

    provider_ref: str
    request_id: str
    purpose: str
    msisdn: str
    amount_cents: int
    currency: str
    account_reference: str
    submitted_at: datetime | None


class PaymentProvider(Protocol):
    """One rail. No call repeats itself: a retry is the caller's decision."""

    def disburse(self, order: PaymentOrder) -> Answer: ...

    def request_payment(self, order: PaymentOrder) -> Answer: ...

    def query(self, order: PaymentOrder) -> Answer: ...


# --- scoring ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Reason:
    """Why, as a code with values for the sentence: ("late_before", {"days": 9})."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Exploration:
    """An approval by lot, lent to learn from a pot of so many loans and so much money a day over all products of a
    country. `otherwise`: what is decided where the pot is empty."""

    loans_per_day: int
    cents_per_day: int
    otherwise: "Verdict"


@dataclass(frozen=True)
class Verdict:
    """The scorer's whole judgement of one application; stored as the Decision.

    propensity: the chance that this outcome had before a lot was looked at, 1 where none decided. exploration: is
    settled when the verdict is recorded, so no Decision keeps it.
    """

    outcome: str
    score: float | None
    offer: Mapping[str, float]
    limit_cents: int
    inputs: Mapping[str, Any]
    reasons: tuple[Reason, ...]
    next_step: str
    model_version: str
    feature_version: str
    policy_version: str
    propensity: float = 1.0
    step_values: Mapping[str, Any] = field(default_factory=dict)
    exploration: Exploration | None = None


class CreditScorer(Protocol):
    """Judges an application as of a moment: the same moment, the same verdict."""

    def assess(self, application_id: int, at: datetime) -> Verdict: ...


@dataclass(frozen=True)
class Counted:
    """One number that counted in a decision, beside the usual one; None where missing.

    log_odds: what it did to the log-odds of default, above 0 it speaks against the loan. words: what may be said of
    it to the customer, empty where no sentence is true of them.
    """

    name: str
    value: float | None
    usual: float | None
    log_odds: float
    words: str


@dataclass(frozen=True)
class Way:
    """What the customer would have to do for a yes, as codes with values, and the chance of default afterwards."""

    steps: tuple[Reason, ...]
    chance: float


@dataclass(frozen=True)
class PastCase:
    """A past application like this one, and what became of its loan: `days_late` at its end, None where it was
    never repaid; `repaid` no more than 30 days late."""

    application_id: int
    reference: str
    outcome: str
    score: float
    principal_cents: int
    days_late: int | None
    repaid: bool


@dataclass(frozen=True)
class Account:
    """Why a decision is what it is, what would turn it, and what became of others like it.

    against, in_favour: the strongest first. ways: the smallest change first, and where that is another amount, the
    smallest for the amount asked for; empty where nothing is to be turned, or nothing found turns it.
    """

    against: tuple[Counted, ...]
    in_favour: tuple[Counted, ...]
    ways: tuple[Way, ...]
    similar: tuple[PastCase, ...]


class DecisionAccount(Protocol):
    """Gives account of a decision from what was stored with it; None of one that no score stands behind.

    Raises whatever keeps the model of that decision from being asked.
    """

    def __call__(self, application_id: int, at: datetime) -> Account | None: ...


class IdentityCheck(Protocol):
    """Says whether a national ID and a name may be registered together."""

    def __call__(self, *, national_id: str, full_name: str, msisdn: str) -> bool: ...


class Forget(Protocol):
    """Erases what somebody whom lending does not know keeps about a number; returns what and how much."""

    def __call__(self, *, msisdn: str, borrower_id: int) -> dict[str, int]: ...


class SimCheck(Protocol):
    """Asks the operator when the SIM of a number was last changed; None: it does not say."""

    def __call__(self, *, msisdn: str) -> datetime | None: ...


def payment_provider(name: str) -> PaymentProvider:
    """Return the rail that settings name; it may be a factory or an instance."""
    return cast(PaymentProvider, import_string(settings.PAYMENT_PROVIDERS[name])())


def credit_scorer() -> CreditScorer:
    return cast(CreditScorer, import_string(settings.CREDIT_SCORER)())


def decision_account() -> DecisionAccount:
    return cast(DecisionAccount, import_string(settings.DECISION_ACCOUNT))


def identity_check() -> IdentityCheck:
    return cast(IdentityCheck, import_string(settings.IDENTITY_CHECK))


def forgetters() -> list[Forget]:
    return [cast(Forget, import_string(path)) for path in settings.FORGETTERS]


def sim_check() -> SimCheck:
    return cast(SimCheck, import_string(settings.SIM_CHECK))


def sim_change_unknown(*, msisdn: str) -> datetime | None:
    """Answer for a lender whose operators do not tell: nobody knows."""
    return None
