"""Where each feature comes from: SQL by subject, as of a moment.

Each source is a join that follows `asked` (one row for each row asked for: position, borrower_id, as_of,
requested_cents, application_id, local, since_*) and the columns that are made of it. A join is LATERAL: for one
applicant a handful of index scans, for many the same scans again. Every fact is held to `fact < as_of`: what came
later, however the row in the table looks today, is not seen. Of the application itself counts what it says.

Counting and summing stay in whole cents and PostgreSQL's exact numerics and become floats last, so neither the
order of rows nor the plan can change a bit. Hours in place of days, because a day of an interval may have 23 or 25.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One subject: `join` brings what the columns are made of, by the feature's name."""

    join: str
    columns: Mapping[str, str]


ASKED = """
SELECT
    position, borrower_id, as_of, requested_cents::numeric, application_id,
    as_of AT TIME ZONE %(zone)s AS local,
    as_of - interval '168 hours' AS since_7d,
    as_of - interval '720 hours' AS since_30d,
    as_of - interval '2016 hours' AS since_84d,
    as_of - interval '2160 hours' AS since_90d,
    as_of - interval '4368 hours' AS since_182d,
    as_of - interval '8760 hours' AS since_365d
FROM unnest(%(borrowers)s::bigint[], %(moments)s::timestamptz[], %(amounts)s::bigint[], %(applications)s::bigint[])
    WITH ORDINALITY AS given (borrower_id, as_of, requested_cents, application_id, position)
"""


def days_since(moment: str) -> str:
    """Return the SQL of the days from a moment to `as_of`."""
    return f"extract(epoch FROM as_of - {moment}) / 86400"


def share(part: str, whole: str) -> str:
    """Return the SQL of a part of a whole, NULL of nothing."""
    return f"({part})::numeric / nullif({whole}, 0)"


# --- what several subjects, and the events of scoring/events.py, share; declared here, typed by nobody ----------
KNOWN_LOANS = """
SELECT
    loan.id, principal_cents, disbursed_at, settled_at, written_off_at,
    coalesce(settled_at < as_of, FALSE) AS done,
    -- A settled loan stays as it is. The end of an open one may have moved since: the one known then.
    CASE
        WHEN settled_at < as_of THEN due_on
        ELSE coalesce((
            SELECT max(plan.due_on)
            FROM lending_installment plan
            JOIN lending_loanevent event ON event.key = plan.event_key
            WHERE plan.loan_id = loan.id AND plan.source = 'plan' AND event.booked_at < as_of
                AND NOT EXISTS (
                    SELECT FROM lending_loanevent undo
                    WHERE undo.reverses_id = event.id AND undo.booked_at < as_of
                )
        ), due_on)
    END AS due_by,
    lag(CASE WHEN settled_at < as_of THEN settled_at END) OVER (ORDER BY disbursed_at, loan.id)
        AS before_settled_at
FROM lending_loan loan
-- A line is drawn and repaid again and again: neither its sum nor its end is that of a loan. What was
-- given back within cooling-off counts for nothing.
WHERE loan.borrower_id = asked.borrower_id AND disbursed_at < as_of AND credit_limit_cents IS NULL
    AND NOT EXISTS (
        SELECT FROM lending_loanevent gone
        WHERE gone.loan_id = loan.id AND gone.kind = 'cancel' AND gone.booked_at < as_of
            AND NOT EXISTS (
                SELECT FROM lending_loanevent undo
                WHERE undo.reverses_id = gone.id AND undo.booked_at < as_of
            )
    )
"""

SAVINGS_KEPT_OUT = """
CROSS JOIN LATERAL (
    -- Whoever said that their savings shall not count reads that they do not.
    SELECT EXISTS (
        SELECT FROM lending_consent
        WHERE lending_consent.borrower_id = asked.borrower_id AND purpose = 'savings' AND NOT granted
            AND given_at < as_of AND (withdrawn_at IS NULL OR withdrawn_at >= as_of)
    ) AS yes
) kept_out
"""

WALLET_SHARED = """
CROSS JOIN LATERAL (
    SELECT
        EXISTS (
            SELECT FROM lending_consent
            WHERE lending_consent.borrower_id = asked.borrower_id AND purpose = 'wallet' AND granted
                AND given_at < as_of AND (withdrawn_at IS NULL OR withdrawn_at >= as_of)
        ) AND EXISTS (
            SELECT FROM lending_walletmovement
            WHERE lending_walletmovement.borrower_id = asked.borrower_id AND moved_at < as_of
        ) AS yes
) shared
"""

