"""Close of business for savings, in set-based SQL over a range of account ids; run it in chunks, side by side.

`accrue_savings` does for many accounts what lending.services.savings_interest.bring_up does for one, by the same
integer formulas (lending.rules.savings): a test holds the two equal. An account that moved since is past the day
already and is not touched, nor is one that has nothing to earn. Repeats safely. Source: docs/domain/savings.md.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations, groupby
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Min, Q, QuerySet

from lending import ledger
from lending.models import Posting, SavingsAccount, SavingsProductVersion
from lending.right_of_way import giving_way
from lending.rules import accounting, calendar
from lending.rules.savings import DAY, PARTS_PER_CENT, Interest, read_terms
from lending.rules.savings_change import what_is_worse


@dataclass(frozen=True)
class Accrued:
    """How many accounts earned something, and how many were credited."""

    accrued: int = 0
    credited: int = 0

    def __add__(self, other: "Accrued") -> "Accrued":
        return Accrued(self.accrued + other.accrued, self.credited + other.credited)


@giving_way()
def claim_and_accrue(on: date, ids_from: int, ids_to: int) -> Accrued | None:
    """Do `accrue_savings` and `mark_dormant`, or nothing (None) while another worker is at the same range.

    Raises:
        GaveWay: nothing was done, a saver came for one of these accounts.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('savings', %s))", [ids_from])
        if not cursor.fetchone()[0]:
            return None
    accrued = accrue_savings(on, ids_from, ids_to)
    mark_dormant(on, ids_from, ids_to)
    return accrued


@giving_way()
def accrue_savings(on: date, ids_from: int, ids_to: int) -> Accrued:
    """Bring the accounts of a range of ids, both ends included, up to the end of a date.

    Dates that were missed are caught up, each credit on its own day, and each day by the version in force on it:
    an account whose next version begins by the day after goes over to it.

    Raises:
        GaveWay: nothing was done, a saver came for one of these accounts.
    """
    versions = list(SavingsProductVersion.objects.order_by("id"))
    total = Accrued()
    while changes := _next_changes(versions, on + DAY, ids_from, ids_to):
        total += _accrue(versions, changes[0].on - DAY, ids_from, ids_to)
        for change in changes:
            total += _go_over(change)
    return total + _accrue(versions, on, ids_from, ids_to)


def _accrue(versions: list[SavingsProductVersion], on: date, ids_from: int, ids_to: int) -> Accrued:
    """Bring the accounts up to a date by the version that each of them has now."""
    total = Accrued()
    for version in versions:
        interest = read_terms(version.terms).interest
        if interest is not None:
            for day in _days(version.id, on, ids_from, ids_to, interest):
                total += _close(version.id, interest, day, ids_from, ids_to)
    return total


def _days(version_id: int, on: date, ids_from: int, ids_to: int, interest: Interest) -> list[date]:
    """Return the days to close: the days between on which something is credited, and `on` itself."""
    earning = _behind(version_id, on, ids_from, ids_to)
    oldest = earning.aggregate(oldest=Min("accrued_on"))["oldest"]
    if oldest is None:
        return []
    days = {oldest + timedelta(days=n) for n in range(1, (on - oldest).days)}
    if interest.credited == "monthly":
        days = {day for day in days if (day + timedelta(days=1)).day == 1}
    ends = earning.filter(locked_until__gt=oldest, locked_until__lt=on).values_list("locked_until", flat=True)
    return sorted({*days, *(end for end in ends if end is not None), on})


def _behind(version_id: int, on: date, ids_from: int, ids_to: int) -> "QuerySet[SavingsAccount]":
    return SavingsAccount.objects.filter(
        Q(balance_cents__gt=0) | Q(lowest_cents__gt=0) | Q(accrued_parts__gte=PARTS_PER_CENT),
        product_version_id=version_id,
        id__range=(ids_from, ids_to),
        accrued_on__lt=on,
        closing_at__isnull=True,
    )


# With neither a balance, nor a lowest one to bring down, nor a cent to credit, a day changes nothing.
EARNING = f"(balance_cents > 0 OR lowest_cents > 0 OR accrued_parts >= {PARTS_PER_CENT})"


