"""Borrowers of another lender and their loans, brought in: each borrower whole, or not at all.

A past loan becomes a loan of ours by its facts alone: paid out, repaid, written off, each on its true date. No
payout and no receipt of ours stands behind them; their money is booked against `history_brought_in`. Keys are
made of the other system's, so that bringing in again changes nothing and adds only what is new.

Source: docs/domain/history.md.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from django.conf import settings
from django.db import transaction

from lending.ledger import post_new
from lending.models import Borrower, Consent, CountryPack, JobRun, Loan, LoanEvent, ProductVersion
from lending.rules import accounting, calendar, charges, history, limits
from lending.rules.facts import Contract, FactRefused, Life
from lending.rules.history import LOANS, REPAYMENTS, NoSuchProduct, Problem, Version
from lending.rules.life import play
from lending.selectors import contracts, products
from lending.selectors import loans as selectors
from lending.services import audit, life
from lending.services.history_files import ToldBorrower, ToldLoan
from lending.services.loans import new_reference
from lending.services.people import identity_index, lock_person

CONSENT_TEXT = "history"

Outcome = Literal["brought in", "unchanged"]


class DoesNotAddUp(Exception):
    """What the files say of a borrower cannot stand; nothing of theirs was written."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


@dataclass(frozen=True)
class Setting:
    """What one run goes by. `source` names the other system in every key; `closed_on` is the last day that is
    over in our books. With `keeps_differences`, our calculator's figures stand where the other system's differ.
    """

    source: str
    at: datetime
    closed_on: date
    keeps_differences: bool = False

    @cached_property
    def versions(self) -> list[Version]:
        return [
            Version(one.id, one.code, one.version, one.effective_on, products.terms_of(one))
            for one in ProductVersion.objects.order_by("code", "version")
        ]

    @cached_property
    def products(self) -> dict[int, ProductVersion]:
        return ProductVersion.objects.in_bulk()

    @cached_property
    def packs(self) -> list[CountryPack]:
        return list(CountryPack.objects.filter(country=settings.COUNTRY).order_by("-version"))


def setting_of(source: str, at: datetime, keeps_differences: bool = False) -> Setting:
    """Return the setting of a run: our books are closed up to the last close of business, or to yesterday."""
    closed = JobRun.objects.filter(job=JobRun.CLOSE_OF_BUSINESS, finished_at__isnull=False)
    last = closed.order_by("-business_date").values_list("business_date", flat=True).first()
    yesterday = calendar.business_date(at, settings.TIME_ZONE) - timedelta(days=1)
    return Setting(source, at, last or yesterday, keeps_differences)


@dataclass
class Played:
    """A past loan as it will stand: its row here, facts that are new, and the life that follows from all."""

    told: ToldLoan
    loan: Loan
    events: list[LoanEvent]
    contract: Contract
    new: list[LoanEvent]
    life: Life


@transaction.atomic
def bring_in(told: ToldBorrower, setting: Setting) -> tuple[Outcome, list[Problem]]:
    """Bring in one borrower with all loans; return what was done and the differences that were kept.

    Repeats safely: what is on record already is compared, and only what is new is added.

    Raises:
        DoesNotAddUp: something of it cannot stand; nothing is written.
    """
    borrower, is_new = _borrower(told, setting)
    lock_person(borrower)
    problems: list[Problem] = []
    played = [one for loan in _by_payout(told.loans) if (one := _played(loan, borrower, setting, problems))]
    problems += _open_twice(played, borrower)
    kept = [problem for one in played for problem in _differences(one, setting)]
    if problems or (kept and not setting.keeps_differences):
        raise DoesNotAddUp([*problems, *kept])
    changed = [one for one in played if one.new]
    for one in changed:
        borrower.refresh_from_db(fields=["rung", "limit_cents"])  # the loan before may have moved them
        _write(one, setting)
    return "brought in" if is_new or changed else "unchanged", kept if changed else []


def _by_payout(loans: Iterable[ToldLoan]) -> list[ToldLoan]:
    return sorted(loans, key=lambda loan: (loan.row.values["disbursed_at"], loan.row.line))


# --- people -----------------------------------------------------------------------------------------------
def _borrower(told: ToldBorrower, setting: Setting) -> tuple[Borrower, bool]:
    """Return the borrower of a row, made now if nobody has this number and national ID.

    Raises:
        DoesNotAddUp: the number is another person's here, or the person has another number here.
    """
    values, line = told.row.values, told.row.line
    known = Borrower.objects.filter(msisdn=values["phone"]).first()
    if known is not None and known.identity_index != told.identity:
        needed = "no other person's number here"
        raise DoesNotAddUp([Problem(history.BORROWERS, line, "phone", needed)])
    if known is not None:
        return known, False
    if Borrower.objects.filter(identity_index=told.identity).exists():
        needed = "nobody's who is registered here with another number"
        raise DoesNotAddUp([Problem(history.BORROWERS, line, "national_id", needed)])
    return _register(told, setting), True