STANDING_LINES = """
FROM lending_bookentry line
WHERE line.borrower_id = asked.borrower_id AND recorded_at < as_of AND reverses_id IS NULL
    AND NOT EXISTS (
        SELECT FROM lending_bookentry undo WHERE undo.reverses_id = line.id AND undo.recorded_at < as_of
    )
"""


PERSON = Source(
    join="""
JOIN lending_borrower borrower ON borrower.id = asked.borrower_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS numbers,
        coalesce(sum((
            SELECT count(*) FROM lending_loan theirs
            WHERE theirs.borrower_id = other.id AND theirs.disbursed_at < as_of
        )), 0) AS loans
    FROM lending_borrower other
    WHERE other.identity_index = borrower.identity_index AND other.id <> borrower.id
        AND other.identity_index <> '' AND other.registered_at < as_of
) person
LEFT JOIN LATERAL (
    SELECT max(opened_at) AS changed_at FROM lending_case
    WHERE lending_case.borrower_id = asked.borrower_id AND kind = 'sim_changed' AND opened_at < as_of
) sim ON TRUE
""",
    columns={
        "days_since_registered": days_since("borrower.registered_at"),
        "numbers": "1 + person.numbers",
        "loans_by_other_numbers": "person.loans",
        "days_since_sim_changed": days_since("sim.changed_at"),
    },
)

