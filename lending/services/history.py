"""Borrowers of another lender and their loans, brought in: each borrower whole, or not at all.

A past loan becomes a loan of ours by its facts alone: paid out, repaid, written off, each on its true date. No
payout and no receipt of ours stands behind them; their money is booked against `history_brought_in`. Keys are
made of the other system's, so that bringing in again changes nothing and adds only what is new.

Source: docs/domain/history.md.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from lending import copying
from lending.faults import describe
from lending.models import Borrower, CountryPack, JobRun, Loan, LoanEvent, ProductVersion
from lending.rules import accounting, calendar, history, limits
from lending.rules.facts import Contract, FactRefused
from lending.rules.history import BORROWERS, LOANS, REPAYMENTS, NoSuchProduct, Problem, Version
from lending.rules.life import play
from lending.selectors import contracts, products
from lending.services import history_rows
from lending.services.history_files import ToldBorrower, ToldLoan
from lending.services.history_rows import Played
from lending.services.people import identity_index

Outcome = Literal["brought in", "unchanged", "held back"]


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

    @cached_property
    def today(self) -> date:
        return calendar.business_date(self.at, settings.TIME_ZONE)

    @cached_property
    def first_ladder_cents(self) -> list[int]:
        """Return the ladder on whose first rung everybody begins."""
        ladder: list[int] = products.product_in_force(settings.COUNTRY, self.today).ladder_cents
        return ladder


def setting_of(source: str, at: datetime, keeps_differences: bool = False) -> Setting:
    """Return the setting of a run: our books are closed up to the last close of business, or to yesterday."""
    closed = JobRun.objects.filter(job=JobRun.CLOSE_OF_BUSINESS, finished_at__isnull=False)
    last = closed.order_by("-business_date").values_list("business_date", flat=True).first()
    yesterday = calendar.business_date(at, settings.TIME_ZONE) - timedelta(days=1)
    return Setting(source, at, last or yesterday, keeps_differences)


@dataclass(frozen=True)
class Brought:
    """What was done about a borrower, and what does not add up; of who is held back nothing is written."""

    outcome: Outcome
    problems: tuple[Problem, ...] = ()


def bring_in(told: Sequence[ToldBorrower], setting: Setting) -> list[Brought]:
    """Bring in borrowers with all loans, in one transaction; return what came of each.

    Repeats safely: what is on record already is compared, and only what is new is added. Should PostgreSQL or
    the rules refuse one of them against all expectation, the others are brought in one by one, and that one is
    told.
    """
    try:
        return _bring_in(told, setting)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - one bad row in a million costs only itself
        if len(told) == 1:
            needed = f"one that can be brought in with all loans ({describe(error)})"
            return [Brought("held back", (Problem(BORROWERS, told[0].row.line, "borrower_id", needed),))]
    return [outcome for one in told for outcome in bring_in([one], setting)]


@transaction.atomic
def _bring_in(told: Sequence[ToldBorrower], setting: Setting) -> list[Brought]:
    here = Here.of(told, setting)
    with copying.collector_at_rest():
        checked = [_checked(one, here, setting) for one in told]
        history_rows.write([one for _, one in checked if one is not None], setting.at, setting.closed_on)
    return [outcome for outcome, _ in checked]


# --- what our tables say ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Here:
    """What is on record of the people and loans of a batch, read at once and under the locks of the people."""

    by_number: dict[str, Borrower]
    by_identity: dict[str, Borrower]
    loans: dict[str, Loan]
    events: dict[int, list[LoanEvent]]
    open_loans: dict[str, int]

    @classmethod
    def of(cls, told: Sequence[ToldBorrower], setting: Setting) -> "Here":
        identities = [one.identity for one in told]
        known = Q(msisdn__in=[one.row.values["phone"] for one in told]) | Q(identity_index__in=identities)
        # The lock that `lock_person` takes, for all of them in one order.
        people = list(Borrower.objects.select_for_update(no_key=True).filter(known).order_by("id"))
        origins = [origin_of(loan, setting) for one in told for loan in one.loans]
        loans = {loan.origin: loan for loan in contracts.with_contract().filter(origin__in=origins)}
        events: dict[int, list[LoanEvent]] = defaultdict(list)
        stored = LoanEvent.objects.filter(loan__in=loans.values()).select_related("reverses")
        for event in stored.order_by("business_date", "happened_at", "id"):
            events[event.loan_id].append(event)
        running = Loan.objects.filter(identity_index__in=identities, state__in=Loan.OPEN)
        return cls(
            {one.msisdn: one for one in people},
            {one.identity_index: one for one in people},
            loans,
            events,
            dict(running.values_list("identity_index", "id")),
        )


def origin_of(told: ToldLoan, setting: Setting) -> str:
    """Return what names a past loan in our books."""
    return f"{setting.source}:{told.row.values['loan_id']}"


Checked = tuple[Brought, history_rows.Borrowing | None]


def _checked(told: ToldBorrower, here: Here, setting: Setting) -> Checked:
    """Return what comes of a borrower, and what is to be written, if anything is."""
    borrower, problems = _borrower(told, here, setting)
    if borrower is None:
        return Brought("held back", tuple(problems)), None
    played = [one for loan in _by_payout(told.loans) if (one := _played(loan, borrower, here, setting, problems))]
    problems += _open_twice(played, here.open_loans.get(borrower.identity_index))
    kept = [problem for one in played for problem in _differences(one, setting)]
    if problems or (kept and not setting.keeps_differences):
        return Brought("held back", (*problems, *kept)), None
    changed = [one for one in played if one.new]
    if borrower.id is not None and not changed:
        return Brought("unchanged"), None
    consents = tuple(told.row.values.get("consents", ()))
    given_at = told.row.values.get("consented_at")
    origin = f"{setting.source}:{told.row.values['borrower_id']}"
    return Brought("brought in", tuple(kept)), history_rows.Borrowing(
        borrower, origin, changed, consents, datetime.fromisoformat(given_at) if given_at else None
    )


def _by_payout(loans: Iterable[ToldLoan]) -> list[ToldLoan]:
    return sorted(loans, key=lambda loan: (loan.row.values["disbursed_at"], loan.row.line))


# --- people -----------------------------------------------------------------------------------------------
def _borrower(told: ToldBorrower, here: Here, setting: Setting) -> tuple[Borrower | None, list[Problem]]:
    """Return the borrower of a row, not stored yet if nobody has this number and national ID, or what is wrong:
    the number is another person's here, or the person has another number here."""
    known = here.by_number.get(told.row.values["phone"])
    if known is None and told.identity not in here.by_identity:
        return _newcomer(told, setting), []
    if known is not None and known.identity_index == told.identity:
        return known, []
    column, needed = "phone", "no other person's number here"
    if known is None:
        column, needed = "national_id", "nobody's who is registered here with another number"
    return None, [Problem(BORROWERS, told.row.line, column, needed)]


