"""Close of business: each business date is closed once, in order, and a missed one is caught up.

Any number of workers may close the same date side by side: loans and savings are claimed in chunks, and a loan
that is past the date is not touched, so a worker that dies takes nothing with it. The last one to find nothing
left finishes the date. Source: docs/domain/closing.md.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min

from lending import chain, loan_closing, right_of_way, savings_closing
from lending.ledger import make_checkpoints
from lending.models import Case, JobRun, Loan, SavingsAccount, SweepMandate
from lending.rules import calendar
from lending.rules.facts import FactRefused
from lending.selectors import contracts
from lending.services import bureau, cases, lateness, life, partner_files, promises, savings_sweeps, snapshots
from lending.services.brakes import pull_brakes
from lending.services.people import lock_person

JOB = JobRun.CLOSE_OF_BUSINESS
# Large enough that planning a statement costs little, small enough that giving way loses little. A loan on its
# course takes a fifth of one that turns.
COURSE_CHUNK = 2_000
LOAN_CHUNK = 1_000
SAVINGS_CHUNK = 2_000
# Who had to give way takes fewer loans next, so that it comes to an end however many customers pay.
LEAST_CHUNK = 50
PAUSE_SECONDS = 0.01


@dataclass
class Work:
    """What closing a date came to in one worker."""

    aged: int = 0
    penalties: int = 0
    savers: int = 0
    gave_way: int = 0

    def give_way(self) -> None:
        """Count that a customer went first, and let them."""
        self.gave_way += 1
        time.sleep(PAUSE_SECONDS)


def close_until_yesterday(at: datetime) -> list[date]:
    """Close every date up to yesterday that is not closed yet; return the dates closed now."""
    today = calendar.business_date(at, settings.TIME_ZONE)
    last = JobRun.objects.filter(job=JOB, finished_at__isnull=False).order_by("-business_date").first()
    first_open = last.business_date if last else today - timedelta(days=2)
    closed = []
    for day in calendar.days_between(first_open, today - timedelta(days=1)):
        if close_business(day, at):
            closed.append(day)
        elif not JobRun.objects.filter(job=JOB, business_date=day, finished_at__isnull=False).exists():
            break  # another worker is at the last of it: later dates wait for their turn
    # Afterwards, so that no date waits for it.
    snapshots.catch_up(first_open, at)
    return closed


def close_business(on: date, at: datetime) -> bool:
    """Bring loans and savings to the end of a date, owe the reminders, checkpoint and chain the ledger.

    Repeats safely, also side by side. False: the date is closed already, or another worker is at the last of it.
    """
    run, _ = JobRun.objects.get_or_create(job=JOB, business_date=on, defaults={"started_at": at})
    if run.finished_at:
        return False
    work = Work()
    _close_loans(on, at, work)
    _close_savings(on, work)
    _count(run, work)
    if loan_closing.left_to_close(on).exists():
        return False
    return _finish(run, at)


# Adds to what other workers have counted, whoever is quicker, also after the date was finished by another one.
COUNT = """
    UPDATE lending_jobrun run SET result = run.result || (
           SELECT jsonb_object_agg(told.key, coalesce((run.result ->> told.key)::bigint, 0) + told.value::bigint)
             FROM jsonb_each_text(%s) told
           )
     WHERE id = %s
"""


def _count(run: JobRun, work: Work) -> None:
    """Add to the date's run what this worker has closed."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [json.dumps(asdict(work)), run.id])


def _close_loans(on: date, at: datetime, work: Work) -> None:
    """Close in chunks the loans that stay on their course, then those that turn, then one by one what is left."""
    terms = loan_closing.agreed()
    _in_chunks(lambda last_id, size: loan_closing.keep_on_course(on, last_id, size), COURSE_CHUNK, work)
    _in_chunks(lambda last_id, size: loan_closing.close_chunk(on, last_id, terms, at, size), LOAN_CHUNK, work)
    while left := loan_closing.left_over(on, LOAN_CHUNK):
        for loan_id in left:
            _close_singly(loan_id, on, at, work)


def _close_singly(loan_id: int, on: date, at: datetime, work: Work) -> None:
    try:
        work.aged += close_singly(loan_id, on, at)
    except right_of_way.GaveWay:
        work.give_way()
    except (FactRefused, life.TooManyFacts) as error:
        _leave_to_a_person(loan_id, on, error, at)


