"""What a loan does by itself on the days on which nothing happens to it.

Between two facts most days are alike: one installment earns on a straight line, and the loan is a day older. This
is all that close of business needs for such a day, and it needs no other row for it. The day on which it is not so
(another installment begins to earn, a penalty falls, a cap of the law begins to bind) is the day on which the loan
turns: it is worked out from its installments, and takes a new course.

Source: docs/domain/closing.md, "Ordinary days".
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

from lending.rules import charges
from lending.rules.facts import Course
from lending.rules.rows import OpenRow, Rows
from lending.rules.terms import Terms

DAY = timedelta(days=1)


def course_of(rows: Rows, terms: Terms, closed_on: date, turns: Iterable[date], stopped: bool) -> Course:
    """Return the course of a live loan after the end of a day; `turns` are days that others know of."""
    earning = sorted(
        (row for row in rows.unpaid() if row.unearned(closed_on)),
        key=lambda row: (row.installment.starts_on, row.number),
    )
    days = [*turns, *(row.installment.starts_on + DAY for row in earning[1:2])]
    if not stopped:
        days += _penalty_days(rows, terms, closed_on)
    base, line = rows.accrued(closed_on), None
    if earning:
        line, turn = _line(earning[0], closed_on)
        days += [turn] if turn else []
    turns_on = max(closed_on + DAY, min(days)) if days else None
    if line is None:
        return Course(base, turns_on=turns_on)
    return replace(line, base_cents=base - earning[0].accrued(closed_on) + line.base_cents, turns_on=turns_on)


def _line(row: OpenRow, closed_on: date) -> tuple[Course | None, date | None]:
    """Return the straight line on which an installment earns, and until when it is none.

    Not if a part was given up, so that it ends early, nor if it is earned on one day: then each day is worked out.
    What was paid ahead is earned already: nothing more is until the line comes to it.
    """
    part = row.installment
    cents, days = part.due.interest - part.earned_cents, (part.due_on - part.starts_on).days
    if row.forgone_interest or not days:
        return None, closed_on
    line = Course(part.earned_cents, cents, part.starts_on, days)
    if row.paid_interest > line.earned(closed_on):
        ahead = row.paid_interest + 1 - part.earned_cents
        return None, part.starts_on + timedelta(days=-(-ahead * days // cents))
    return line, None


def _penalty_days(rows: Rows, terms: Terms, closed_on: date) -> list[date]:
    """Return the next day on which each unpaid installment would be penalised."""
    planned = [row for row in rows.unpaid() if row.installment.source == "plan"]
    each = (
        next(charges.penalty_days(penalty, row.due_on, closed_on, date.max), None)
        for penalty in terms.penalties
        for row in planned
    )
    return [day for day in each if day is not None]