def _newcomer(told: ToldBorrower, setting: Setting) -> Borrower:
    """Return a person without a PIN, as after a reset: at the first dial they choose one."""
    values = told.row.values
    assert identity_index(told.national_id) == told.identity
    return Borrower(
        msisdn=values["phone"],
        msisdn_sha256=hashlib.sha256(values["phone"].encode()).hexdigest(),
        full_name=values["name"],
        national_id=told.national_id,
        identity_index=told.identity,
        language=values.get("language", Borrower.Language.ENGLISH),
        limit_cents=limits.limit_at(0, setting.first_ladder_cents),
        registered_at=datetime.fromisoformat(values["registered_at"]),
    )


# --- a loan, played before anything of it is written --------------------------------------------------------
def _played(
    told: ToldLoan, borrower: Borrower, here: Here, setting: Setting, problems: list[Problem]
) -> Played | None:
    """Return a past loan as it follows from its rows; add what cannot stand to `problems`."""
    found = list(_wrong_dates(told))
    try:
        loan, contract = _loan(told, borrower, here, setting)
    except NoSuchProduct as error:
        found.append(_of(told, error.column, error.needed, error.got))
    if found:
        problems += found
        return None
    stored = {event.key: event for event in here.events.get(loan.id, ())}
    new = []
    for event, row in _events(told, loan, setting):
        if event.key not in stored:
            new.append(event)
        elif not _same(stored[event.key], event):
            problems.append(Problem(*row, "what was brought in before"))
    events = sorted([*stored.values(), *new], key=lambda event: (event.business_date, event.happened_at, event.key))
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


def _loan(told: ToldLoan, borrower: Borrower, here: Here, setting: Setting) -> tuple[Loan, Contract]:
    """Return the loan on record, or one that is not stored yet, and what was agreed.

    Raises:
        NoSuchProduct: it fits no product version, no law of ours, or not what was brought in before.
    """
    values = told.row.values
    disbursed_at = datetime.fromisoformat(values["disbursed_at"])
    on = calendar.business_date(disbursed_at, settings.TIME_ZONE)
    version = history.version_of(values, on, setting.versions)
    origin = origin_of(told, setting)
    if known := here.loans.get(origin):
        agreed = (known.borrower_id, known.product_version_id, known.principal_cents, known.disbursed_at)
        if agreed != (borrower.id, version.id, values["principal"], disbursed_at):
            raise NoSuchProduct("loan_id", "of the loan that was brought in before", values["loan_id"])
        known.borrower = borrower
        return known, contracts.contract_of(known)
    pack = _pack(setting, on)
    loan = Loan(
        borrower=borrower,
        origin=origin,
        product_version=setting.products[version.id],
        country_pack=pack,
        identity_index=borrower.identity_index,
        currency=version.terms.currency,
        principal_cents=values["principal"],
        # Counts as nobody's open loan until its facts say what it is.
        state=Loan.State.NOT_PAID_OUT,
        approved_at=disbursed_at,
        disbursed_at=disbursed_at,
        outstanding_cents=0,
    )
    return loan, Contract(
        version.terms, loan.principal_cents, contracts.caps_of(pack.rules), contracts.holidays_of(pack.rules)
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


def _open_twice(played: Iterable[Played], open_here: int | None) -> Iterator[Problem]:
    """Say which loans would be one open loan too many: each person has one."""
    open_now = [one for one in played if one.life.state == "live"]
    others = open_here is not None and open_here not in {one.loan.id for one in open_now}
    if len(open_now) + others > 1:
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