def _in_chunks(close: Callable[[int, int], loan_closing.Closed], most: int, work: Work) -> None:
    """Close chunk after chunk of at most so many loans, from the first id to the last."""
    last_id, size = 0, most
    while True:
        try:
            chunk = close(last_id, size)
        except right_of_way.GaveWay:
            work.give_way()
            size = max(size // 2, min(LEAST_CHUNK, most))
            continue
        if not chunk.last_id:
            return
        work.aged += chunk.loans
        work.penalties += chunk.penalties
        last_id, size = chunk.last_id, min(size * 2, most)


def _leave_to_a_person(loan_id: int, on: date, error: Exception, at: datetime) -> None:
    """A loan that cannot be played holds up no date: a person gets a case, and it is tried again the next day."""
    cases.open_case(kind=Case.Kind.BAD_TASK, subject_key=f"close:loan:{loan_id}", note=str(error), at=at)
    Loan.objects.filter(id=loan_id).update(next_action_on=on + timedelta(days=1))


@right_of_way.giving_way()
def close_singly(loan_id: int, on: date, at: datetime) -> bool:
    """Bring one loan to the end of a date by replaying it; False if it is past the date.

    Raises:
        GaveWay: nothing was done, its borrower went first.
        FactRefused, TooManyFacts: it cannot be played.
    """
    if not loan_closing.left_to_close(on).filter(id=loan_id).exists():
        return False  # another worker was quicker, and nobody needs to be locked
    loan = contracts.with_contract().get(id=loan_id)
    lock_person(loan.borrower)
    # Waits for a chunk of another worker that holds it, and looks at what that left.
    if loan_closing.left_to_close(on).select_for_update(no_key=True).filter(id=loan_id).first() is None:
        return False
    life.replay(loan, at, closed_on=on)
    return True


def _close_savings(on: date, work: Work) -> None:
    """Close savings in ranges of ids; one that another worker is at is looked at once more at the end."""
    ids = SavingsAccount.objects.aggregate(first=Min("id"), last=Max("id"))
    firsts = range(ids["first"] or 0, (ids["last"] or -1) + 1, SAVINGS_CHUNK)
    others = _savings_in_turn(savings_closing.claim_and_accrue, firsts, on, work)
    # Waits for its rows. There is nothing left to do, unless the other worker died.
    _savings_in_turn(savings_closing.accrue_savings, others, on, work)


def _savings_in_turn(
    close: Callable[[date, int, int], savings_closing.Accrued | None], firsts: Iterable[int], on: date, work: Work
) -> list[int]:
    """Close range after range of savings, one that gave way once more at the end; return those of other workers."""
    left, others = deque(firsts), []
    while left:
        first = left.popleft()
        try:
            done = close(on, first, first + SAVINGS_CHUNK - 1)
        except right_of_way.GaveWay:
            work.give_way()
            left.append(first)
            continue
        if done is None:
            others.append(first)
        else:
            work.savers += done.accrued
    return others


def _finish(run: JobRun, at: datetime) -> bool:
    """Do once what a date ends with: reminders, brakes, checkpoints, chain; False if another worker was quicker."""
    on, today = run.business_date, calendar.business_date(at, settings.TIME_ZONE)
    # A date that is caught up late reminds nobody: what it would say is no longer true.
    lateness.close_needless_calls(today, at)
    if on + timedelta(days=1) == today:
        lateness.queue_calls(today, at)
    reminders = lateness.owe_reminders(today, at) if on + timedelta(days=1) == today else 0
    notices = bureau.owe_notices(today, at) if on + timedelta(days=1) == today else 0
    sweeps = _savings_of(today, at) if on + timedelta(days=1) == today else 0
    judged = promises.judge_promises(on, at)
    paused = pull_brakes(on, at)
    checkpoints = make_checkpoints(at)
    chain.extend()
    result = {
        "reminders": reminders,
        "bureau_notices": notices,
        "sweeps": sweeps,
        "promises": judged,
        "paused": paused,
        "checkpoints": checkpoints,
    }
    with connection.cursor() as cursor:
        cursor.execute(FINISH, [at, json.dumps(result), run.id])
        return bool(cursor.rowcount)


FINISH = "UPDATE lending_jobrun SET finished_at = %s, result = result || %s WHERE id = %s AND finished_at IS NULL"


def _savings_of(today: date, at: datetime) -> int:
    """Ask savings to pay what is due where their owners said so, and ask after instructions that nobody answered.

    Return how many sweeps were asked for.
    """
    owing = Loan.objects.filter(state=Loan.State.LIVE, due_on__lte=today)
    given = SweepMandate.objects.filter(withdrawn_at__isnull=True, account__borrower__loans__in=owing)
    asked = [savings_sweeps.sweep(account_id=mandate.account_id, at=at) for mandate in given.order_by("account_id")]
    partners = SavingsAccount.objects.exclude(partner="").values_list("partner", flat=True).distinct()
    for partner in partners.order_by("partner"):
        partner_files.chase_silence(partner=partner, at=at)
    return sum(instruction is not None for instruction in asked)
