"""A loan's facts and what follows from them.

Every change of a loan is a fact (LoanEvent). `replay` plays all facts of one loan through the rules and writes
the difference to what stands in the tables, so that a fact that comes late or is undone leaves the same books
as if all had been told in order. Stored rows stay: installments that would not be there are covered, allocations
get a further row with the difference, postings are reversed and made anew.

Source: docs/domain/replay.md.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from prometheus_client import CollectorRegistry, Histogram

from lending.ledger import ReferenceReused, post, reverse
from lending.models import Allocation, Case, Draw, Installment, Loan, LoanEvent, Posting, Receipt, Repayment
from lending.right_of_way import go_first
from lending.rules import accounting, calendar
from lending.rules import facts as rules
from lending.rules.accounting import Line
from lending.rules.allocation import KINDS, Due
from lending.rules.facts import Course, Life
from lending.rules.life import play
from lending.selectors import contracts, products
from lending.selectors.loans import as_due
from lending.services import cases
from lending.services.limits import assign_limit, take_limit_back

# Earned day by day, and booked by close of business for many loans at once: see `_book_earned`.
_EARNED = {"accrual": accounting.accrual, "fee_earned": accounting.fee_earned}


class OpenLoanInTheWay(Exception):
    """The loan would be open again, and its borrower has another open one by now. The text is that one's name."""


class TooManyFacts(Exception):
    """The loan has more facts than a replay may take while its borrower waits; a person has to look at it."""


MAX_FACTS = 2_000

# Of this process, since it started; /metrics shows them.
METRICS = CollectorRegistry()
REPLAY_FACTS = Histogram(
    "jirani_replay_facts",
    "Facts that a replay of a loan played",
    buckets=(2, 5, 10, 20, 50, 100, 200, 500, 1_000, MAX_FACTS),
    registry=METRICS,
)
REPLAY_SECONDS = Histogram(
    "jirani_replay_seconds",
    "Seconds that a replay of a loan took, the lock not counted",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=METRICS,
)


def record(loan: Loan, **fact: Any) -> Life:
    """Add a fact, as `add` does, and bring the loan's books up to date, inside the caller's transaction and lock.

    Raises:
        FactRefused: the fact cannot stand in the life of this loan; nothing is written.
        TooManyFacts: the loan has more than MAX_FACTS.
    """
    add(loan, **fact)
    return replay(loan, fact["at"])


def add(
    loan: Loan,
    *,
    key: str,
    kind: str,
    happened_at: datetime,
    at: datetime,
    details: Mapping[str, Any] | None = None,
    undoes: LoanEvent | None = None,
    actor: Any = None,
    reason: str = "",
) -> LoanEvent:
    """Store a fact; the caller replays. Repeats safely: a `key` that is on record is returned as it stands.

    Raises:
        ReferenceReused: the key is on record for another loan.
    """
    event, _ = LoanEvent.objects.get_or_create(
        key=key,
        defaults={
            "loan": loan,
            "kind": kind,
            "business_date": calendar.business_date(happened_at, settings.TIME_ZONE),
            "happened_at": happened_at,
            "details": dict(details or {}),
            "reverses": undoes,
            "actor": actor,
            "reason": reason.strip()[:300],
            "booked_at": at,
        },
    )
    if event.loan_id != loan.id:
        raise ReferenceReused(key)
    return event


# What close of business may have moved since the loan was read.
_MOVED_BY_CLOSING = ("state", "accrued_cents", "accrual_cents", "fee_earned_cents", "settled_at", "aged_on")


def replay(loan: Loan, at: datetime, closed_on: date | None = None) -> Life:
    """Play all facts of a loan and write what differs from what stands; a second time it writes nothing.

    The days up to `closed_on`, or up to the day before the latest fact, have ended.

    Raises:
        FactRefused: a fact cannot stand in the life of this loan.
        OpenLoanInTheWay: it would be the borrower's second open loan.
        TooManyFacts: the loan has more than MAX_FACTS.
    """
    go_first(
        lambda nowait: loan.refresh_from_db(
            fields=_MOVED_BY_CLOSING, from_queryset=Loan.objects.select_for_update(no_key=True, nowait=nowait)
        )
    )
    events = events_of(loan)
    if len(events) > MAX_FACTS:
        raise TooManyFacts(f"loan {loan.reference} has {len(events)} facts, a replay takes {MAX_FACTS}")
    REPLAY_FACTS.observe(len(events))
    with REPLAY_SECONDS.time():
        return _replay(loan, events, at, closed_on)


