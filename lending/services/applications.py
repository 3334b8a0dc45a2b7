"""Asking for a loan, and the answer.

The application and its outbox row are one transaction, keyed by the accepted hop; the decision is stored whole
and acts at once. No application has two decisions: the one-to-one key decides, not the timing.
"""

import time
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from lending import outbox, ports
from lending.models import Application, Borrower, CountryPack, Decision, Loan, ProductVersion, Review
from lending.rules import calendar, caps, money
from lending.rules.country import country_from
from lending.selectors import contracts, limits, loans, offers, products, refinancing, requests
from lending.services import audit, exploration, holds
from lending.services.loans import PRICE, approve_loan
from lending.services.people import lock_person
from lending.services.references import new_reference
from lending.services.refinancing import RefinancingRefused

# The hop shows a decision for two seconds; only later does the SMS go out.
SMS_AFTER = timedelta(seconds=4)


@dataclass(frozen=True)
class KeyFactsShown:
    """What was on the screen when the customer accepted: the evidence of informed consent."""

    text: str
    language: str
    version: str
    shown_at: datetime
    terms_read: bool


class AboveLimit(Exception):
    def __init__(self, limit_cents: int) -> None:
        super().__init__(f"limit is {limit_cents} cents")
        self.limit_cents = limit_cents


class BelowMinimum(Exception):
    def __init__(self, min_cents: int) -> None:
        super().__init__(f"minimum is {min_cents} cents")
        self.min_cents = min_cents


class NotPayable(Exception):
    """The amount has parts that do not change hands in its currency."""

    def __init__(self, principal_cents: int, unit_cents: int) -> None:
        super().__init__(f"principal must be whole units of {unit_cents} cents, got {principal_cents}")
        self.principal_cents, self.unit_cents = principal_cents, unit_cents


class HasOpenLoan(Exception):
    """One live loan for one person."""


class AlreadyApplied(Exception):
    """An earlier application is still being decided."""


class Blocked(Exception):
    """This borrower may not borrow now."""


class Paused(Exception):
    """No new loan of this product is made: until a person has looked at its losses, or lets lending go on."""


class OwesEnough(Exception):
    """With this loan the person would owe more than the law allows."""


class NotReferred(Exception):
    """The application is not waiting for an officer."""


class NothingToAppeal(Exception):
    """No refusal of the customer can be looked at again: none, too old, or a person has looked already."""


class ReasonMissing(ValueError):
    """An officer decides with a reason in words."""