def parts_a_day(interest: Interest, balance: str) -> str:
    """Return the SQL of lending.rules.savings.parts_a_day for a balance that is an SQL expression."""
    if interest.tiers_apply_to == "whole":
        cases = " ".join(
            f"WHEN {balance} >= {tier.from_cents} THEN {balance}::numeric * {tier.ppm}"
            for tier in reversed(interest.tiers)
        )
        return f"(CASE {cases} ELSE 0 END)"
    below, steps = 0, []
    for tier in interest.tiers:
        steps.append(f"greatest(0, {balance} - {tier.from_cents})::numeric * ({tier.ppm - below})")
        below = tier.ppm
    return f"({' + '.join(steps)})"


LOWEST = "least(balance_cents, coalesce(lowest_cents, balance_cents))"


def _parts(interest: Interest) -> str:
    """Return the SQL of accrued_parts after the days up to %(on)s, all of one balance."""
    if interest.balance == "daily":
        return f"accrued_parts + {parts_a_day(interest, 'balance_cents')} * (%(on)s::date - accrued_on)"
    return f"""accrued_parts
            + {parts_a_day(interest, LOWEST)} * (%(on)s::date - period_on + 1)
            - CASE WHEN lowest_cents IS NULL THEN 0
                   ELSE {parts_a_day(interest, "lowest_cents")} * (accrued_on - period_on + 1) END"""


def _credits(interest: Interest) -> str:
    """Return the condition that the end of %(on)s credits an account."""
    regular = "TRUE" if interest.credited == "daily" else "extract(day FROM %(on)s::date + 1) = 1"
    return f"CASE WHEN locked_until >= %(on)s::date THEN locked_until = %(on)s::date ELSE {regular} END"


# What is still to be brought up to the day; of what stands there already nothing is earned, but it may be credited.
BEHIND = f"""id BETWEEN %(ids_from)s AND %(ids_to)s AND product_version_id = %(version)s AND closing_at IS NULL
           AND accrued_on < %(on)s AND {EARNING}"""
EARN = f"""
    UPDATE lending_savingsaccount SET accrued_parts = {{parts}}, accrued_on = %(on)s::date{{lowest}}
     WHERE {BEHIND} AND NOT ({{credits}})
"""  # noqa: S608 - a constant
# Earned and credited in one step, so that the row is written once.
CREDIT = f"""
    WITH earned AS (
        SELECT id, accrued_on < %(on)s AS is_behind,
               CASE WHEN accrued_on < %(on)s THEN {{parts}} ELSE accrued_parts END AS parts
          FROM lending_savingsaccount
         WHERE {BEHIND} AND ({{credits}})
            OR id BETWEEN %(ids_from)s AND %(ids_to)s AND product_version_id = %(version)s AND closing_at IS NULL
               AND accrued_on = %(on)s AND period_on <= %(on)s AND ({{credits}})
         ORDER BY id FOR NO KEY UPDATE
    ), due AS (
        SELECT id, is_behind, parts, div(greatest(parts, 0), {PARTS_PER_CENT})::bigint AS gross FROM earned
    ), taxed AS (
        SELECT due.*, div(gross::numeric * %(tax_ppm)s + 500000, 1000000)::bigint AS tax FROM due
    ), credited AS (
        UPDATE lending_savingsaccount account SET
               accrued_parts = parts - gross::numeric * {PARTS_PER_CENT},
               accrued_on = %(on)s::date,
               balance_cents = balance_cents + gross - tax,
               floor_cents = least(minimum_cents, floor_cents + gross - tax),
               period_on = %(on)s::date + 1,
               lowest_cents = NULL
          FROM taxed WHERE account.id = taxed.id
     RETURNING account.id, is_behind, gross, tax, currency, partner
    ), moved AS (
        INSERT INTO lending_savingsmovement
               (account_id, kind, amount_cents, reference, moved_at, value_on)
        SELECT id, kind, cents, kind || ':' || id || ':' || %(on)s, %(moved_at)s, %(on)s::date + 1
          FROM credited, LATERAL (VALUES ('interest', gross, 1), ('tax', tax, 2)) part (kind, cents, place)
         WHERE cents > 0 ORDER BY id, place
    )
    SELECT currency, partner, count(*) FILTER (WHERE is_behind), count(*) FILTER (WHERE gross > 0),
           sum(gross)::bigint, sum(tax)::bigint, min(id) FILTER (WHERE gross > 0)
      FROM credited GROUP BY currency, partner ORDER BY currency, partner
"""  # noqa: S608 - a constant