def _replay(loan: Loan, events: list[LoanEvent], at: datetime, closed_on: date | None) -> Life:
    life = play(contracts.contract_of(loan), contracts.facts_of(events), _closed_until(loan, events, closed_on))
    stands = {event.key: event for event in events}
    items = _write_installments(loan, life)
    _write_allocations(loan, life, items, stands)
    _write_postings(loan, life, stands)
    _book_earned(loan, life, _end_of(closed_on) if closed_on else at)
    _update_repayments(loan, life)
    _update(loan, life, stands, at)
    return life


def events_of(loan: Loan) -> list[LoanEvent]:
    """Return the facts of a loan in the order in which they are played."""
    return list(loan.events.select_related("reverses").order_by("business_date", "happened_at", "id"))


def _closed_until(loan: Loan, events: Iterable[LoanEvent], closed_on: date | None) -> date | None:
    """Return the last day whose end counts: closed already, or certainly over because something came later."""
    before = [event.business_date - timedelta(days=1) for event in events]
    return max([*before, *(day for day in (loan.aged_on, closed_on) if day)], default=None)


def _write_installments(loan: Loan, life: Life) -> dict[int, Installment]:
    """Add the installments that are missing; return the stored one of each number in `life`.

    Rows of one event are matched in their order. One that is no longer to be, or of other amounts, keeps its
    row: `_write_allocations` covers the difference.
    """
    stored: dict[tuple[Any, ...], list[Installment]] = defaultdict(list)
    for row in loan.installments.order_by("number"):
        stored[row.event_key, row.source, row.starts_on, row.due_on, row.earned_cents].append(row)
    number = loan.installments.count()
    found, missing = {}, []
    for item in life.installments:
        same = stored[item.event_key, item.source, item.starts_on, item.due_on, item.earned_cents]
        if same:
            found[item.number] = same.pop(0)
            continue
        number += 1
        found[item.number] = row = _installment(loan, number, item)
        missing.append(row)
    Installment.objects.bulk_create(missing)
    return found


def _installment(loan: Loan, number: int, item: rules.Installment) -> Installment:
    return Installment(
        loan=loan,
        number=number,
        source=item.source,
        event_key=item.event_key,
        starts_on=item.starts_on,
        due_on=item.due_on,
        earned_cents=item.earned_cents,
        **_columns(item.due),
    )


Covering = tuple[int, str, str]  # installment id, event key, kind


def _write_allocations(
    loan: Loan, life: Life, items: Mapping[int, Installment], events: Mapping[str, LoanEvent]
) -> None:
    """Let the stored rows of each installment, event and kind sum to what they should be."""
    wanted = _covered(life, items)
    for installment, should in _corrections(loan, life, items).items():
        wanted[installment, "replay", Allocation.Kind.CORRECTED] = should
    rows, known = Counter[Covering](), defaultdict[Covering, Due](Due)
    for row in Allocation.objects.filter(installment__loan=loan):
        key = row.installment_id, row.event_key, row.kind
        rows[key] += 1
        known[key] = known[key].plus(as_due(row))
    Allocation.objects.bulk_create(
        _allocation(key, wanted[key].minus(known[key]), events, rows[key] + 1)
        for key in wanted.keys() | known.keys()
        if wanted[key] != known[key]
    )


def _covered(life: Life, items: Mapping[int, Installment]) -> dict[Covering, Due]:
    wanted: dict[Covering, Due] = defaultdict(Due)
    for cover in life.covers:
        covering = items[cover.number].id, cover.event_key, str(cover.kind)
        wanted[covering] = wanted[covering].plus(cover.due)
    return wanted


def _allocation(key: Covering, due: Due, events: Mapping[str, LoanEvent], revision: int = 1) -> Allocation:
    return Allocation(
        installment_id=key[0],
        event_key=key[1],
        kind=key[2],
        revision=revision,
        business_date=_day_of(key[1], events),
        **_columns(due),
    )


