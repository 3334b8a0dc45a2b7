"""A change of terms under accounts that are open: what of it is worse for a saver, from which day each account
goes by it, and how what was earned until then is ended. Source: docs/domain/savings.md, "A change of terms".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from lending.rules.savings import (
    DAY,
    Credit,
    Interest,
    Lock,
    Move,
    SaveFirst,
    SavingsTerms,
    Standing,
    closing_balances,
    credit_now,
    earned_parts,
    parts_a_day,
)

# A promise of our own: no rule was found on the notice that depositors get of worse terms. Where the law of a
# country asks for more days before a change of terms, these count.
NOTICE_DAYS = 30
MILLION = 1_000_000


# --- what is worse ------------------------------------------------------------------------------------------
def what_is_worse(new: SavingsTerms, old: SavingsTerms) -> list[str]:
    """Return the fields in which new terms are worse for somebody, whatever is in the account.

    A field that is neither surely as good nor surely worse counts as worse. What is suggested binds nobody.
    """
    worse = {
        "interest": old.interest is not None and (new.interest is None or _earns_less(new.interest, old.interest)),
        "minimum_balance_cents": new.minimum_balance_cents > old.minimum_balance_cents,
        "dormant_after_days": new.dormant_after_days < old.dormant_after_days,
        "lock": old.lock is not None and (new.lock is None or _locks_less(new.lock, old.lock)),
        "save_first": old.save_first is not None
        and (new.save_first is None or _is_harder(new.save_first, old.save_first)),
    }
    return [field for field, is_so in worse.items() if is_so]


def _earns_less(new: Interest, old: Interest) -> bool:
    """Say whether some balance earns less after tax, is counted more strictly, or is credited more seldom.

    Between the starts of all tiers both sides are straight lines, so their ends decide; after the last start the
    steeper line does.
    """
    if new.balance == "minimum" != old.balance or new.credited == "monthly" != old.credited:
        return True
    starts = {tier.from_cents for tier in (*new.tiers, *old.tiers)}
    balances = starts | {start - 1 for start in starts if start}
    lines_cross = any(_net_parts(new, balance) < _net_parts(old, balance) for balance in balances)
    return lines_cross or _net_rate(new) < _net_rate(old)


def _net_parts(interest: Interest, balance_cents: int) -> int:
    """Return millionths of a part that a balance earns in a day after tax."""
    return parts_a_day(interest, balance_cents) * (MILLION - interest.tax_ppm)


def _net_rate(interest: Interest) -> int:
    return interest.tiers[-1].ppm * (MILLION - interest.tax_ppm)


def _locks_less(new: Lock, old: Lock) -> bool:
    return not set(old.exit_after_hours) <= set(new.exit_after_hours) or new.longest_days < old.longest_days


def _is_harder(new: SaveFirst, old: SaveFirst) -> bool:
    other_span = new.every_days != old.every_days
    return other_span or new.deposits > old.deposits or new.minimum_cents > old.minimum_cents


# --- which account, from which day --------------------------------------------------------------------------
@dataclass(frozen=True)
class Version:
    """A version of a product as a change looks at it."""

    id: int
    number: int
    effective_on: date
    terms: SavingsTerms


@dataclass(frozen=True)
class Change:
    """From this day on, an account goes by another version of its product."""

    on: date
    version: Version


def next_change(
    own: Version, versions: Iterable[Version], first: date, locked_until: date | None = None
) -> Change | None:
    """Return to which later version of its product an account goes over next, and when; None if there is none.

    It goes over on the first day of the version, or on `first`, the first day that is not closed yet, if that is
    later. A locked goal keeps what it was promised until its lock ends, unless nothing in the new terms is worse.
    Of several versions that begin for an account on one day it takes the newest.
    """
    changes = [
        Change(_begins_on(own, later, first, locked_until), later)
        for later in versions
        if later.number > own.number
    ]
    return min(changes, key=lambda change: (change.on, -change.version.number), default=None)


def _begins_on(own: Version, later: Version, first: date, locked_until: date | None) -> date:
    on = max(later.effective_on, first)
    if locked_until is not None and on <= locked_until and what_is_worse(later.terms, own.terms):
        return locked_until + DAY
    return on


# --- interest across a change -------------------------------------------------------------------------------
def end_terms(interest: Interest, now: Standing, is_locked: bool) -> tuple[Standing, Credit | None]:
    """End the period of terms whose last day is `now.accrued_on`, and return what is credited for it.

    What a lock has earned stays at stake until the lock ends: it is not lost, and not credited yet.
    """
    credit = None
    if not is_locked:
        now, credit = credit_now(interest, now)
    ended = replace(now, period_on=now.accrued_on + DAY, lowest_cents=None)
    return ended, credit if credit and credit.gross_cents else None


@dataclass(frozen=True)
class Agreed:
    """What an account earned by from a day on, until the next of these."""

    first: date
    interest: Interest | None


def correct(
    agreed: Sequence[Agreed], now: Standing, moves: Sequence[Move], late: Move, earns_from: date
) -> Standing:
    """Return how an account stands after a movement that we hear of when its day is over already.

    `agreed`: the terms it had, in order, the last of them in force. Each day since is counted again with the
    movement, by the terms of that day, those of periods that were credited included: the difference comes with
    the next credit. Where the lowest balance counts, only the running period is counted again. Interest on the
    interest that would have been credited earlier is not made up for.
    """
    known = [*moves, late]
    change = 0
    for terms, last in _spans(agreed, now.accrued_on):
        if terms.interest is None:
            continue
        if terms.interest.balance == "daily":
            first = max(terms.first, late.on, earns_from)
        elif terms is agreed[-1]:
            first = now.period_on
        else:
            continue
        change += earned_parts(terms.interest, known, first, last) - earned_parts(
            terms.interest, moves, first, last
        )
    return replace(
        now,
        balance_cents=now.balance_cents + late.cents,
        accrued_parts=now.accrued_parts + change,
        lowest_cents=_lowest(agreed[-1].interest, now, known),
    )


def _spans(agreed: Sequence[Agreed], until: date) -> list[tuple[Agreed, date]]:
    """Return each of the terms with its last day."""
    lasts = [later.first - DAY for later in agreed[1:]]
    return list(zip(agreed, [*lasts, until], strict=True))


def _lowest(interest: Interest | None, now: Standing, moves: Sequence[Move]) -> int | None:
    if interest is None or interest.balance == "daily":
        return None
    return min((cents for cents, _ in closing_balances(moves, now.period_on, now.accrued_on)), default=None)