LOANS = Source(
    join=f"""
CROSS JOIN LATERAL (
    SELECT
        count(*) AS taken,
        count(*) FILTER (WHERE disbursed_at >= since_90d) AS taken_90d,
        count(*) FILTER (WHERE disbursed_at >= since_365d) AS taken_365d,
        count(*) FILTER (WHERE done) AS settled,
        count(*) FILTER (WHERE NOT done) AS open,
        count(*) FILTER (WHERE written_off_at < as_of) AS written_off,
        count(*) FILTER (WHERE done AND days_late <= 0) AS on_time,
        count(*) FILTER (WHERE done AND days_late < 0) AS early,
        count(*) FILTER (WHERE done AND days_late > 7) AS late_week,
        count(*) FILTER (WHERE days_late > 30) AS defaults,
        coalesce(min(place) FILTER (WHERE done AND days_late > 0) - 1, count(*) FILTER (WHERE done)) AS streak,
        coalesce(min(place) FILTER (WHERE done AND days_late <= 0) - 1, count(*) FILTER (WHERE done))
            AS late_streak,
        count(*) FILTER (WHERE done AND place <= 3 AND days_late > 0) AS late_of_last_3,
        max(greatest(days_late, 0)) AS worst_days_late,
        avg(days_late) FILTER (WHERE done) AS mean_days_late,
        avg(days_late) FILTER (WHERE done AND place <= 3) AS mean_days_late_3,
        stddev_pop(days_late) FILTER (WHERE done) AS days_late_spread,
        max(days_late) FILTER (WHERE done AND place = 1) AS last_days_late,
        max(settled_at) FILTER (WHERE done) AS last_settled_at,
        max(settled_at) FILTER (WHERE done AND days_late > 0) AS last_late_at,
        min(disbursed_at) AS first_at,
        max(disbursed_at) AS last_at,
        avg(gap_seconds) / 86400 AS gap_mean,
        (array_agg(gap_seconds ORDER BY disbursed_at DESC, id DESC))[1] / 86400 AS gap_last,
        avg(held_days::numeric / term_days) FILTER (WHERE done) AS term_used,
        max(held_days::numeric / term_days) FILTER (WHERE done AND place = 1) AS term_used_last,
        avg(principal_cents) AS principal_mean,
        max(principal_cents) AS principal_max,
        max(principal_cents) FILTER (WHERE done) AS repaid_max,
        coalesce(sum(principal_cents) FILTER (WHERE done), 0) AS repaid_total,
        max(principal_cents) FILTER (WHERE done AND days_late <= 0) AS on_time_max,
        (array_agg(principal_cents ORDER BY disbursed_at DESC, id DESC))[1] AS principal_last,
        (array_agg(principal_cents ORDER BY disbursed_at, id))[1] AS principal_first,
        sum(payments) FILTER (WHERE done) AS payments_of_settled,
        sum(payments) AS payments,
        sum(paid) AS paid,
        sum(paid_by_due) AS paid_by_due,
        max(last_paid_at) AS last_paid_at,
        avg(first_payment_seconds / 86400 / term_days) AS first_payment,
        sum(unprompted) AS unprompted,
        sum(at_night) AS at_night,
        sum(hours) AS hours
    FROM (
        SELECT
            known.*,
            -- An open loan is as late as it stands on the day; whatever became of it later is not known.
            CASE
                WHEN done THEN (settled_at AT TIME ZONE %(zone)s)::date - due_by
                ELSE greatest(local::date - due_by, 0)
            END AS days_late,
            (settled_at AT TIME ZONE %(zone)s)::date - (disbursed_at AT TIME ZONE %(zone)s)::date AS held_days,
            greatest(due_by - (disbursed_at AT TIME ZONE %(zone)s)::date, 1) AS term_days,
            row_number() OVER (PARTITION BY done ORDER BY settled_at DESC, id DESC) AS place,
            CASE WHEN before_settled_at IS NOT NULL
                THEN greatest(extract(epoch FROM disbursed_at - before_settled_at), 0) END AS gap_seconds,
            extract(epoch FROM first_paid_at - disbursed_at) AS first_payment_seconds,
            payment.*
        FROM (
            {KNOWN_LOANS}
        ) known
        CROSS JOIN LATERAL (
            SELECT
                count(*) AS payments,
                coalesce(sum(amount_cents), 0) AS paid,
                coalesce(sum(amount_cents) FILTER (WHERE received::date <= due_by), 0) AS paid_by_due,
                min(received_at) AS first_paid_at,
                max(received_at) AS last_paid_at,
                count(*) FILTER (WHERE attempt_id IS NULL) AS unprompted,
                count(*) FILTER (WHERE received::time < '06:00') AS at_night,
                sum(extract(hour FROM received) + extract(minute FROM received) / 60) AS hours
            FROM (
                SELECT
                    repayment.amount_cents, repayment.received_at, receipt.attempt_id,
                    repayment.received_at AT TIME ZONE %(zone)s AS received
                FROM lending_repayment repayment
                JOIN lending_receipt receipt ON receipt.id = repayment.receipt_id
                WHERE repayment.loan_id = known.id AND repayment.received_at < as_of AND repayment.amount_cents > 0
            ) each
        ) payment
    ) each
) loan
LEFT JOIN LATERAL (
    SELECT
        count(*) AS made,
        count(*) FILTER (WHERE state <> 'open' AND judged_at < as_of) AS judged,
        count(*) FILTER (WHERE state = 'kept' AND judged_at < as_of) AS kept
    FROM lending_promise
    WHERE lending_promise.borrower_id = asked.borrower_id AND made_at < as_of
) promise ON TRUE
""",  # noqa: S608
    columns={
        "loans_taken": "loan.taken",
        "loans_settled": "loan.settled",
        "on_time_share": share("loan.on_time", "loan.settled"),
        "on_time_streak": "CASE WHEN loan.settled > 0 THEN loan.streak END",
        "early_share": share("loan.early", "loan.settled"),
        "worst_days_late": "loan.worst_days_late",
        "mean_days_late": "loan.mean_days_late",
        "last_days_late": "loan.last_days_late",
        "days_since_last_settled": days_since("loan.last_settled_at"),
        "defaults_90": "loan.defaults",
        "part_payments_mean": share("loan.payments_of_settled", "loan.settled"),
        "principal_last_cents": "loan.principal_last",
        "principal_growth": share("loan.principal_last", "loan.principal_first"),
        "loans_90d": "loan.taken_90d",
        "loans_365d": "loan.taken_365d",
        "loans_open": "loan.open",
        "loans_written_off": "loan.written_off",
        "principal_mean_cents": "loan.principal_mean",
        "principal_max_cents": "loan.principal_max",
        "repaid_max_cents": "loan.repaid_max",
        "repaid_total_cents": "loan.repaid_total",
        "on_time_max_cents": "loan.on_time_max",
        "days_since_first_loan": days_since("loan.first_at"),
        "days_since_last_loan": days_since("loan.last_at"),
        "gap_mean_days": "loan.gap_mean",
        "gap_last_days": "loan.gap_last",
        "term_used_mean": "loan.term_used",
        "term_used_last": "loan.term_used_last",
        "days_late_spread": "loan.days_late_spread",
        "days_late_shift": "loan.mean_days_late_3 - loan.mean_days_late",
        "late_of_last_3": "CASE WHEN loan.settled > 0 THEN loan.late_of_last_3 END",
        "late_streak": "CASE WHEN loan.settled > 0 THEN loan.late_streak END",
        "late_week_share": share("loan.late_week", "loan.settled"),
        "days_since_last_late": days_since("loan.last_late_at"),
        "payments": "coalesce(loan.payments, 0)",
        "days_since_last_payment": days_since("loan.last_paid_at"),
        "payment_mean_cents": share("loan.paid", "loan.payments"),
        "paid_by_due_share": share("loan.paid_by_due", "loan.paid"),
        "first_payment_mean": "loan.first_payment",
        "unprompted_share": share("loan.unprompted", "loan.payments"),
        "payment_hour_mean": share("loan.hours", "loan.payments"),
        "payment_night_share": share("loan.at_night", "loan.payments"),
        "promises": "promise.made",
        "promises_kept_share": share("promise.kept", "promise.judged"),
        "requested_to_last": share("requested_cents", "loan.principal_last"),
        "requested_to_repaid_max": share("requested_cents", "loan.repaid_max"),
    },
)