def _register(told: ToldBorrower, setting: Setting) -> Borrower:
    """Register a person without a PIN, as after a reset: at the first dial they choose one."""
    values = told.row.values
    assert identity_index(told.national_id) == told.identity
    on = calendar.business_date(setting.at, settings.TIME_ZONE)
    borrower = Borrower.objects.create(
        msisdn=values["phone"],
        msisdn_sha256=hashlib.sha256(values["phone"].encode()).hexdigest(),
        full_name=values["name"],
        national_id=told.national_id,
        identity_index=told.identity,
        language=values.get("language", Borrower.Language.ENGLISH),
        limit_cents=limits.limit_at(0, products.product_in_force(settings.COUNTRY, on).ladder_cents),
        registered_at=datetime.fromisoformat(values["registered_at"]),
    )
    Consent.objects.bulk_create(
        Consent(
            borrower=borrower,
            purpose=purpose,
            granted=True,
            text_version=CONSENT_TEXT,
            language=borrower.language,
            given_at=datetime.fromisoformat(values["consented_at"]),
        )
        for purpose in values.get("consents", ())
    )
    audit.record(
        "brought_in",
        subject=f"borrower:{borrower.id}",
        borrower=borrower,
        at=setting.at,
        origin=f"{setting.source}:{values['borrower_id']}",
    )
    return borrower


# --- a loan, played before anything of it is written --------------------------------------------------------
def _played(told: ToldLoan, borrower: Borrower, setting: Setting, problems: list[Problem]) -> Played | None:
    """Return a past loan as it follows from its rows; add what cannot stand to `problems`."""
    found = list(_wrong_dates(told))
    try:
        loan = _loan(told, borrower, setting)
    except NoSuchProduct as error:
        found.append(_of(told, error.column, error.needed, error.got))
    if found:
        problems += found
        return None
    stored = {event.key: event for event in (life.events_of(loan) if loan.id else ())}
    new = []
    for event, row in _events(told, loan, setting):
        if event.key not in stored:
            new.append(event)
        elif not _same(stored[event.key], event):
            problems.append(Problem(*row, "what was brought in before"))
    events = sorted([*stored.values(), *new], key=lambda event: (event.business_date, event.happened_at, event.key))
    contract = contracts.contract_of(loan)
    try:
        lived = play(contract, contracts.facts_of(events), max(setting.closed_on, _eve(events)))
    except FactRefused as refused:
        problems.append(_of(told, "loan_id", f"a life that can be played: {refused}"))
        return None
    return Played(told, loan, events, contract, new, lived)


def _of(told: ToldLoan, column: str, needed: str, got: str = "") -> Problem:
    return Problem(LOANS, told.row.line, column, needed, got)


def _eve(events: Iterable[LoanEvent]) -> date:
    return max(event.business_date for event in events) - timedelta(days=1)


def _wrong_dates(told: ToldLoan) -> Iterator[Problem]:
    disbursed_at, written_off_at = (told.row.values.get(name) for name in ("disbursed_at", "written_off_at"))
    for paid in told.repayments:
        if paid.values["paid_at"] < disbursed_at:
            needed = f"no earlier than the payout ({disbursed_at})"
            yield Problem(REPAYMENTS, paid.line, "paid_at", needed, paid.values["paid_at"])
    assert written_off_at is None or written_off_at >= disbursed_at


def _loan(told: ToldLoan, borrower: Borrower, setting: Setting) -> Loan:
    """Return the loan on record, or one that is not stored yet.

    Raises:
        NoSuchProduct: it fits no product version, no law of ours, or not what was brought in before.
    """
    values = told.row.values
    disbursed_at = datetime.fromisoformat(values["disbursed_at"])
    on = calendar.business_date(disbursed_at, settings.TIME_ZONE)
    version = history.version_of(values, on, setting.versions)
    origin = f"{setting.source}:{values['loan_id']}"
    known = contracts.with_contract().filter(origin=origin).first()
    if known is not None:
        agreed = (known.borrower_id, known.product_version_id, known.principal_cents, known.disbursed_at)
        if agreed != (borrower.id, version.id, values["principal"], disbursed_at):
            raise NoSuchProduct("loan_id", "of the loan that was brought in before", values["loan_id"])
        known.borrower = borrower
        return known
    return Loan(
        borrower=borrower,
        origin=origin,
        product_version=setting.products[version.id],
        country_pack=_pack(setting, on),
        identity_index=borrower.identity_index,
        currency=version.terms.currency,
        principal_cents=values["principal"],
        # Counts as nobody's open loan until its facts say what it is.
        state=Loan.State.NOT_PAID_OUT,
        approved_at=disbursed_at,
        disbursed_at=disbursed_at,
        outstanding_cents=0,
    )