def _facts(version_id: int, interest: Interest, on: date, ids_from: int, ids_to: int) -> dict[str, Any]:
    return {
        "on": on,
        "ids_from": ids_from,
        "ids_to": ids_to,
        "version": version_id,
        "tax_ppm": interest.tax_ppm,
        "moved_at": calendar.end_of(on, settings.TIME_ZONE),
    }


def _close(version_id: int, interest: Interest, on: date, ids_from: int, ids_to: int) -> Accrued:
    """Accrue a day and credit what it ends, for the accounts of one product version."""
    facts = _facts(version_id, interest, on, ids_from, ids_to)
    clauses = {
        "parts": _parts(interest),
        "credits": _credits(interest),
        "lowest": "" if interest.balance == "daily" else f", lowest_cents = {LOWEST}",
    }
    with connection.cursor() as cursor:
        cursor.execute(EARN.format(**clauses), facts)
        earned = cursor.rowcount
    return Accrued(earned) + _credit(clauses, facts)


def _credit(clauses: dict[str, str], facts: dict[str, Any]) -> Accrued:
    """Credit the accounts that a day credits, and book it."""
    total = Accrued()
    with connection.cursor() as cursor:
        cursor.execute(CREDIT.format(**clauses), facts)
        credits = cursor.fetchall()
    for currency, partner, earned, credited, gross_cents, tax_cents, first_id in credits:
        total += Accrued(earned, credited)
        if gross_cents:
            _book_credits(facts["on"], facts["moved_at"], currency, partner, gross_cents, tax_cents, first_id)
    return total


def _book_credits(
    on: date, at: datetime, currency: str, partner: str, gross_cents: int, tax_cents: int, first_id: int
) -> None:
    """Book what the accounts of a chunk were credited with one posting: their movements hold the parts.

    It bears the name that a posting for the first of them alone would have; no account is credited twice a day.
    """
    ledger.post(
        kind=Posting.Kind.SAVINGS,
        reference=f"savings-interest:{first_id}:{on}",
        occurred_at=at,
        currency=currency,
        lines=accounting.savings_interest(gross_cents, tax_cents, partner),
    )


# --- a change of terms --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Change:
    """These accounts, all of one version, go by another one from a day on."""

    on: date
    before: SavingsProductVersion
    after: SavingsProductVersion
    ids: list[int]


# lending.rules.savings_change.next_change for the accounts of a range; `later` holds each version with those that
# came after it.
CHANGES = """
    WITH later AS (
        SELECT * FROM unnest(%(before)s::bigint[], %(after)s::bigint[], %(number)s::integer[],
                             %(effective_on)s::date[], %(is_worse)s::boolean[])
                      later (before, after, number, effective_on, is_worse)
    ), next AS (
        SELECT DISTINCT ON (account.id) account.id, before, after, day
          FROM lending_savingsaccount account JOIN later ON before = product_version_id,
               LATERAL (SELECT greatest(effective_on, accrued_on + 1) AS free) unlocked,
               LATERAL (SELECT CASE WHEN is_worse AND locked_until >= free
                                    THEN locked_until + 1 ELSE free END AS day) begins
         WHERE account.id BETWEEN %(ids_from)s AND %(ids_to)s AND closing_at IS NULL
         ORDER BY account.id, day, number DESC
    )
"""
TO_CHANGE = f"""{CHANGES}
    SELECT account.id FROM lending_savingsaccount account JOIN next USING (id)
     WHERE day <= %(by)s ORDER BY account.id FOR NO KEY UPDATE OF account
"""  # noqa: S608 - a constant
FIRST_CHANGES = f"""{CHANGES}
    SELECT day, before, after, array_agg(id ORDER BY id) FROM next
     WHERE day = (SELECT min(day) FROM next WHERE day <= %(by)s AND id = ANY(%(locked)s)) AND id = ANY(%(locked)s)
     GROUP BY day, before, after ORDER BY before, after
"""  # noqa: S608 - a constant