SAVINGS = Source(
    join=f"""
{SAVINGS_KEPT_OUT}LEFT JOIN LATERAL (
    -- All pots of a borrower together.
    SELECT
        count(DISTINCT account_id) AS pots,
        min(opened_at) AS opened_at,
        bool_or(swept) AS swept,
        greatest(coalesce(sum(signed_cents), 0), 0) AS balance_cents,
        greatest(coalesce(sum(signed_cents) FILTER (WHERE moved_at < since_90d), 0), 0) AS balance_90d_ago,
        count(*) FILTER (WHERE deposited AND moved_at >= since_30d) AS deposits_30d,
        count(*) FILTER (WHERE deposited AND moved_at >= since_90d) AS deposits_90d,
        count(*) FILTER (WHERE withdrawn AND moved_at >= since_90d) AS withdrawals_90d,
        coalesce(sum(amount_cents) FILTER (WHERE deposited AND moved_at >= since_90d), 0) AS deposited_90d,
        coalesce(sum(amount_cents) FILTER (WHERE withdrawn AND moved_at >= since_90d), 0) AS withdrawn_90d,
        avg(amount_cents) FILTER (WHERE deposited AND moved_at >= since_90d) AS deposit_mean,
        stddev_pop(amount_cents) FILTER (WHERE deposited AND moved_at >= since_90d) AS deposit_spread,
        max(moved_at) FILTER (WHERE deposited) AS last_deposit_at,
        max(moved_at) FILTER (WHERE withdrawn) AS last_withdrawal_at,
        count(DISTINCT date_bin('7 days', moved_at, as_of)) FILTER (WHERE deposited AND moved_at >= since_84d)
            AS weeks_12,
        count(DISTINCT date_bin('7 days', moved_at, as_of)) FILTER (WHERE deposited AND moved_at >= since_182d)
            AS weeks_26
    FROM (
        SELECT
            account.id AS account_id, account.opened_at, moved_at, amount_cents,
            kind = 'deposit' AS deposited,
            kind = 'withdrawal' AS withdrawn,
            CASE WHEN kind IN ('deposit', 'interest') THEN amount_cents ELSE -amount_cents END AS signed_cents,
            EXISTS (
                SELECT FROM lending_sweepmandate mandate
                WHERE mandate.account_id = account.id AND given_at < as_of
                    AND (withdrawn_at IS NULL OR withdrawn_at >= as_of)
            ) AS swept
        FROM lending_savingsaccount account
        LEFT JOIN lending_savingsmovement movement ON movement.account_id = account.id AND moved_at < as_of
        WHERE account.borrower_id = asked.borrower_id AND account.opened_at < as_of AND NOT kept_out.yes
    ) each
    HAVING count(account_id) > 0
) saved ON TRUE
CROSS JOIN LATERAL (
    SELECT
        count(*) AS memberships,
        coalesce(sum((
            SELECT count(*) FROM lending_savingsmovement movement
            WHERE movement.member_id = member.id AND kind = 'deposit'
                AND moved_at >= since_90d AND moved_at < as_of
        )), 0) AS deposits_90d
    FROM lending_groupmember member
    WHERE member.borrower_id = asked.borrower_id AND joined_at < as_of AND (left_at IS NULL OR left_at >= as_of)
        AND NOT kept_out.yes
) in_group
""",  # noqa: S608
    columns={
        "savings_balance_cents": "saved.balance_cents",
        "savings_deposits_90d": "saved.deposits_90d",
        "savings_deposited_90d_cents": "saved.deposited_90d",
        "savings_withdrawn_90d_cents": "saved.withdrawn_90d",
        "days_since_last_deposit": days_since("saved.last_deposit_at"),
        "savings_weeks_12": "saved.weeks_12",
        "savings_weeks_26": "saved.weeks_26",
        "savings_deposits_30d": "saved.deposits_30d",
        "savings_withdrawals_90d": "saved.withdrawals_90d",
        "days_since_last_withdrawal": days_since("saved.last_withdrawal_at"),
        "savings_deposit_mean_cents": "saved.deposit_mean",
        "savings_deposit_variation": share("saved.deposit_spread", "saved.deposit_mean"),
        "savings_net_90d_cents": "saved.deposited_90d - saved.withdrawn_90d",
        "savings_growth": share("saved.balance_cents", "saved.balance_90d_ago"),
        "savings_age_days": days_since("saved.opened_at"),
        "savings_pots": "saved.pots",
        "sweep_on": "saved.swept::int",
        "group_member": "(in_group.memberships > 0)::int",
        "group_deposits_90d": "CASE WHEN in_group.memberships > 0 THEN in_group.deposits_90d END",
        "requested_to_savings": share("requested_cents", "saved.balance_cents"),
    },
)