def first_rows_of(
    loan: Loan, life: Life, events: Mapping[str, LoanEvent], ids: Iterator[int]
) -> tuple[list[Installment], list[Allocation]]:
    """Return the installments, with ids from `ids`, and allocations of a loan that has none yet, as a replay
    would write them; they are not stored."""
    items = {item.number: _installment(loan, item.number, item) for item in life.installments}
    for item in items.values():
        item.id = next(ids)
    covered = _covered(life, items)
    return list(items.values()), [_allocation(key, due, events) for key, due in covered.items() if due != Due()]


def _corrections(loan: Loan, life: Life, items: Mapping[int, Installment]) -> dict[int, Due]:
    """Return by how much each stored installment is more than it should be; all of one that should not be."""
    should = {items[item.number].id: item.due for item in life.installments}
    over = {row.id: as_due(row).minus(should.get(row.id, Due())) for row in loan.installments.all()}
    return {installment: due for installment, due in over.items() if due != Due()}


def _day_of(key: str, events: Mapping[str, LoanEvent]) -> date:
    """Return the business date of an event, or of the end of day that a key names ("day:2026-04-05")."""
    if key in events:
        return events[key].business_date
    if key.startswith("day:"):
        return date.fromisoformat(key.removeprefix("day:"))
    return max(event.business_date for event in events.values())


def _columns(due: Due) -> dict[str, int]:
    return {f"{kind}_cents": getattr(due, kind) for kind in KINDS}


# --- the books ----------------------------------------------------------------------------------------------
def _write_postings(loan: Loan, life: Life, events: Mapping[str, LoanEvent]) -> None:
    """Let the postings of each event and kind say what it should; a wrong one is reversed and made anew."""
    wanted, on = _wanted(life)
    stand, made = _standing(loan)
    for key in sorted(wanted.keys() | stand.keys()):
        legs = net(wanted.get(key, []))
        if key in stand and stand[key][1] == legs:
            continue
        if key in stand:
            wrong = stand[key][0]
            reverse(wrong, reference=f"{wrong.reference}:reversed", occurred_at=wrong.occurred_at)
        if legs:
            post(**_draft(loan, key, legs, events.get(key[0]), on[key], made[key]))


def _wanted(life: Life) -> tuple[dict[tuple[str, str], list[Line]], dict[tuple[str, str], date]]:
    """Return the legs and the day of each event and kind, but for what is earned day by day."""
    wanted: dict[tuple[str, str], list[Line]] = defaultdict(list)
    on: dict[tuple[str, str], date] = {}
    for booking in life.bookings:
        if booking.kind not in _EARNED:
            wanted[booking.event_key, booking.kind] += booking.lines
            on[booking.event_key, booking.kind] = booking.on
    return wanted, on


def _draft(
    loan: Loan, key: tuple[str, str], legs: Mapping[str, int], event: LoanEvent | None, on: date, made: int
) -> dict[str, Any]:
    """Return what posts the legs of an event, or of the end of a day, for the first time or once more."""
    named = key if event else (f"loan:{loan.id}", *key)
    return {
        "kind": key[1],
        "reference": ":".join([*named, *([str(made + 1)] if made else [])]),
        "occurred_at": event.happened_at if event else _end_of(on),
        "currency": loan.currency,
        "lines": [Line(account, max(0, cents), max(0, -cents)) for account, cents in legs.items()],
        "loan": loan,
        "event_key": key[0],
    }


def drafts_of(loan: Loan, life: Life, events: Iterable[LoanEvent]) -> list[dict[str, Any]]:
    """Return every posting of a loan that has none yet, what was earned on the days on which it was; the replay
    that follows finds them as it wants them, and the loan says already how much was earned."""
    (wanted, on), by_key = _wanted(life), {event.key: event for event in events}
    drafts = [
        _draft(loan, key, legs, by_key.get(key[0]), on[key], 0)
        for key, lines in wanted.items()
        if (legs := net(lines))
    ]
    for kind in _EARNED:
        earned = [booking for booking in life.bookings if booking.kind == kind]
        for number, booking in enumerate(earned, start=1):
            drafts.append(
                {
                    "kind": kind,
                    "reference": f"loan:{loan.id}:{kind}:{number}",
                    "occurred_at": _end_of(booking.on),
                    "currency": loan.currency,
                    "lines": booking.lines,
                    "loan": loan,
                }
            )
    return sorted(drafts, key=lambda draft: draft["occurred_at"])