@transaction.atomic
def submit(
    *,
    borrower_id: int,
    principal_cents: int,
    product_version_id: int,
    shown: KeyFactsShown,
    origin: str,
    at: datetime,
    refinances_id: int | None = None,
    purpose: str = "",
) -> Application:
    """Take an accepted application and owe its decision.

    `refinances_id`: the open loan of the same person that this one is to pay off. `purpose`: what it is for, where
    the customer said so; nothing is decided by it. Repeats safely: the same `origin` returns the application on
    record.

    Raises:
        RefinancingRefused: that loan cannot be paid off by this one.
        AboveLimit, BelowMinimum: the amount is not within what was offered.
        NotPayable: no rail can pay it out to the cent.
        HasOpenLoan, AlreadyApplied, Blocked: nothing may be asked for now.
        Paused: no loan of this product is made for now.
        AgainstLaw: the law in force today does not allow this product or its price.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    borrower.refresh_from_db()
    if known := Application.objects.filter(origin=origin).first():
        return known
    version = ProductVersion.objects.get(id=product_version_id)
    on = calendar.business_date(at, settings.TIME_ZONE)
    old = None if refinances_id is None else _to_refinance(borrower, refinances_id)
    _refuse_if_not_offered(borrower, version, principal_cents, on, old)
    pack = products.country_pack(version.country, on)
    priced = offers.quote(version, principal_cents, on, pack)
    refinanced_cents = 0 if old is None else _refinanced_cents(old, version, principal_cents, on, pack)
    law = country_from(pack.rules)
    caps.enforce_product(products.before_the_law(version), law, on)
    caps.enforce_price(products.price_of(priced, on), law)
    application = Application.objects.create(
        borrower=borrower,
        product_version=version,
        country_pack=pack,
        origin=origin,
        purpose=purpose,
        reference=new_reference(),
        refinances=old,
        refinanced_cents=refinanced_cents,
        apr=priced.apr,
        key_facts_text=shown.text,
        key_facts_language=shown.language,
        key_facts_version=shown.version,
        key_facts_shown_at=shown.shown_at,
        terms_read=shown.terms_read,
        submitted_at=at,
        **{name: getattr(priced, name) for name in PRICE},
    )
    outbox.write(
        "application_submitted",
        reference=f"application_submitted:{application.id}",
        application_id=application.id,
        at=at,
    )
    return application


def _to_refinance(borrower: Borrower, loan_id: int) -> Loan:
    loan = contracts.with_contract().filter(id=loan_id, identity_index=borrower.identity_index).first()
    if loan is None:
        raise RefinancingRefused("not_open")
    return loan


def _refinanced_cents(old: Loan, version: ProductVersion, principal_cents: int, on: date, pack: CountryPack) -> int:
    found = refinancing.refinancing(old, version, principal_cents, on, pack)
    if found.why:
        raise RefinancingRefused(found.why)
    return found.refinanced_cents


def _refuse_if_not_offered(
    borrower: Borrower, version: ProductVersion, principal_cents: int, on: date, old: Loan | None
) -> None:
    """Hold an application to what is offered now; a product that no phone offers is held to the usual one."""
    code = version.code if version.code in settings.PRODUCTS else settings.PRODUCTS[0]
    offer = offers.offer(borrower, on, settings.COUNTRY, refinances=old, code=code)
    refusals = {
        "open_loan": HasOpenLoan,
        "payout_pending": HasOpenLoan,
        "undecided": AlreadyApplied,
        "blocked": Blocked,
        "paused": Paused,
    }
    if offer.refusal:
        raise refusals[offer.refusal]
    if principal_cents > offer.limit_cents:
        raise AboveLimit(offer.limit_cents)
    if principal_cents < offer.min_cents:
        raise BelowMinimum(offer.min_cents)
    unit_cents = money.currency(offer.product_version.currency).payable_cents
    if principal_cents % unit_cents:
        raise NotPayable(principal_cents, unit_cents)


def decide_from_outbox(*, topic: str, payload: dict[str, Any], at: datetime) -> None:
    """Handle the outbox row of a submitted application."""
    decide(payload["application_id"], at)


def decide(application_id: int, at: datetime) -> Decision:
    """Let the scorer judge an application as of `at` and act on the verdict.

    The model runs before the lock is taken; the verdict is stored with its effects in one transaction.
    Repeats safely: a second call returns the decision on record.
    """
    if known := Decision.objects.filter(application_id=application_id).first():
        return known
    holds.check_sim(Borrower.objects.get(applications=application_id), at)
    started = time.monotonic()
    verdict = ports.credit_scorer().assess(application_id, at)
    latency_ms = int((time.monotonic() - started) * 1000)
    try:
        return _record(application_id, verdict, at, latency_ms)
    except IntegrityError:
        # Another worker decided in the same moment; one decision counts. Anything else is an error.
        if known := Decision.objects.filter(application_id=application_id).first():
            return known
        raise


@transaction.atomic
def _record(application_id: int, verdict: ports.Verdict, at: datetime, latency_ms: int) -> Decision:
    application = _locked_application(application_id)
    if known := Decision.objects.filter(application_id=application_id).first():
        return known
    verdict = _within_bounds(verdict, application, at)
    decision = Decision.objects.create(
        application=application,
        outcome=verdict.outcome,
        score=verdict.score,
        offer=dict(verdict.offer),
        limit_cents=verdict.limit_cents,
        inputs=dict(verdict.inputs),
        reasons=[{"code": reason.code, "values": dict(reason.values)} for reason in verdict.reasons],
        next_step=verdict.next_step,
        step_values=dict(verdict.step_values),
        model_version=verdict.model_version,
        feature_version=verdict.feature_version,
        policy_version=verdict.policy_version,
        propensity=verdict.propensity,
        decided_at=at,
        latency_ms=latency_ms,
    )
    if verdict.outcome == Decision.Outcome.REFER:
        application.state = Application.State.REFERRED
        application.save(update_fields=["state"])
    else:
        _conclude(application, approved=verdict.outcome == Decision.Outcome.APPROVE, at=at)
    _owe_notice(application, "decided", at=at, due_at=at + SMS_AFTER)
    return decision


def _locked_application(application_id: int) -> Application:
    """Take the person's lock first, always: it is the one lock of everything that moves their money."""
    lock_person(Borrower.objects.get(applications=application_id))
    wanted = Application.objects.select_related("borrower", "product_version", "country_pack", "refinances")
    return wanted.get(id=application_id)