def _pack(setting: Setting, on: date) -> CountryPack:
    pack = next((pack for pack in setting.packs if pack.effective_on <= on), None)
    if pack is None:
        first = min((pack.effective_on for pack in setting.packs), default="none is loaded")
        raise NoSuchProduct("disbursed_at", f"a day whose law is loaded: packs begin on {first}", str(on))
    return pack


Where = tuple[str, int, str]


def _events(told: ToldLoan, loan: Loan, setting: Setting) -> Iterator[tuple[LoanEvent, Where]]:
    """Yield the facts of a past loan, each with where it is told."""
    values = told.row.values
    at_loan = LOANS, told.row.line
    paid_out = {"amount_cents": values["principal"], "account": accounting.HISTORY}
    yield _event(loan, setting, "disburse", "", values["disbursed_at"], paid_out), (*at_loan, "disbursed_at")
    for paid in told.repayments:
        details = {"amount_cents": paid.values["amount"], "account": accounting.HISTORY}
        event = _event(loan, setting, "pay", paid.values["repayment_id"], paid.values["paid_at"], details)
        yield event, (REPAYMENTS, paid.line, "amount")
    if written_off_at := values.get("written_off_at"):
        yield _event(loan, setting, "write_off", "", written_off_at, {}), (*at_loan, "written_off_at")


def _event(loan: Loan, setting: Setting, kind: str, number: str, at: str, details: dict[str, Any]) -> LoanEvent:
    happened_at = datetime.fromisoformat(at)
    return LoanEvent(
        loan=loan,
        key=":".join(part for part in (kind, loan.origin, number) if part),
        kind=kind,
        business_date=calendar.business_date(happened_at, settings.TIME_ZONE),
        happened_at=happened_at,
        details=details,
        booked_at=setting.at,
    )


def _same(stored: LoanEvent, told: LoanEvent) -> bool:
    return (stored.kind, stored.happened_at, stored.details) == (told.kind, told.happened_at, told.details)


def _open_twice(played: Iterable[Played], borrower: Borrower) -> Iterator[Problem]:
    """Say which loans would be one open loan too many: each person has one."""
    open_now = [one for one in played if one.life.state == "live"]
    ours = selectors.open_loan_of_person(borrower.identity_index)
    others = [] if ours is None or ours.id in {one.loan.id for one in open_now} else [ours]
    if len(open_now) + len(others) > 1:
        for one in open_now[0 if others else 1 :]:
            yield _of(one.told, "loan_id", "the only open loan of its borrower", one.told.row.values["loan_id"])


def _differences(one: Played, setting: Setting) -> Iterator[Problem]:
    """Yield what the other system says and our calculator does not get, as of the other system's closing day."""
    values = one.told.row.values
    lived = one.life
    if (told_on := values.get("closing_on")) and date.fromisoformat(told_on) != lived.closed_on:
        closing_on = date.fromisoformat(told_on)
        until = [event for event in one.events if event.business_date <= closing_on]
        if not until:
            yield _of(one.told, "closing_on", "no earlier than the payout", told_on)
            return
        lived = play(one.contract, contracts.facts_of(until), closing_on)
    for wrong in history.differences(values, lived):
        yield _of(one.told, *wrong)


# --- writing ----------------------------------------------------------------------------------------------
def _write(one: Played, setting: Setting) -> None:
    """Store a loan with its new facts, and let everything follow from them."""
    if is_new := one.loan.id is None:
        _store(one)
    for event in one.new:
        event.loan = one.loan
    LoanEvent.objects.bulk_create(one.new)
    if is_new:
        post_new(life.drafts_of(one.loan, one.life, one.events))
    life.replay(one.loan, setting.at, closed_on=setting.closed_on)
    audit.record(
        "loan_brought_in",
        subject=f"loan:{one.loan.id}",
        borrower=one.loan.borrower,
        at=setting.at,
        origin=one.loan.origin,
        facts=len(one.new),
    )


def _store(one: Played) -> None:
    loan, paid_out = one.loan, one.events[0].key
    charged = charges.fees_of(one.contract.terms, loan.principal_cents)
    loan.reference = new_reference()
    loan.fee_cents = sum(fee.cents for fee in charged)
    loan.tax_cents = sum(fee.tax_cents for fee in charged)
    loan.deducted_cents = charges.total_charged(charged, "deducted")
    loan.capitalised_cents = charges.total_charged(charged, "capitalised")
    loan.interest_cents = sum(item.due.interest for item in one.life.installments if item.event_key == paid_out)
    # The state is not known to the table yet, but what was earned is: nothing is left of it to be booked today.
    for kind, cents in life.earned_of(one.life).items():
        setattr(loan, f"{kind}_cents", cents)
    loan.save()
