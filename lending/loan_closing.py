"""Close of business for loans, in set-based SQL over chunks that any number of workers claim side by side.

On most days most loans stay on their course (lending.rules.course): `keep_on_course` ages a chunk of these and
counts the interest earned from the loans' own rows. For those that turn, `close_chunk` works out a chunk from its
installments, charges the penalties that fall within their caps and says on which course each loan is now. Both use
the integer formulas of lending.rules: a test holds them equal. Only loans with something to do are touched. What
SQL cannot say (a cash advance, a credit line, several penalties at once, interest that a cap cuts) is replayed one
loan at a time by the caller.

A chunk is one short transaction, which gives way to a payment that comes for one of its loans. It holds the loans'
rows alone, in a lock that lets others write rows which point to them, so nobody can wait in a circle with it.

Source: docs/domain/closing.md.
"""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from random import shuffle
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from lending import ledger
from lending.models import CountryPack, Loan, Posting, ProductVersion
from lending.right_of_way import giving_way
from lending.rules import accounting, arrears, calendar
from lending.rules.terms import Terms
from lending.selectors import contracts, products


@dataclass(frozen=True)
class Closed:
    """What a chunk came to: loans touched, penalties charged, and the last id that was looked at (0: no more)."""

    loans: int = 0
    penalties: int = 0
    last_id: int = 0


def in_sets(terms: Terms) -> bool:
    """Say whether SQL can close loans under these terms."""
    return (
        terms.kind not in ("sales_share", "credit_line")
        and len(terms.penalties) <= 1
        and not any(fee.earned == "over_term" for fee in terms.fees)
    )


@dataclass(frozen=True)
class Agreed:
    """What the statement needs of products and packs, as columns for unnest."""

    columns: dict[str, list[Any]]


def agreed() -> Agreed:
    """Read the terms of every product that SQL can close, and the first day of in duplum of every pack."""
    columns: dict[str, list[Any]] = {name: [] for name in (*_PRODUCT, *_PACK)}
    for version in ProductVersion.objects.order_by("id"):
        terms = products.terms_of(version)
        if in_sets(terms):
            for name, value in _product(version.id, terms).items():
                columns[name].append(value)
    for pack in CountryPack.objects.order_by("id"):
        columns["pack"].append(pack.id)
        columns["in_duplum"].append(contracts.caps_of(pack.rules).in_duplum_from_days)
    return Agreed(columns)


_PRODUCT = {
    "version": "bigint", "rate": "numeric", "amount": "bigint", "base": "text", "grace": "int", "every": "int",
    "most": "int", "cap_rate": "numeric", "cap_cents": "bigint", "tax_rate": "numeric", "tax_account": "text",
    "unit": "bigint", "mode": "text", "grows": "boolean",
}  # fmt: skip
_PACK = {"pack": "bigint", "in_duplum": "int"}


def _product(version_id: int, terms: Terms) -> dict[str, Any]:
    penalty = terms.penalties[0] if terms.penalties else None
    most = penalty.most_times if penalty else 0
    return {
        "version": version_id,
        "rate": penalty and penalty.rate,
        "amount": penalty and penalty.amount_cents,
        "base": penalty.of if penalty else "none",
        "grace": penalty.grace_days if penalty else 0,
        "every": penalty.every_days if penalty else 0,
        # Without a step it falls once, whatever is said of how often.
        "most": (None if most is None else min(1, most)) if penalty and not penalty.every_days else most,
        "cap_rate": penalty and penalty.cap_rate,
        "cap_cents": penalty and penalty.cap_cents,
        "tax_rate": terms.tax.rate if penalty and penalty.taxed else 0,
        "tax_account": f"{terms.tax.kind}_payable",
        "unit": terms.unit_cents,
        "mode": terms.rounding.mode,
        "grows": terms.grows_with_time,
    }