def _within_bounds(verdict: ports.Verdict, application: Application, at: datetime) -> ports.Verdict:
    """Hold the scorer to what it may say: never above its own limit, never beyond what binds every loan, and
    nobody is paid who was blocked or died meanwhile."""
    approves = verdict.outcome == Decision.Outcome.APPROVE
    # A lot that was not drawn is looked at, too: it had no chance where none could have approved.
    if not approves and verdict.propensity == 1:
        return verdict
    if why := _bound_broken(application, at):
        return hold_back(verdict, why)
    if not approves:
        return verdict
    if verdict.limit_cents < application.principal_cents:
        raise ValueError(f"approved {application.principal_cents} above its own limit {verdict.limit_cents}")
    if verdict.exploration and not exploration.take_from_pot(verdict.exploration, application):
        return hold_back(verdict, "pot_empty")
    return replace(verdict, exploration=None)


def _bound_broken(application: Application, at: datetime) -> str:
    """Return what holds that no scorer may overrule, "" for nothing."""
    if not settings.COMPUTER_APPROVES or limits.computer_is_stopped():
        return "computer_stopped"
    if application.borrower.state != Borrower.State.ACTIVE:
        return "not_active"
    person, old = application.borrower.identity_index, application.refinances
    if loans.open_loan_of_person(person, beside=old):
        return "open_loan"
    if _refinancing_refusal(application, at):
        return "refinanced_otherwise"
    if limits.is_paused(application.product_version.code):
        return "product_paused"
    try:
        law = country_from(application.country_pack.rules)
        owing_cents = limits.owing_cents(person) - (old.outstanding_cents if old else 0)
        caps.enforce_exposure(application.principal_cents, owing_cents, law)
    except caps.AgainstLaw:
        return "owes_enough"
    return ""


def _refinancing_refusal(application: Application, at: datetime) -> str:
    """Return what speaks, by now, against paying off the open loan, "" for nothing."""
    if application.refinances is None:
        return ""
    on = calendar.business_date(at, settings.TIME_ZONE)
    return refinancing.refusal(application.refinances, application.product_version, on)


def _declined(reason: str, next_step: str) -> dict[str, Any]:
    return {
        "outcome": Decision.Outcome.DECLINE.value,
        "limit_cents": 0,
        "reasons": (ports.Reason(reason),),
        "next_step": next_step,
    }


# What became true after the scorer looked -> what is decided instead of its approval. An approval by lot is not
# among them: then the policy decides as if no lot had been drawn.
HELD_BACK: dict[str, dict[str, Any]] = {
    "computer_stopped": {
        "outcome": Decision.Outcome.REFER.value,
        "reasons": (ports.Reason("computer_stopped"),),
        "next_step": "wait_officer",
    },
    "not_active": {
        "outcome": Decision.Outcome.REFER.value,
        "reasons": (ports.Reason("data_missing"),),
        "next_step": "wait_officer",
    },
    "open_loan": _declined("open_loan", "pay_on_time"),
    # It was repaid or lost while this was decided: what was accepted does not fit any more.
    "refinanced_otherwise": _declined("open_loan", "pay_on_time"),
    "product_paused": _declined("product_paused", "try_tomorrow"),
    "owes_enough": _declined("owes_enough", "pay_on_time"),
}


def hold_back(verdict: ports.Verdict, why: str) -> ports.Verdict:
    """Return what is decided where nothing can be approved; `why` joins the inputs, so a replay does the same.

    An approval is held back. A lot is void, whichever way it fell: what is decided is what the policy says without
    it. Either has propensity 1.
    """
    if verdict.exploration or verdict.outcome != Decision.Outcome.APPROVE:
        without = verdict.exploration.otherwise if verdict.exploration else verdict
        return replace(without, inputs={**verdict.inputs, "lot_void": why}, propensity=1.0)
    return replace(verdict, **HELD_BACK[why], inputs={**verdict.inputs, "held_back": why}, propensity=1.0)


def _conclude(application: Application, *, approved: bool, at: datetime) -> None:
    application.state = Application.State.APPROVED if approved else Application.State.DECLINED
    application.save(update_fields=["state"])
    if approved:
        approve_loan(application, at)


def _owe_notice(application: Application, what: str, *, at: datetime, due_at: datetime) -> None:
    outbox.write(
        "application_decided",
        reference=f"application_{what}:{application.id}",
        application_id=application.id,
        at=at,
        due_at=due_at,
    )