def net(lines: Iterable[Line]) -> dict[str, int]:
    """Return debit less credit by account, without zeros."""
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.account] += line.debit_cents - line.credit_cents
    return {account: cents for account, cents in sums.items() if cents}


Standing = dict[tuple[str, str], tuple[Posting, dict[str, int]]]


def _standing(loan: Loan) -> tuple[Standing, Counter[tuple[str, str]]]:
    """Return the posting that stands for each event and kind with its legs, and how many there were."""
    stand: Standing = {}
    made: Counter[tuple[str, str]] = Counter()
    booked = loan.postings.exclude(event_key="").exclude(kind=Posting.Kind.REVERSAL).prefetch_related("entries")
    for posting in booked.select_related("reversed_by", "loan", "borrower"):
        key = posting.event_key, posting.kind
        made[key] += 1
        if not hasattr(posting, "reversed_by"):
            legs = [Line(row.account_id, row.debit_cents, row.credit_cents) for row in posting.entries.all()]
            stand[key] = posting, net(legs)
    return stand, made


def _end_of(day: date) -> datetime:
    return calendar.end_of(day, settings.TIME_ZONE)


def _book_earned(loan: Loan, life: Life, until: datetime) -> None:
    """Book what was earned since the last time, by close of business or by a replay, whichever came first."""
    for kind, cents in earned_of(life).items():
        legs = _EARNED[kind](cents - getattr(loan, f"{kind}_cents"))
        if legs:
            number = loan.postings.filter(kind=kind).count() + 1
            post(
                kind=kind,
                reference=f"loan:{loan.id}:{kind}:{number}",
                occurred_at=until,
                currency=loan.currency,
                lines=legs,
                loan=loan,
            )
        setattr(loan, f"{kind}_cents", cents)


def earned_of(life: Life) -> dict[str, int]:
    """Return how much was booked as earned so far, of interest and of fees over the term."""
    return {kind: life.income_cents(kind) for kind in _EARNED}


# --- the loan's own row -------------------------------------------------------------------------------------
STATES = {
    "live": Loan.State.LIVE,
    "charged_off": Loan.State.CHARGED_OFF,
    "written_off": Loan.State.WRITTEN_OFF,
    "settled": Loan.State.SETTLED,
    "cancelled": Loan.State.CANCELLED,
}


def _update_repayments(loan: Loan, life: Life) -> None:
    """Keep with each receipt what of it went to the loan and what is over.

    One that was taken from the loan went nowhere in it, and what is kept of it elsewhere is none of its business.
    """
    for repayment in loan.repayments.select_related("receipt", "event"):
        receipt = repayment.receipt
        if repayment.event.key not in life.over_cents:
            Repayment.objects.filter(id=repayment.id).exclude(amount_cents=0).update(amount_cents=0)
            continue
        over_cents = life.over_cents[repayment.event.key]
        repaid_cents = receipt.amount_cents - over_cents
        if (repayment.amount_cents, receipt.over_cents) != (repaid_cents, over_cents):
            Repayment.objects.filter(id=repayment.id).update(amount_cents=repaid_cents)
            Receipt.objects.filter(id=receipt.id).update(over_cents=over_cents)


def _update(loan: Loan, life: Life, events: Mapping[str, LoanEvent], at: datetime) -> None:
    """Keep on the loan what is asked for often; a loan that is paid now moves its borrower on the ladder."""
    was_settled, was = loan.settled_at is not None, loan.state
    if life.state == "live" and was != Loan.State.LIVE:
        _refuse_second_open(loan)
    follow(loan, life, events)
    loan.save()
    if life.kept_cents < 0:
        _leave_refund_to_a_person(loan, life, at)
    if loan.state == Loan.State.SETTLED and not was_settled:
        if loan.worst_days_past_due or not _is_refinanced(events):
            assign_limit(loan.borrower, loan, at)
    elif was == Loan.State.SETTLED and loan.state == Loan.State.LIVE:
        take_limit_back(loan.borrower, loan, at)


def _is_refinanced(events: Mapping[str, LoanEvent]) -> bool:
    """Say whether a new loan paid this one off: that is no repayment that anybody climbs the ladder by."""
    return any(event.details.get("account") == accounting.REFINANCING for event in events.values())