@giving_way()
def keep_on_course(on: date, after_id: int, size: int) -> Closed:
    """Bring the next `size` loans above an id, of those that do not turn, to the end of a date.

    Repeats safely, and leaves out loans that others hold. `last_id` of 0 says that there was no loan left.

    Raises:
        GaveWay: nothing was done, a payment came for one of them.
    """
    loans, taken, last_id = _keep(on, after_id, size)
    if loans < taken:  # some were paid between look and lock: these once more, as they are now
        loans += _keep(on, after_id, taken - loans)[0]
    return Closed(loans, 0, last_id)


def _keep(on: date, after_id: int, size: int) -> tuple[int, int, int]:
    """Return how many loans were brought to the end of a date, how many were taken, and the last id of these."""
    with connection.cursor() as cursor:
        cursor.execute(_QUICK)
        cursor.execute(KEEP, {"on": on, "after": after_id, "size": size})
        loans, taken, last_id, earned = cursor.fetchone()
    _book_accruals(earned, on)
    return loans, taken, last_id or 0


@giving_way()
def close_chunk(on: date, after_id: int, terms: Agreed, at: datetime, size: int) -> Closed:
    """Work out the next `size` loans above an id, of those that turn, to the end of a date.

    Repeats safely, and leaves out loans that others hold. `last_id` of 0 says that there was no loan left.

    Raises:
        GaveWay: nothing was done, a payment came for one of them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_QUICK)
        # In a statement of its own: the next one sees whatever was paid until these rows were ours.
        cursor.execute(CLAIM, {**terms.columns, "on": on, "after": after_id, "size": size})
        claimed = [loan_id for (loan_id,) in cursor.fetchall()]
    if not claimed:
        return Closed()
    values: dict[str, Any] = {
        **terms.columns,
        "on": on,
        "claimed": claimed,
        "ends_at": calendar.end_of(on, settings.TIME_ZONE),
        "booked_on": ledger.open_day(on),
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, values)
        loans, penalties, earned = cursor.fetchone()
    _book_accruals(earned, on)
    return Closed(loans, penalties, claimed[-1])


def _book_accruals(earned: dict[str, int] | None, on: date) -> None:
    """Book what a chunk of loans earned, one posting a currency: the loans themselves hold their parts."""
    for currency, cents in (earned or {}).items():
        if cents:
            ledger.post(
                kind=Posting.Kind.ACCRUAL,
                reference=f"accrual:{on.isoformat()}:{uuid.uuid4()}",
                occurred_at=calendar.end_of(on, settings.TIME_ZONE),
                currency=currency,
                lines=accounting.accrual(cents),
            )


def left_to_close(on: date) -> "QuerySet[Loan]":
    """Return the loans that have something to do on a date and are not past it."""
    return Loan.objects.filter(state=Loan.State.LIVE, next_action_on__lte=on, aged_on__lt=on)


@transaction.atomic
def left_over(on: date, size: int) -> list[int]:
    """Return so many loans that are left and that nobody holds, each worker in an order of its own.

    What a chunk of another worker or a payment holds is not among them, since it may be closed by then. If all
    that is left is held, it is one of these, to be waited for.
    """
    left = left_to_close(on).order_by("id").values_list("id", flat=True)
    free = list(left.select_for_update(skip_locked=True, no_key=True)[:size])
    shuffle(free)
    return free or list(left[:1])


def _round(exact: str) -> str:
    """Return the SQL of money.round_to for a numeric expression, in units and by mode of the product."""
    units = f"(({exact}) / unit)"
    return f"""(unit * CASE mode
        WHEN 'up' THEN ceil({units})
        WHEN 'half_even' THEN CASE WHEN {units} - floor({units}) = 0.5 THEN 2 * round(floor({units}) / 2 + 0.25)
                                   ELSE round({units}) END
        ELSE floor({units} + 0.5) END)::bigint"""


def _accrued(day: str) -> str:
    """Return the SQL of OpenRow.accrued of an item by the end of a day."""
    return f"""least(interest_cents - forgone, greatest(paid, CASE
        WHEN {day} >= due_on THEN interest_cents
        WHEN {day} <= starts_on THEN earned_cents
        ELSE earned_cents + (interest_cents - earned_cents) * ({day} - starts_on) / (due_on - starts_on) END))"""


# What a loan was charged of penalties so far, less those that would not be there.
_PENALISED = """
    SELECT coalesce(sum(penalty_cents - coalesce((SELECT sum(penalty_cents) FROM lending_allocation
                                                   WHERE installment_id = due.id AND kind = 'corrected'), 0)), 0)
      FROM lending_installment due WHERE due.loan_id = fit.id AND due.source = 'penalty'