@transaction.atomic
def appeal(*, borrower_id: int, at: datetime, said: str = "") -> Application:
    """Put the customer's latest refusal before a person, once; the officer sees the account of it.

    What was accepted stays as it was: same amount, same price. Repeats safely: one that waits is returned, and what
    is said anew joins it. `said`: what the customer wrote; it must hold no PIN and no whole national ID.

    Raises:
        NothingToAppeal: there is no refusal that can be looked at again.
        HasOpenLoan, Blocked: a yes could not be carried out.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    borrower.refresh_from_db()
    waiting = Application.objects.filter(borrower=borrower, state=Application.State.REFERRED)
    if known := waiting.filter(appealed_at__isnull=False).first():
        return _add_words(known, said)
    if borrower.state != Borrower.State.ACTIVE:
        raise Blocked
    application = requests.appealable(borrower, at)
    if application is None:
        raise NothingToAppeal
    if loans.open_loan_of_person(borrower.identity_index, beside=application.refinances):
        raise HasOpenLoan
    application.state, application.appealed_at = Application.State.REFERRED, at
    application.save(update_fields=["state", "appealed_at"])
    audit.record("refusal_appealed", subject=f"application:{application.id}", borrower=borrower, at=at)
    return _add_words(application, said)


def _add_words(application: Application, said: str) -> Application:
    """Keep what a customer wrote about a refusal, a line for each time."""
    if said and said not in application.appeal_words.splitlines():
        application.appeal_words = f"{application.appeal_words}\n{said}".strip()[:300]
        application.save(update_fields=["appeal_words"])
    return application


# What an officer may tell a customer of a decline -> what the customer can do now.
DECLINES = {
    "low_inflow": "use_wallet",
    "irregular_income": "save_weekly",
    "dropping_income": "try_later",
    "amount_high_for_inflow": "ask_less",
    "late_before": "pay_on_time",
    "short_history": "use_wallet",
    "few_savings": "save_weekly",
    "score_low": "save_weekly",
}


@transaction.atomic
def review(
    *, application_id: int, officer: Any, approve: bool, reason: str, at: datetime, code: str = ""
) -> Review:
    """Record an officer's word on a referred application and act on it.

    `code` is one of DECLINES: what the customer is told of a decline. Repeats safely for the same officer and
    answer.

    Raises:
        ReasonMissing: no reason was given, or a decline without what the customer is to be told.
        NotReferred: it is not waiting for an officer, or somebody else was first.
        HasOpenLoan: it would be a second open loan.
        RefinancingRefused: the loan that it was to pay off is late, repaid or lost by now.
        Blocked: the borrower was blocked or has died meanwhile.
        Paused: no loan of this product is made until a person has looked at its losses.
        OwesEnough: with it they would owe more than the law allows.
    """
    if not reason.strip():
        raise ReasonMissing("a review needs a reason in words")
    if not approve and code not in DECLINES:
        raise ReasonMissing(f"a decline needs one of {', '.join(DECLINES)}, got {code!r}")
    application = _locked_application(application_id)
    known = Review.objects.filter(application=application).first()
    if known and (known.officer_id, known.approved) == (officer.id, approve):
        return known
    if application.state != Application.State.REFERRED:
        raise NotReferred(f"application {application.reference} is {application.get_state_display().lower()}")
    if approve and application.borrower.state != Borrower.State.ACTIVE:
        raise Blocked
    if approve and loans.open_loan_of_person(application.borrower.identity_index, beside=application.refinances):
        raise HasOpenLoan
    if approve and (why := _refinancing_refusal(application, at)):
        raise RefinancingRefused(why)
    if approve and limits.is_paused(application.product_version.code):
        raise Paused
    if approve and _bound_broken(application, at) == "owes_enough":
        raise OwesEnough
    given = Review.objects.create(
        application=application,
        officer=officer,
        approved=approve,
        reason=reason.strip()[:300],
        code="" if approve else code,
        next_step="" if approve else DECLINES[code],
        reviewed_at=at,
    )
    _conclude(application, approved=approve, at=at)
    _owe_notice(application, "reviewed", at=at, due_at=at)
    audit.record(
        "application_approved" if approve else "application_declined",
        subject=f"application:{application.id}",
        borrower=application.borrower,
        actor=officer,
        reason=reason,
        at=at,
    )
    return given


def verdict_of(decision: Decision) -> dict[str, Any]:
    """Return the stored verdict in the shape in which a replay is compared with it."""
    return asdict(
        ports.Verdict(
            outcome=decision.outcome,
            score=decision.score,
            offer=decision.offer,
            limit_cents=decision.limit_cents,
            inputs=decision.inputs,
            reasons=tuple(ports.Reason(reason["code"], reason["values"]) for reason in decision.reasons),
            next_step=decision.next_step,
            step_values=decision.step_values,
            model_version=decision.model_version,
            feature_version=decision.feature_version,
            policy_version=decision.policy_version,
            propensity=decision.propensity,
        )
    )
