"""The rows of borrowers and past loans that are brought in, many at once by COPY.

They are those that the services would write one loan after the other: each row is made where the services make
it, of lives that the same rules played.

Source: docs/domain/history.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

from django.conf import settings

from lending import copying
from lending.ledger import post_new
from lending.models import AuditEvent, Borrower, Consent, Installment, Loan, LoanEvent
from lending.rules import calendar, charges
from lending.rules.facts import Contract, Life
from lending.selectors import products
from lending.services import audit, life, limits
from lending.services.history_files import ToldLoan
from lending.services.references import new_references

CONSENT_TEXT = "history"


@dataclass
class Played:
    """A past loan as it will stand: its row here, facts that are new, and the life that follows from all."""

    told: ToldLoan
    loan: Loan
    events: list[LoanEvent]
    contract: Contract
    new: list[LoanEvent]
    life: Life

    @property
    def by_key(self) -> dict[str, LoanEvent]:
        return {event.key: event for event in self.events}


@dataclass
class Borrowing:
    """A borrower with the loans that are new or have new facts, in the order of payout. Of a newcomer, consents."""

    borrower: Borrower
    origin: str
    loans: list[Played]
    consents: Sequence[str] = ()
    consented_at: datetime | None = None

    @property
    def is_newcomer(self) -> bool:
        return self.borrower._state.adding

    @property
    def has_loans_on_record(self) -> bool:
        return any(not one.loan._state.adding for one in self.loans)


def write(told: Iterable[Borrowing], at: datetime, closed_on: date) -> None:
    """Store what is new of borrowers whose locks the caller holds, inside its transaction.

    A loan that is on record and has new facts is replayed; everything else is written together.
    """
    together = []
    for one in told:
        if one.has_loans_on_record:
            _write_one_by_one(one, at, closed_on)
        else:
            together.append(one)
    _write(together, at)


def _write_one_by_one(one: Borrowing, at: datetime, closed_on: date) -> None:
    """Write loan after loan, since one that is on record may have to end before the next one begins."""
    for played in one.loans:
        if played.loan._state.adding:
            _write([Borrowing(one.borrower, one.origin, [played])], at)
            continue
        one.borrower.refresh_from_db(fields=["rung", "limit_cents"])  # the loan before may have moved them
        LoanEvent.objects.bulk_create(played.new)
        life.replay(played.loan, at, closed_on=closed_on)
        _brought_in(played, at).save()


def _write(told: Sequence[Borrowing], at: datetime) -> None:
    newcomers = [one for one in told if one.is_newcomer]
    for one, number in zip(newcomers, copying.reserve(Borrower, len(newcomers)), strict=True):
        one.borrower.id = number
    _complete([played for one in told for played in one.loans])
    asks = cache(lambda country: products.country_rules(country, _day(at)).raises_need_consent)
    acts: list[AuditEvent] = []
    steps: list[Loan] = []
    for one in told:
        alone = one.is_newcomer and not any(asks(country) for country in _countries_of_steps(one))
        acts += _acts(one, at, climbs=alone)
        steps += [] if alone else _settled(one)
    copying.write([one.borrower for one in newcomers])
    copying.write([consent for one in newcomers for consent in _consents(one)])
    _write_loans([played for one in told for played in one.loans])
    copying.write(acts)
    for settled in steps:
        settled.borrower.refresh_from_db(fields=["rung", "limit_cents"])
        limits.assign_limit(settled.borrower, settled, at)


def _day(at: datetime) -> date:
    return calendar.business_date(at, settings.TIME_ZONE)


def _settled(one: Borrowing) -> list[Loan]:
    return [played.loan for played in one.loans if played.loan.state == Loan.State.SETTLED]


def _countries_of_steps(one: Borrowing) -> set[str]:
    """Return whose law says whether a step up needs consent; a ladder of one rung has none."""
    versions = [loan.product_version for loan in _settled(one)]
    return {version.country for version in versions if len(version.ladder_cents) > 1}


def _complete(loans: Sequence[Played]) -> None:
    """Give loans that are new an id, a code and what follows from their lives."""
    ids, codes = copying.reserve(Loan, len(loans)), new_references(len(loans))
    for one, number, code in zip(loans, ids, codes, strict=True):
        loan, paid_out = one.loan, one.events[0].key
        charged = charges.fees_of(one.contract.terms, loan.principal_cents)
        loan.id, loan.reference = number, code
        loan.borrower = loan.borrower  # who has an id by now
        loan.fee_cents = sum(fee.cents for fee in charged)
        loan.tax_cents = sum(fee.tax_cents for fee in charged)
        loan.deducted_cents = charges.total_charged(charged, "deducted")
        loan.capitalised_cents = charges.total_charged(charged, "capitalised")
        loan.interest_cents = sum(item.due.interest for item in one.life.installments if item.event_key == paid_out)
        # All that was earned is booked on its days: nothing is left of it to be booked today.
        for kind, cents in life.earned_of(one.life).items():
            setattr(loan, f"{kind}_cents", cents)
        life.follow(loan, one.life, one.by_key)
        for event in one.events:
            event.loan = loan


def _write_loans(loans: Sequence[Played]) -> None:
    ids = iter(copying.reserve(Installment, sum(len(one.life.installments) for one in loans)))
    rows = [life.first_rows_of(one.loan, one.life, one.by_key, ids) for one in loans]
    copying.write([one.loan for one in loans])
    copying.write([event for one in loans for event in one.events])
    copying.write([item for items, _ in rows for item in items])
    copying.write([covered for _, allocations in rows for covered in allocations])
    post_new([draft for one in loans for draft in life.drafts_of(one.loan, one.life, one.events)])


def _consents(one: Borrowing) -> Iterator[Consent]:
    for purpose in one.consents:
        assert one.consented_at is not None, "checked with the row"
        yield Consent(
            borrower_id=one.borrower.id,
            purpose=purpose,
            granted=True,
            text_version=CONSENT_TEXT,
            language=one.borrower.language,
            given_at=one.consented_at,
        )


# --- the trail, and the ladder ------------------------------------------------------------------------------
def _acts(one: Borrowing, at: datetime, *, climbs: bool) -> list[AuditEvent]:
    """Return what the trail says of a borrower; who climbs moves a step on the ladder after each settled loan."""
    borrower = one.borrower
    acts = []
    if one.is_newcomer:
        subject = f"borrower:{borrower.id}"
        acts.append(audit.act("brought_in", subject=subject, borrower=borrower, at=at, origin=one.origin))
    for played in one.loans:
        if climbs and played.loan.state == Loan.State.SETTLED:
            acts += _climb(borrower, played.loan, at)
        acts.append(_brought_in(played, at))
    return acts


def _climb(borrower: Borrower, settled: Loan, at: datetime) -> list[AuditEvent]:
    """Do what `limits.assign_limit` does, to a borrower who is not stored yet and needs not be asked."""
    rung, limit_cents = limits.step_after(borrower, settled)
    late = settled.worst_days_past_due
    acts = [limits.moved(borrower, rung, at, days_late=late, loan_id=settled.id)] if rung != borrower.rung else []
    borrower.rung, borrower.limit_cents = rung, limit_cents
    return acts


def _brought_in(played: Played, at: datetime) -> AuditEvent:
    loan = played.loan
    return audit.act(
        "loan_brought_in",
        subject=f"loan:{loan.id}",
        borrower=loan.borrower,
        at=at,
        origin=loan.origin,
        facts=len(played.new),
    )