"""
_QUICK = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"  # a chunk is few rows of large tables
_CLASS = " ".join(f"WHEN late >= {first} THEN '{name}'" for name, first in reversed(arrears.CLASSES))
# A row is found again by its place, which is cheaper than by its id; one that moved meanwhile is not.
KEEP = f"""
WITH chunk AS MATERIALIZED (
    SELECT ctid AS place, id, accrued_cents AS before, greatest(0, %(on)s - unpaid_since) AS late,
           greatest(accrued_cents, course_base_cents
               + course_cents * least(greatest(%(on)s - course_from, 0), course_days) / greatest(course_days, 1)
           ) AS accrued
      FROM lending_loan
     WHERE state = 'live' AND next_action_on <= %(on)s AND aged_on < %(on)s AND id > %(after)s
       AND (turns_on > %(on)s OR turns_on IS NULL)
     ORDER BY id LIMIT %(size)s FOR NO KEY UPDATE SKIP LOCKED
), moved AS (
    UPDATE lending_loan loan SET
           days_past_due = late,
           worst_days_past_due = greatest(worst_days_past_due, late),
           accrued_cents = accrued,
           accrual_cents = accrual_cents + accrued - before,
           classification = CASE {_CLASS} END,
           aged_on = %(on)s,
           next_action_on = CASE WHEN course_days > 0 AND course_from + course_days > %(on)s THEN %(on)s + 1
                                 ELSE greatest(%(on)s + 1, least(unpaid_since + 1, turns_on)) END
      FROM chunk WHERE loan.ctid = chunk.place
    RETURNING loan.currency, accrued - before AS earned
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM chunk), (SELECT max(id) FROM chunk),
       (SELECT json_object_agg(currency, earned)
          FROM (SELECT currency, sum(earned) AS earned FROM moved GROUP BY currency) each)
"""  # noqa: S608 - made of names declared above
CLAIM = """
    SELECT id FROM lending_loan
     WHERE state = 'live' AND next_action_on <= %(on)s AND aged_on < %(on)s AND id > %(after)s
       AND turns_on <= %(on)s AND product_version_id = ANY(%(version)s::bigint[])
     ORDER BY id LIMIT %(size)s FOR NO KEY UPDATE SKIP LOCKED