def _next_changes(versions: list[SavingsProductVersion], by: date, ids_from: int, ids_to: int) -> list[_Change]:
    """Return the changes of the first day, up to `by`, on which some account of the range goes over. The accounts
    stay locked: nothing moves in one between its last day by the old version and its first by the new one."""
    later = _later(versions, by)
    if not later["before"]:
        return []
    facts: dict[str, Any] = later | {"by": by, "ids_from": ids_from, "ids_to": ids_to}
    with connection.cursor() as cursor:
        cursor.execute(TO_CHANGE, facts)
        locked = [account_id for (account_id,) in cursor.fetchall()]
        # Looked at again under the lock: a movement may have let one of them go over meanwhile.
        cursor.execute(FIRST_CHANGES, facts | {"locked": locked})
        found = cursor.fetchall()
    known = {version.id: version for version in versions}
    return [_Change(on, known[before], known[after], ids) for on, before, after, ids in found]


def _later(versions: list[SavingsProductVersion], by: date) -> dict[str, list[Any]]:
    """Return as columns each version with every later one of its product that begins by a day."""
    pairs = [
        (before, after)
        for _, of_product in groupby(sorted(versions, key=lambda v: (v.code, v.version)), key=lambda v: v.code)
        for before, after in combinations(of_product, 2)
        if after.effective_on <= by
    ]
    return {
        "before": [before.id for before, _ in pairs],
        "after": [after.id for _, after in pairs],
        "number": [after.version for _, after in pairs],
        "effective_on": [after.effective_on for _, after in pairs],
        "is_worse": [
            bool(what_is_worse(read_terms(after.terms), read_terms(before.terms))) for before, after in pairs
        ],
    }


GO_OVER = """
    WITH changed AS (
        UPDATE lending_savingsaccount SET product_version_id = %(after)s, minimum_cents = %(minimum)s,
               floor_cents = least(floor_cents, %(minimum)s){standing}
         WHERE id = ANY(%(ids)s) AND product_version_id = %(before)s RETURNING id
    )
    INSERT INTO lending_savingsversionchange (account_id, before_id, after_id, effective_on)
    SELECT id, %(before)s, %(after)s, %(on)s::date + 1 FROM changed ORDER BY id
"""
STANDING = ", accrued_on = %(on)s::date, period_on = %(on)s::date + 1, lowest_cents = NULL"


def _go_over(change: _Change) -> Accrued:
    """Let accounts that stand at the end of the day before go by another version, and keep that they did.

    What they earned by the old one is credited, except in a lock, where it stays at stake until the lock ends.
    """
    last, interest = change.on - DAY, read_terms(change.before.terms).interest
    facts: dict[str, Any] = {
        "on": last,
        "ids": change.ids,
        "before": change.before.id,
        "after": change.after.id,
        "minimum": read_terms(change.after.terms).minimum_balance_cents,
    }
    total = Accrued()
    if interest is not None:
        facts |= _facts(change.before.id, interest, last, change.ids[0], change.ids[-1])
        ends = "id = ANY(%(ids)s) AND (locked_until IS NULL OR locked_until <= %(on)s::date)"
        total += _credit({"parts": _parts(interest), "credits": ends}, facts)
    with connection.cursor() as cursor:
        cursor.execute(GO_OVER.format(standing=STANDING if interest else ""), facts)
    return total


# --- dormancy -----------------------------------------------------------------------------------------------
def mark_dormant(on: date, ids_from: int, ids_to: int) -> int:
    """Call dormant what its owner has not used for as long as the terms say. They wake it by using it."""
    with connection.cursor() as cursor:
        cursor.execute(DORMANT, {"on": on, "ids_from": ids_from, "ids_to": ids_to})
        return int(cursor.rowcount)


DORMANT = """
    UPDATE lending_savingsaccount account SET state = 'dormant'
      FROM lending_savingsproductversion version
     WHERE version.id = product_version_id AND account.id BETWEEN %(ids_from)s AND %(ids_to)s
       AND state = 'active' AND used_on < %(on)s::date - (version.terms ->> 'dormant_after_days')::integer
"""