WALLET = Source(
    join=f"""
{WALLET_SHARED}LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(amount_cents) FILTER (WHERE comes_in AND moved_at >= since_7d), 0) AS in_7d,
        coalesce(sum(amount_cents) FILTER (WHERE comes_in AND is_new), 0) AS in_30d,
        coalesce(sum(amount_cents) FILTER (WHERE comes_in), 0) AS in_90d,
        coalesce(sum(amount_cents) FILTER (WHERE NOT comes_in AND is_new), 0) AS out_30d,
        coalesce(sum(amount_cents) FILTER (WHERE NOT comes_in), 0) AS out_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'airtime' AND is_new), 0) AS airtime_30d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'airtime'), 0) AS airtime_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'cash_in'), 0) AS cash_in_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'cash_out'), 0) AS cash_out_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'paid'), 0) AS bills_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'sent'), 0) AS sent_90d,
        coalesce(sum(amount_cents) FILTER (WHERE comes_in AND extract(day FROM moved) NOT BETWEEN 6 AND 24), 0)
            AS month_end_90d,
        max(amount_cents) FILTER (WHERE comes_in) AS in_max,
        max(gap) FILTER (WHERE comes_in) AS in_gap,
        max(moved_at) FILTER (WHERE NOT comes_in) AS last_out_at,
        count(*) FILTER (WHERE comes_in AND is_new) AS ins_30d,
        count(*) FILTER (WHERE comes_in) AS ins_90d,
        count(*) FILTER (WHERE NOT comes_in AND is_new) AS outs_30d,
        count(*) FILTER (WHERE kind = 'airtime' AND is_new) AS airtime_buys_30d,
        count(DISTINCT moved::date) FILTER (WHERE is_new) AS active_days_30d,
        count(DISTINCT moved::date) AS active_days_90d,
        count(*) FILTER (WHERE moved::time < '06:00') AS night_90d,
        count(*) AS moves_90d
    FROM (
        SELECT
            each.*,
            moved_at AT TIME ZONE %(zone)s AS moved,
            moved_at - lag(moved_at) OVER (PARTITION BY comes_in ORDER BY moved_at) AS gap
        FROM (
            SELECT
                kind, amount_cents, moved_at,
                kind IN ('received', 'cash_in') AS comes_in,
                moved_at >= since_30d AS is_new
            FROM lending_walletmovement
            WHERE shared.yes AND borrower_id = asked.borrower_id AND moved_at >= since_90d AND moved_at < as_of
        ) each
    ) each
    HAVING shared.yes
) wallet ON TRUE
LEFT JOIN LATERAL (
    -- With weekly inflows w: deviation / mean = sqrt(12 * sum(w^2) / sum(w)^2 - 1), empty weeks counted.
    SELECT count(*) AS weeks, sum(cents) AS total, sum(cents ^ 2) AS squares, max(cents) AS best
    FROM (
        SELECT sum(amount_cents) AS cents
        FROM lending_walletmovement
        WHERE shared.yes AND borrower_id = asked.borrower_id AND kind IN ('received', 'cash_in')
            AND moved_at >= since_84d AND moved_at < as_of
        GROUP BY date_bin('7 days', moved_at, as_of)
    ) week
    HAVING shared.yes
) weekly ON TRUE
LEFT JOIN LATERAL (
    SELECT moved_at AS last_at
    FROM lending_walletmovement
    WHERE shared.yes AND borrower_id = asked.borrower_id
        AND kind IN ('received', 'cash_in') AND moved_at < as_of
    ORDER BY moved_at DESC
    LIMIT 1
) inflow ON TRUE
LEFT JOIN LATERAL (
    SELECT moved_at AS first_at
    FROM lending_walletmovement
    WHERE shared.yes AND borrower_id = asked.borrower_id AND moved_at < as_of
    ORDER BY moved_at
    LIMIT 1
) seen ON TRUE
""",  # noqa: S608
    columns={
        "wallet_in_7d_cents": "wallet.in_7d",
        "wallet_in_30d_cents": "wallet.in_30d",
        "wallet_in_90d_cents": "wallet.in_90d",
        "wallet_out_30d_cents": "wallet.out_30d",
        "wallet_out_90d_cents": "wallet.out_90d",
        "wallet_ins_30d": "wallet.ins_30d",
        "wallet_ins_90d": "wallet.ins_90d",
        "wallet_outs_30d": "wallet.outs_30d",
        "wallet_active_days_30d": "wallet.active_days_30d",
        "wallet_active_days_90d": "wallet.active_days_90d",
        "wallet_in_variation": """
            CASE WHEN weekly.total > 0 THEN sqrt(greatest(0, 12 * weekly.squares / weekly.total ^ 2 - 1)) END""",
        "wallet_in_weeks_12": "weekly.weeks",
        "wallet_best_week_share": share("weekly.best", "weekly.total"),
        "days_since_last_inflow": days_since("inflow.last_at"),
        "days_since_last_outflow": days_since("wallet.last_out_at"),
        "wallet_in_gap_days": "extract(epoch FROM wallet.in_gap) / 86400",
        "wallet_night_share": share("wallet.night_90d", "wallet.moves_90d"),
        "wallet_month_end_share": share("wallet.month_end_90d", "wallet.in_90d"),
        "wallet_in_mean_cents": share("wallet.in_90d", "wallet.ins_90d"),
        "wallet_in_max_cents": "wallet.in_max",
        "wallet_in_max_share": share("wallet.in_max", "wallet.in_90d"),
        "cash_in_share": share("wallet.cash_in_90d", "wallet.in_90d"),
        "cash_out_share": share("wallet.cash_out_90d", "wallet.out_90d"),
        "bills_share": share("wallet.bills_90d", "wallet.out_90d"),
        "sent_share": share("wallet.sent_90d", "wallet.out_90d"),
        "airtime_30d_cents": "wallet.airtime_30d",
        "airtime_90d_cents": "wallet.airtime_90d",
        "airtime_buys_30d": "wallet.airtime_buys_30d",
        "wallet_trend": share("wallet.in_30d * 3", "wallet.in_90d"),
        "wallet_out_trend": share("wallet.out_30d * 3", "wallet.out_90d"),
        "wallet_out_to_in": share("wallet.out_90d", "wallet.in_90d"),
        "wallet_net_30d_cents": "wallet.in_30d - wallet.out_30d",
        "wallet_net_90d_cents": "wallet.in_90d - wallet.out_90d",
        "wallet_age_days": days_since("seen.first_at"),
        "requested_to_inflow": share("requested_cents", "wallet.in_30d"),
        "requested_to_mean_inflow": share("requested_cents * 3", "wallet.in_90d"),
    },
)