def follow(loan: Loan, life: Life, events: Mapping[str, LoanEvent]) -> None:
    """Set on the loan what follows from its life; the caller saves it."""
    loan.state = _line_state(loan, life) if loan.is_line else STATES[life.state]
    loan.settled_at = None if loan.is_line else _settled_at(life, events)
    loan.written_off_at = _last(events, "write_off") if life.state == "written_off" else None
    restructured_at = _last(events, "reschedule", "extend") if life.restructured else None
    loan.restructured_on = restructured_at and calendar.business_date(restructured_at, settings.TIME_ZONE)
    loan.outstanding_cents = life.outstanding_cents
    loan.accrued_cents = life.accrued_interest_cents
    loan.over_cents = _over_by_changes(life, events)
    loan.written_off_cents = life.written_off.total
    loan.due_on = max((item.due_on for item in life.installments if item.source == "plan"), default=None)
    loan.unpaid_since = life.due_on
    loan.days_past_due = life.days_past_due
    loan.worst_days_past_due = life.worst_days_past_due
    loan.classification = life.classification
    _keep_room(loan, life)
    loan.aged_on = life.closed_on
    loan.next_action_on = life.next_action_on
    _take_course(loan, life.course or Course())


def _leave_refund_to_a_person(loan: Loan, life: Life, at: datetime) -> None:
    """What was over turned out not to be, after it had been given back: the customer owes it to us."""
    note = f"{life.refunded_cents} given back, {life.kept_cents + life.refunded_cents} kept"
    cases.open_case(
        kind=Case.Kind.REFUNDED_TOO_MUCH, subject_key=f"loan:{loan.id}", note=note, borrower=loan.borrower, at=at
    )


def _line_state(loan: Loan, life: Life) -> Loan.State:
    """A line of which nothing is owed is not over: it can be drawn until somebody closes it."""
    if life.state not in ("settled", "approved"):
        return STATES[life.state]
    if loan.draws.filter(state=Draw.State.UNDER_WAY).exists():
        return Loan.State.APPROVED
    return Loan.State.UNDRAWN if loan.closed_at is None else Loan.State.CLOSED


def _refuse_second_open(loan: Loan) -> None:
    others = Loan.objects.filter(identity_index=loan.identity_index, state__in=Loan.OPEN).exclude(id=loan.id)
    # One that is on its way to pay this one off may stand beside it.
    others = others.exclude(state=Loan.State.APPROVED, refinances=loan)
    if other := others.first():
        raise OpenLoanInTheWay(other.reference)


def _keep_room(loan: Loan, life: Life) -> None:
    """Keep what close of business must know to charge penalties within the caps of the law."""
    binds = products.terms_of(loan.product_version).grows_with_time
    loan.room_cents = life.room_cents if binds else None
    loan.non_performing = binds and life.non_performing
    loan.stopped_on = life.stopped_on


def _take_course(loan: Loan, course: Course) -> None:
    """Keep what close of business must know of the days until the loan turns."""
    loan.turns_on = course.turns_on
    loan.course_from, loan.course_days = course.starts_on, course.days
    loan.course_cents, loan.course_base_cents = course.cents, course.base_cents


def _over_by_changes(life: Life, events: Mapping[str, LoanEvent]) -> int:
    """Return what is owed to the customer beside what receipts brought too much, less what was refunded: by
    changes, and by payments of before the loan was brought in."""
    stand = {event.key for event in events.values()} - {e.reverses.key for e in events.values() if e.reverses}
    refunds = (events[key].details["amount_cents"] for key in stand if events[key].kind == "refund")
    over = sum(cents for key, cents in life.over_cents.items() if not _has_receipt(events[key]))
    return over - sum(refunds)


def _has_receipt(event: LoanEvent) -> bool:
    return event.kind == LoanEvent.Kind.PAY and event.details.get("account") != accounting.HISTORY


def _last(events: Mapping[str, LoanEvent], *kinds: str) -> datetime | None:
    return max((event.happened_at for event in events.values() if event.kind in kinds), default=None)


def _settled_at(life: Life, events: Mapping[str, LoanEvent]) -> datetime | None:
    """Return when the last thing was paid, in whichever order we were told; also of a loan that was written off
    and came back whole."""
    came_back = life.state == "written_off" and not life.written_off.total
    if life.state not in ("settled", "cancelled") and not came_back:
        return None
    last = {cover.event_key for cover in life.covers if cover.event_key in events}
    return max(events[key].happened_at for key in last) if last else None