"""
CLOSE = f"""
WITH agreed AS (
    SELECT * FROM unnest({", ".join(f"%({name})s::{kind}[]" for name, kind in _PRODUCT.items())})
        AS product({", ".join(_PRODUCT)})
), law AS (
    SELECT * FROM unnest({", ".join(f"%({name})s::{kind}[]" for name, kind in _PACK.items())})
        AS country({", ".join(_PACK)})
), chunk AS MATERIALIZED (
    SELECT lending_loan.ctid AS place, id, borrower_id, currency, principal_cents, room_cents, stopped_on,
           non_performing, unpaid_since, accrued_cents, least(%(on)s, stopped_on) AS earns_until,
           least(aged_on, stopped_on) AS earned_until,
           greatest(0, %(on)s - unpaid_since) AS late, agreed.*, law.in_duplum
      FROM lending_loan
      JOIN agreed ON agreed.version = product_version_id
      JOIN law ON law.pack = country_pack_id
     WHERE id = ANY(%(claimed)s)
), item AS (
    -- Nothing before the oldest unpaid due date is owed or earns any more, and a penalty neither earns nor is
    -- penalised: they are not read.
    SELECT due.loan_id, due.number, due.source, due.starts_on, due.due_on, due.earned_cents, due.interest_cents,
           due.principal_cents - coalesce(cover.principal, 0) AS principal,
           due.interest_cents - coalesce(cover.interest, 0) AS interest,
           due.fee_cents + due.tax_cents - coalesce(cover.fee_and_tax, 0) AS fee_and_tax,
           due.penalty_cents - coalesce(cover.penalty, 0) AS penalty,
           coalesce(cover.interest_paid, 0) AS paid, coalesce(cover.interest_forgone, 0) AS forgone,
           chunk.earns_until, chunk.earned_until
      FROM chunk JOIN lending_installment due
        ON due.loan_id = chunk.id AND due.due_on >= chunk.unpaid_since AND due.source <> 'penalty'
      LEFT JOIN LATERAL (
           SELECT sum(principal_cents)::bigint AS principal, sum(interest_cents)::bigint AS interest,
                  sum(fee_cents + tax_cents)::bigint AS fee_and_tax, sum(penalty_cents)::bigint AS penalty,
                  (sum(interest_cents) FILTER (WHERE kind = 'paid'))::bigint AS interest_paid,
                  (sum(interest_cents) FILTER (WHERE kind NOT IN ('paid', 'written_off')))::bigint
                      AS interest_forgone
             FROM lending_allocation WHERE installment_id = due.id
      ) cover ON true
), owed AS MATERIALIZED (
    -- A plan made anew holds the penalties of the old one: they keep an installment unpaid, but nothing is charged
    -- on them.
    SELECT earned.*, principal + interest + fee_and_tax AS total,
           principal + interest + fee_and_tax + penalty > 0 AS is_unpaid,
           greatest(0, interest - greatest(0, accrued - paid)) AS unearned
      FROM (SELECT item.*, {_accrued("earns_until")} AS accrued, {_accrued("earned_until")} AS accrued_before
              FROM item) earned
), stand AS (
    SELECT loan_id, sum(principal)::bigint AS principal, sum(interest)::bigint AS interest,
           sum(accrued - accrued_before)::bigint AS earned,
           min(starts_on + 1) FILTER (WHERE unearned > 0) AS earns_on,
           (sum(interest) FILTER (WHERE due_on > %(on)s))::bigint AS ahead,
           -- The next day on which one of what is unpaid is penalised.
           min(CASE WHEN owed.due_on + grace >= %(on)s THEN owed.due_on + grace + 1
                    WHEN every > 0 AND (most IS NULL OR (%(on)s - owed.due_on - grace - 1) / every + 1 < most)
                        THEN owed.due_on + grace + 1 + ((%(on)s - owed.due_on - grace - 1) / every + 1) * every
               END) FILTER (WHERE source = 'plan' AND is_unpaid AND base <> 'none' AND stopped_on IS NULL
                              AND (most IS NULL OR most > 0)) AS penalised_on,
           -- The installments that earn, the first two of which make the course.
           array_agg(ARRAY[starts_on - DATE '2000-01-01', due_on - starts_on, interest_cents - earned_cents,
                           earned_cents, accrued, paid, forgone] ORDER BY starts_on, number)
               FILTER (WHERE unearned > 0) AS earning
      FROM owed JOIN chunk ON chunk.id = loan_id GROUP BY loan_id
), loan AS (
    SELECT chunk.*, coalesce(stand.principal, 0) AS principal, coalesce(ahead, 0) AS ahead, earning, earns_on,
           penalised_on, coalesce(interest, 0) AS interest, coalesce(earned, 0) AS earned,
           accrued_cents + coalesce(earned, 0) AS accrued,
           in_duplum IS NOT NULL AND NOT non_performing AND late >= in_duplum AS turns
      FROM chunk LEFT JOIN stand ON stand.loan_id = chunk.id
), fit AS MATERIALIZED (
    -- A cap that would cut interest which is not earned yet is worked out in Python.
    SELECT * FROM loan WHERE NOT (turns AND interest > 0 AND least(room_cents, principal - ahead) < 0)
), course AS (
    -- lending.rules.course: a straight line, or none, and until when.
    SELECT id, starts_on, days, cents,
           CASE WHEN straight AND NOT paid_ahead THEN accrued - first_accrued + before ELSE accrued END AS standing,
           straight AND NOT paid_ahead AS runs,
           least(second_on,
                 CASE WHEN NOT straight THEN %(on)s
                      WHEN paid_ahead THEN starts_on + (((paid + 1 - before) * days + cents - 1) / cents)::int END,
                 penalised_on,
                 CASE WHEN grows AND NOT non_performing AND NOT turns THEN unpaid_since + in_duplum END
           ) AS turn_on
      FROM (
        SELECT line.*, forgone = 0 AND days > 0 AS straight,
               forgone = 0 AND days > 0
               AND paid > before + cents * least(greatest(%(on)s - starts_on, 0), days) / greatest(days, 1)
                   AS paid_ahead
          FROM (
            SELECT fit.*, DATE '2000-01-01' + earning[1][1]::int AS starts_on, earning[1][2]::int AS days,
                   earning[1][3] AS cents, earning[1][4] AS before, earning[1][5] AS first_accrued,
                   earning[1][6] AS paid, earning[1][7] AS forgone,
                   DATE '2000-01-01' + earning[2][1]::int + 1 AS second_on
              FROM fit
          ) line
      ) line
), falling AS (
    SELECT fit.id, owed.number, unit, mode, tax_rate, tax_account, cap_rate, cap_cents, principal_cents, room_cents,
           CASE WHEN coalesce(cap_rate, cap_cents) IS NOT NULL THEN ({_PENALISED}) END AS penalised,
           CASE WHEN rate IS NULL THEN amount ELSE {
    _round('''rate * CASE base WHEN 'overdue_principal' THEN owed.principal
               WHEN 'overdue_installment' THEN owed.total ELSE fit.principal END''')
} END AS cents
      FROM fit JOIN owed ON owed.loan_id = fit.id AND owed.source = 'plan' AND owed.is_unpaid
     WHERE base <> 'none' AND stopped_on IS NULL AND owed.due_on < %(on)s
       AND %(on)s - owed.due_on > grace
       AND CASE WHEN every = 0 THEN %(on)s - owed.due_on = grace + 1
                ELSE (%(on)s - owed.due_on - grace - 1) %% every = 0 END
       AND (most IS NULL OR (%(on)s - owed.due_on - grace - 1) / greatest(every, 1) < most)
       AND CASE base WHEN 'overdue_principal' THEN owed.principal
                     WHEN 'overdue_installment' THEN owed.total ELSE fit.principal END > 0
), within AS (
    -- The product's own caps: what is left of them after the penalties before this one.
    SELECT falling.*, greatest(0, least(
               cents,
               cap_cents - penalised - before,
               floor(principal_cents * cap_rate)::bigint - penalised - before
           ))::bigint AS kept
      FROM (SELECT *, coalesce(sum(cents) OVER (PARTITION BY id ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING
                                                AND 1 PRECEDING), 0) AS before FROM falling) falling
), taxed AS (
    SELECT within.*, {_round("kept * tax_rate")} AS tax FROM within
), roomy AS (
    -- The law's caps: the rest of the room goes to charge and tax in proportion.
    SELECT taxed.*,
           CASE WHEN room_cents IS NULL THEN kept + tax ELSE greatest(0, room_cents - before_both) END AS room
      FROM (SELECT *, coalesce(sum(kept + tax) OVER (PARTITION BY id ORDER BY number ROWS BETWEEN
                                                     UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_both
              FROM taxed) taxed
), charged AS MATERIALIZED (
    SELECT id, tax_account, number, penalty, tax FROM (
        SELECT id, tax_account, number,
               (CASE WHEN kept + tax <= room THEN kept ELSE room - rest_tax END)::bigint AS penalty,
               (CASE WHEN kept + tax <= room THEN tax ELSE rest_tax END)::bigint AS tax
          FROM (SELECT *, div(room * tax, kept + tax) AS rest_tax FROM roomy WHERE kept + tax > 0) roomy
    ) each WHERE penalty + tax > 0
), sums AS MATERIALIZED (
    SELECT sums.*,
           nextval((SELECT pg_get_serial_sequence('lending_posting', 'id')::regclass)) AS posting_id,
           (SELECT max(number) FROM lending_installment WHERE loan_id = sums.id) AS last_number
      FROM (SELECT charged.id, charged.tax_account, currency, borrower_id, sum(charged.penalty)::bigint AS penalty,
                   sum(charged.tax)::bigint AS tax, array_agg(charged.penalty ORDER BY number) AS penalties,
                   array_agg(charged.tax ORDER BY number) AS taxes
              FROM charged JOIN fit ON fit.id = charged.id GROUP BY 1, 2, 3, 4) sums
), added AS (
    INSERT INTO lending_installment (loan_id, number, source, event_key, starts_on, due_on, earned_cents,
                                     principal_cents, interest_cents, fee_cents, tax_cents, penalty_cents)
    SELECT id, last_number + place, 'penalty', 'day:' || %(on)s, %(on)s, %(on)s, 0, 0, 0, 0, each.tax, each.penalty
      FROM sums CROSS JOIN LATERAL unnest(penalties, taxes) WITH ORDINALITY AS each(penalty, tax, place)
), posted AS (
    INSERT INTO lending_posting (id, kind, reference, borrower_id, loan_id, event_key, occurred_at, business_date,
                                 booked_at)
    SELECT posting_id, 'penalty', 'loan:' || id || ':day:' || %(on)s || ':penalty', borrower_id, id,
           'day:' || %(on)s, %(ends_at)s, %(booked_on)s, %(at)s FROM sums
), entered AS (
    INSERT INTO lending_entry (posting_id, account_id, currency, debit_cents, credit_cents)
    SELECT posting_id, leg.account, currency, leg.debit, leg.credit
      FROM sums CROSS JOIN LATERAL
           (VALUES ('penalty_receivable', penalty, 0::bigint), ('penalty_income', 0::bigint, penalty),
                                 ('tax_receivable', tax, 0::bigint), (tax_account, 0::bigint, tax))
        AS leg(account, debit, credit)
     WHERE leg.debit + leg.credit > 0
), moved AS (
    UPDATE lending_loan loan SET
           days_past_due = late,
           worst_days_past_due = greatest(worst_days_past_due, late),
           accrued_cents = fit.accrued,
           accrual_cents = accrual_cents + fit.earned,
           outstanding_cents = outstanding_cents + coalesce(sums.penalty + sums.tax, 0),
           room_cents = least(loan.room_cents - coalesce(sums.penalty + sums.tax, 0),
                              CASE WHEN turns AND grows THEN fit.principal - ahead END),
           non_performing = loan.non_performing OR turns AND grows,
           classification = CASE {_CLASS} END,
           aged_on = %(on)s,
           next_action_on = greatest(
               %(on)s + 1, least(fit.unpaid_since + 1, CASE WHEN loan.stopped_on IS NULL THEN earns_on END)
           ),
           turns_on = CASE WHEN turn_on IS NOT NULL THEN greatest(%(on)s + 1, turn_on) END,
           course_from = CASE WHEN runs THEN line.starts_on END,
           course_days = CASE WHEN runs THEN line.days ELSE 0 END,
           course_cents = CASE WHEN runs THEN line.cents ELSE 0 END,
           course_base_cents = line.standing
      FROM fit JOIN course line ON line.id = fit.id LEFT JOIN sums ON sums.id = fit.id
     WHERE loan.ctid = fit.place
    RETURNING loan.currency, fit.earned
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM charged),
       (SELECT json_object_agg(currency, earned)
          FROM (SELECT currency, sum(earned) AS earned FROM moved GROUP BY currency) each)
"""  # noqa: S608 - made of names declared above