BOOK = Source(
    join=f"""
LEFT JOIN LATERAL (
    SELECT
        min(recorded_at) AS first_at,
        max(recorded_at) AS last_at,
        count(DISTINCT happened_on) FILTER (WHERE sold AND age < 30) AS days_30d,
        coalesce(sum(amount_cents) FILTER (WHERE sold AND age < 30), 0) AS sold_30d,
        coalesce(sum(amount_cents) FILTER (WHERE sold AND age < 90), 0) AS sold_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind IN ('expense', 'stock') AND age < 30), 0) AS spent_30d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'credit_given' AND age < 90), 0) AS on_credit_90d,
        greatest(coalesce(sum(amount_cents) FILTER (WHERE kind = 'credit_given'), 0)
            - coalesce(sum(amount_cents) FILTER (WHERE kind = 'credit_paid'), 0), 0) AS owed
    FROM (
        SELECT
            kind, amount_cents, happened_on, recorded_at,
            kind IN ('sale', 'credit_given') AS sold,
            local::date - happened_on AS age
        {STANDING_LINES}
    ) each
    WHERE age >= 0
    HAVING count(*) > 0
) book ON TRUE
LEFT JOIN LATERAL (
    -- With weekly sales w: deviation / mean = sqrt(8 * sum(w^2) / sum(w)^2 - 1), empty weeks counted.
    SELECT count(*) AS weeks, sum(cents) AS total, sum(cents ^ 2) AS squares
    FROM (
        SELECT sum(amount_cents) AS cents
        {STANDING_LINES}
            AND kind IN ('sale', 'credit_given') AND local::date - happened_on BETWEEN 0 AND 55
        GROUP BY (local::date - happened_on) / 7
    ) week
    HAVING book.first_at IS NOT NULL
) sales ON TRUE
""",  # noqa: S608
    columns={
        "book_age_days": days_since("book.first_at"),
        "days_since_last_line": days_since("book.last_at"),
        "book_days_30d": "book.days_30d",
        "book_sold_30d_cents": "book.sold_30d",
        "book_spent_30d_cents": "book.spent_30d",
        "book_left_30d_cents": "book.sold_30d - book.spent_30d",
        "book_margin_30d": share("book.sold_30d - book.spent_30d", "book.sold_30d"),
        "book_trend": share("book.sold_30d * 3", "book.sold_90d"),
        "book_weeks_8": "sales.weeks",
        "book_variation": """
            CASE WHEN sales.total > 0 THEN sqrt(greatest(0, 8 * sales.squares / sales.total ^ 2 - 1)) END""",
        "book_credit_share": share("book.on_credit_90d", "book.sold_90d"),
        "book_owed_cents": "book.owed",
        "requested_to_left": share("requested_cents", "greatest(book.sold_30d - book.spent_30d, 0)"),
    },
)

APPLICATION = Source(
    join="""
LEFT JOIN lending_application own ON own.id = asked.application_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS made,
        count(*) FILTER (WHERE submitted_at >= since_30d) AS made_30d,
        count(*) FILTER (WHERE submitted_at >= since_90d) AS made_90d,
        max(submitted_at) AS last_at,
        avg(greatest(extract(epoch FROM submitted_at - key_facts_shown_at), 0)) AS hesitation,
        count(*) FILTER (WHERE terms_read) AS terms_read
    FROM lending_application earlier
    WHERE earlier.borrower_id = asked.borrower_id AND submitted_at < as_of
) earlier
""",
    columns={
        "requested_cents": "requested_cents",
        "hour_local": "extract(hour FROM local) + extract(minute FROM local) / 60",
        "day_of_month": "extract(day FROM local)",
        "month": "extract(month FROM local)",
        "days_to_month_end": """
            (date_trunc('month', local) + interval '1 month')::date - local::date - 1""",
        "price_share": share("own.fee_cents + own.tax_cents + own.interest_cents", "own.principal_cents"),
        "price_per_year": "own.apr",
        "refinances": "CASE WHEN own.id IS NOT NULL THEN (own.refinances_id IS NOT NULL)::int END",
        "hesitation_s": """
            CASE WHEN own.id IS NOT NULL
                THEN greatest(extract(epoch FROM own.submitted_at - own.key_facts_shown_at), 0) END""",
        "hesitation_mean_s": "earlier.hesitation",
        "terms_read": "own.terms_read::int",
        "terms_read_share": share("earlier.terms_read", "earlier.made"),
        "applications": "earlier.made",
        "applications_30d": "earlier.made_30d",
        "applications_90d": "earlier.made_90d",
        "days_since_last_application": days_since("earlier.last_at"),
    },
)

SOURCES: tuple[Source, ...] = (PERSON, LOANS, SAVINGS, WALLET, BOOK, APPLICATION)
COLUMNS: dict[str, str] = {name: column for source in SOURCES for name, column in source.columns.items()}
