"""What must be true of the whole database, each as one set-based question whose answer names the offenders.

Constraints and triggers refuse most of this where a row is written; the proof is for what slipped in beside
them: a restored backup, a hand on the database, a bug of ours. Source: docs/architecture.md, "Invariants".
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from lending import chain
from lending.rules.accounting import HISTORY, REFINANCING
from lending.rules.savings import PARTS_PER_CENT

MAX_OFFENDERS = 5
KINDS = ("principal", "fee", "tax", "interest", "penalty")


@dataclass(frozen=True)
class Invariant:
    """One thing that holds. `broken` returns one text for each offender; `counted` how many were looked at."""

    name: str
    what: str
    counted: str
    broken: str


@dataclass(frozen=True)
class Finding:
    """How one invariant stands. `offenders` are the first few, in words."""

    name: str
    what: str
    counted: int
    broken: int
    offenders: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return self.broken == 0

    def line(self) -> str:
        """Return the one line that is printed about it."""
        verdict = "ok" if self.holds else f"BROKEN {self.broken}: {'; '.join(self.offenders)}"
        return f"{self.name:<58} {self.counted:>9,} {self.what:<22} {verdict}"


# What is left of each loan's dues by kind. A loan that was not paid out has no installments and owes nothing.
_UNPAID = {kind: f"item.{kind}_cents - coalesce(paid.{kind}_cents, 0)" for kind in KINDS}
_LEFT = f"""
    SELECT loan.id, loan.currency, loan.state, loan.outstanding_cents,
           loan.principal_cents - loan.deducted_cents + loan.fee_cents + loan.tax_cents + loan.interest_cents
               AS total_cents,
           loan.credit_limit_cents IS NOT NULL AS is_line, loan.accrued_cents, loan.written_off_cents,
           coalesce(sum(paid.earned_paid_cents), 0) AS interest_paid,
           {", ".join(f"coalesce(sum({unpaid}), 0) AS {kind}" for kind, unpaid in _UNPAID.items())},
           min(item.due_on) FILTER (WHERE {" + ".join(_UNPAID.values())} > 0) AS unpaid_since
      FROM lending_loan loan
      LEFT JOIN lending_installment item ON item.loan_id = loan.id
      LEFT JOIN (
           SELECT installment_id, {", ".join(f"sum({k}_cents) AS {k}_cents" for k in KINDS)},
                  sum(interest_cents) FILTER (WHERE kind IN ('paid', 'written_off')) AS earned_paid_cents
             FROM lending_allocation GROUP BY installment_id
      ) paid ON paid.installment_id = item.id
     GROUP BY loan.id
"""  # noqa: S608 - made of names declared above
_ALL_LEFT = " + ".join(KINDS)
_ALLOCATED = " + ".join(f"allocation.{kind}_cents" for kind in KINDS)


def _control(account: str, normal_side: int, held: str, what: str) -> str:
    """Return the question whether an account's entries say the same as the rows that they stand for.

    `held` selects (currency, cents); `normal_side` is 1 for an account of debits, -1 for one of credits.
    """
    return f"""
        SELECT format('{account} in %s: entries say %s, {what} say %s',
                      currency, coalesce(booked, 0), coalesce(held, 0))
          FROM (SELECT currency, sum(cents) AS held FROM ({held}) one GROUP BY currency) rows
          FULL JOIN (
               SELECT currency, {normal_side} * sum(debit_cents - credit_cents) AS booked
                 FROM lending_entry WHERE account_id = '{account}' GROUP BY currency
          ) book USING (currency)
         WHERE coalesce(booked, 0) <> coalesce(held, 0)
    """  # noqa: S608


def _receivable(kind: str) -> Invariant:
    # Interest is a receivable as far as it is earned.
    owed = "accrued_cents - interest_paid" if kind == "interest" else kind
    held = f"SELECT currency, {owed} AS cents FROM ({_LEFT}) due WHERE state = 'live'"  # noqa: S608
    return Invariant(
        f"{kind} receivable is what live loans still owe of it",
        "live loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'live'",
        _control(f"{kind}_receivable", 1, held, "loans"),
    )


# lending.rules.savings.parts_a_day, from the terms as they are stored: `balance` earns `parts`.
_PARTS_A_DAY = """
    SELECT CASE terms #>> '{interest,tiers_apply_to}'
           WHEN 'part' THEN sum(greatest(0, balance - start) * (ppm - below))
           ELSE greatest(0, balance) * coalesce(max(ppm) FILTER (WHERE is_last), 0) END AS parts
      FROM (
          SELECT start, ppm, lag(ppm, 1, 0::numeric) OVER (ORDER BY start) AS below,
                 start = max(start) FILTER (WHERE start <= greatest(0, balance)) OVER () AS is_last
            FROM (SELECT (tier ->> 'from_cents')::numeric AS start, (tier ->> 'rate')::numeric * 1000000 AS ppm
                    FROM jsonb_array_elements(terms #> '{interest,tiers}') tier) read
      ) tiers
"""

# The versions by which `account` went, each from its first day until the next one begins.
_AGREED = """
    SELECT code, version, effective_on, terms, begins, lead(begins, 1, 'infinity') OVER (ORDER BY place) AS ends
      FROM (SELECT coalesce((SELECT before_id FROM lending_savingsversionchange
                              WHERE account_id = account.id ORDER BY id LIMIT 1), account.product_version_id)
                       AS version_id, '-infinity'::date AS begins, 0 AS place
             UNION ALL
            SELECT after_id, effective_on, id FROM lending_savingsversionchange WHERE account_id = account.id) one
      JOIN lending_savingsproductversion version ON version.id = version_id
"""
_EARNS_DAILY = f"""
    NOT EXISTS (SELECT FROM ({_AGREED}) agreed WHERE terms #>> '{{interest,balance}}' IS DISTINCT FROM 'daily')
"""  # noqa: S608 - a constant

BOOKS = (
    Invariant(
        "debits equal credits in each posting and currency",
        "postings",
        "SELECT count(*) FROM lending_posting",
        """
        SELECT format('posting %s in %s: debits %s, credits %s',
                      posting_id, currency, sum(debit_cents), sum(credit_cents))
          FROM lending_entry GROUP BY posting_id, currency HAVING sum(debit_cents) <> sum(credit_cents)
        """,
    ),
    Invariant(
        "each posting has two entries or more",
        "postings",
        "SELECT count(*) FROM lending_posting",
        """
        SELECT format('posting %s: %s entries', posting.id, count(entry.id))
          FROM lending_posting posting LEFT JOIN lending_entry entry ON entry.posting_id = posting.id
         GROUP BY posting.id HAVING count(entry.id) < 2
        """,
    ),
    Invariant(
        "each entry is a debit or a credit",
        "entries",
        "SELECT count(*) FROM lending_entry",
        """
        SELECT format('entry %s: debit %s, credit %s', id, debit_cents, credit_cents) FROM lending_entry
         WHERE (debit_cents > 0) = (credit_cents > 0) OR least(debit_cents, credit_cents) < 0
        """,
    ),
    Invariant(
        "each entry has its posting and account, each due its loan",
        "entries and dues",
        "SELECT (SELECT count(*) FROM lending_entry) + (SELECT count(*) FROM lending_installment)",
        """
        SELECT format('entry %s of posting %s in %s', entry.id, posting_id, account_id) FROM lending_entry entry
          LEFT JOIN lending_posting posting ON posting.id = posting_id
          LEFT JOIN lending_account account ON code = account_id
         WHERE posting.id IS NULL OR code IS NULL
         UNION ALL
        SELECT format('installment %s of loan %s', item.id, loan_id) FROM lending_installment item
          LEFT JOIN lending_loan loan ON loan.id = loan_id WHERE loan.id IS NULL
         UNION ALL
        SELECT format('posting %s of loan %s', posting.id, loan_id) FROM lending_posting posting
          LEFT JOIN lending_loan loan ON loan.id = loan_id WHERE loan_id IS NOT NULL AND loan.id IS NULL
        """,
    ),
    Invariant(
        "all accounts together sum to zero",
        "entries",
        "SELECT count(*) FROM lending_entry",
        """
        SELECT format('%s: %s cents too much in debit', currency, sum(debit_cents) - sum(credit_cents))
          FROM lending_entry GROUP BY currency HAVING sum(debit_cents) <> sum(credit_cents)
        """,
    ),
    Invariant(
        "a reversal is the mirror image of what it reverses",
        "reversals",
        "SELECT count(*) FROM lending_posting WHERE reverses_id IS NOT NULL",
        """
        SELECT DISTINCT format('posting %s does not undo %s in %s', reversal.id, reversal.reverses_id, account_id)
          FROM lending_posting reversal
          JOIN lending_entry entry ON entry.posting_id IN (reversal.id, reversal.reverses_id)
         WHERE reversal.reverses_id IS NOT NULL
         GROUP BY reversal.id, account_id, currency HAVING sum(debit_cents) <> sum(credit_cents)
        """,
    ),
    Invariant(
        "checkpoints say what the entries up to them say",
        "checkpoints",
        "SELECT count(*) FROM lending_checkpoint",
        """
        SELECT format('%s in %s on %s: checkpoints say %s and %s, entries %s and %s', account_id, currency,
                      business_date, coalesce(said.debits, 0), coalesce(said.credits, 0),
                      coalesce(summed.debits, 0), coalesce(summed.credits, 0))
          FROM (
               SELECT account_id, currency, business_date, sum(debit_cents) AS debits, sum(credit_cents) AS credits
                 FROM lending_checkpoint GROUP BY account_id, currency, business_date
          ) said
          FULL JOIN (
               SELECT account_id, currency, business_date, sum(debit_cents) AS debits, sum(credit_cents) AS credits
                 FROM lending_entry entry JOIN lending_posting posting ON posting.id = entry.posting_id
                WHERE entry.id <= (SELECT max(last_entry_id) FROM lending_checkpoint)
                GROUP BY account_id, currency, business_date
          ) summed USING (account_id, currency, business_date)
         WHERE (said.debits, said.credits) IS DISTINCT FROM (summed.debits, summed.credits)
        """,
    ),
    Invariant(
        "the chain holds every posting up to its head, unchanged",
        "chained postings",
        "SELECT count(*) FROM lending_postinghash",
        f"""
        SELECT format(CASE WHEN content IS NULL THEN 'posting %s is in the chain and not in the books'
                           WHEN hash IS NULL THEN 'posting %s is in the books and not in the chain'
                           ELSE 'posting %s is not what was chained, or does not follow the one before' END,
                      posting_id)
          FROM ({chain.CONTENT} GROUP BY posting.id) book
          FULL JOIN (
               SELECT posting_id, hash, lag(hash, 1, decode('{chain.GENESIS.hex()}', 'hex'))
                                            OVER (ORDER BY posting_id) AS previous
                 FROM lending_postinghash
          ) chained USING (posting_id)
         WHERE content IS NULL OR hash <> sha256(previous || convert_to(content, 'UTF8'))
            OR hash IS NULL AND posting_id <= (SELECT max(posting_id) FROM lending_postinghash)
         ORDER BY posting_id
        """,  # noqa: S608
    ),
    Invariant(
        "nothing was booked into a period after it was closed",
        "closed periods",
        "SELECT count(*) FROM lending_periodclosing",
        """
        SELECT format('posting %s of %s came after the books were closed until %s',
                      posting.id, business_date, last_on)
          FROM lending_periodclosing JOIN lending_posting posting
            ON business_date <= last_on AND posting.id > head_posting_id
         UNION ALL
        SELECT format('the books until %s were closed over another chain', last_on)
          FROM lending_periodclosing LEFT JOIN lending_postinghash ON posting_id = head_posting_id
         WHERE head_posting_id > 0 AND hash IS DISTINCT FROM head_hash
        """,
    ),
)

SUB_LEDGERS = (
    *(_receivable(kind) for kind in KINDS),
    Invariant(
        "each loan's entries are what it still owes",
        "loans",
        "SELECT count(*) FROM lending_loan",
        f"""
        SELECT format('loan %s (%s): entries say %s, dues say %s', due.id, state, coalesce(booked, 0), owed)
          FROM (SELECT id, state, CASE state WHEN 'live' THEN {_ALL_LEFT} - interest ELSE 0 END AS owed
                  FROM ({_LEFT}) one) due
          LEFT JOIN (
               SELECT loan_id, sum(debit_cents - credit_cents) AS booked
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id IN ({", ".join(f"'{kind}_receivable'" for kind in KINDS if kind != "interest")})
                GROUP BY loan_id
          ) book ON book.loan_id = due.id
         WHERE coalesce(booked, 0) <> owed
        """,  # noqa: S608
    ),
    Invariant(
        "savings owed are the savings accounts' balances",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount",
        _control(
            "savings_owed",
            -1,
            "SELECT currency, balance_cents AS cents FROM lending_savingsaccount WHERE partner <> ''",
            "accounts",
        ),
    ),
    Invariant(
        "customer savings are the balances that we hold ourselves",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount WHERE partner = ''",
        _control(
            "customer_savings",
            -1,
            "SELECT currency, balance_cents AS cents FROM lending_savingsaccount WHERE partner = ''",
            "accounts",
        ),
    ),
    Invariant(
        "a savings balance is what moved in less what moved out",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount",
        """
        SELECT format('savings account %s: balance %s, movements say %s',
                      account.id, balance_cents, coalesce(moved, 0))
          FROM lending_savingsaccount account
          LEFT JOIN (
               SELECT account_id, sum(CASE WHEN kind IN ('deposit', 'interest') THEN amount_cents
                                           ELSE -amount_cents END) AS moved
                 FROM lending_savingsmovement GROUP BY account_id
          ) movement ON movement.account_id = account.id
         WHERE balance_cents <> coalesce(moved, 0)
        """,
    ),
    Invariant(
        "savings are no lower than their minimum and their open holds",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount",
        """
        SELECT format('savings account %s: balance %s, floor %s, held %s, open holds %s',
                      account.id, balance_cents, floor_cents, held_cents, coalesce(open_cents, 0))
          FROM lending_savingsaccount account
          LEFT JOIN (
               SELECT account_id, sum(amount_cents) AS open_cents
                 FROM lending_savingshold WHERE released_at IS NULL GROUP BY account_id
          ) hold ON hold.account_id = account.id
         WHERE held_cents <> coalesce(open_cents, 0) OR balance_cents < floor_cents + held_cents
        """,
    ),
    Invariant(
        "savings interest is what the closing balances earned",
        "savings accounts",
        f"SELECT count(*) FROM lending_savingsaccount account WHERE {_EARNS_DAILY}",  # noqa: S608 - a constant
        f"""
        SELECT format('savings account %s: %s parts credited and accrued, %s earned', account_id, said, earned)
          FROM (
               SELECT account.id AS account_id, accrued_parts + {PARTS_PER_CENT} * (
                          SELECT coalesce(sum(amount_cents), 0) FROM lending_savingsmovement
                           WHERE account_id = account.id AND kind = 'interest' AND value_on > earns_from
                      ) AS said, (
                          SELECT coalesce(sum(parts * greatest(0, least(until, ends) - greatest(since, begins))), 0)
                            FROM (
                              SELECT greatest(value_on, earns_from) AS since,
                                     least(lead(value_on, 1, accrued_on + 1) OVER (ORDER BY value_on),
                                           accrued_on + 1) AS until,
                                     sum(cents) OVER (ORDER BY value_on) AS balance
                                FROM (SELECT value_on, sum(CASE WHEN kind IN ('deposit', 'interest')
                                                           THEN amount_cents ELSE -amount_cents END) AS cents
                                        FROM lending_savingsmovement
                                       WHERE account_id = account.id GROUP BY value_on) day
                          ) span, LATERAL ({_AGREED}) agreed, LATERAL ({_PARTS_A_DAY}) rate
                      ) AS earned
                 FROM lending_savingsaccount account
                WHERE {_EARNS_DAILY} AND closing_at IS NULL
          ) account
         WHERE said <> earned
        """,  # noqa: S608 - made of a constant
    ),
    Invariant(
        "a savings account goes by the version that is its turn",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount",
        f"""
        SELECT format('savings account %s goes by version %s: its changes lead to %s', account_id, own, after_id)
          FROM (SELECT change.account_id, change.after_id, account.product_version_id AS own,
                       lead(before_id, 1, account.product_version_id) OVER life AS goes_on_with,
                       change.effective_on, lag(change.effective_on) OVER life AS changed_before,
                       before.code = after.code AND before.version < after.version
                           AND after.effective_on <= change.effective_on AS is_next
                  FROM lending_savingsversionchange change
                  JOIN lending_savingsaccount account ON account.id = change.account_id
                  JOIN lending_savingsproductversion before ON before.id = before_id
                  JOIN lending_savingsproductversion after ON after.id = after_id
                WINDOW life AS (PARTITION BY change.account_id ORDER BY change.id)) change
         WHERE goes_on_with <> after_id OR NOT is_next OR effective_on < changed_before
         UNION ALL
        SELECT format('savings account %s was opened under %s v%s, not in force then', account.id, code, version)
          FROM lending_savingsaccount account, LATERAL ({_AGREED}) agreed
          JOIN LATERAL (SELECT (opened_at AT TIME ZONE '{settings.TIME_ZONE}')::date AS opened_on) day ON TRUE
         WHERE begins = '-infinity' AND (effective_on > opened_on OR EXISTS (
               SELECT FROM lending_savingsproductversion later
                WHERE later.code = agreed.code AND later.version > agreed.version
                  AND greatest(later.effective_on, later.approved_on + 1) <= opened_on))
         UNION ALL
        SELECT DISTINCT format('savings account %s is accrued to %s by %s v%s, which has ended',
                               account.id, accrued_on, own.code, own.version)
          FROM lending_savingsaccount account
          JOIN lending_savingsproductversion own ON own.id = product_version_id
          JOIN lending_savingsproductversion later ON later.code = own.code AND later.version > own.version
         WHERE closing_at IS NULL
           AND accrued_on >= greatest(later.effective_on, later.approved_on + 1, locked_until + 1)
        """,  # noqa: S608 - made of constants and a setting
    ),
    Invariant(
        "a savings instruction moved once what it said, or nothing",
        "instructions",
        "SELECT count(*) FROM lending_savingsinstruction",
        """
        SELECT format('instruction %s of %s is %s: %s moved', asked.reference, asked.amount_cents, state,
                      coalesce(movement.amount_cents, 0))
          FROM lending_savingsinstruction asked
          LEFT JOIN lending_savingsmovement movement ON movement.instruction_id = asked.id
          LEFT JOIN lending_savingshold hold ON hold.id = hold_id
         WHERE (state = 'confirmed') <> (movement.id IS NOT NULL)
            OR (movement.account_id, movement.amount_cents) <> (asked.account_id, asked.amount_cents)
            OR (state = 'open') <> (released_at IS NULL) AND hold.id IS NOT NULL
        """,
    ),
    Invariant(
        "a group's money left as often as its members agreed to",
        "group withdrawals",
        "SELECT count(*) FROM lending_groupwithdrawal",
        """
        SELECT format('group withdrawal %s of %s is %s: %s of %s approvals, %s instructed',
                      asked.id, amount_cents, state, agreed, approvals_needed, instructed)
          FROM lending_groupwithdrawal asked,
               LATERAL (SELECT count(DISTINCT identity_index) AS agreed
                          FROM lending_groupapproval JOIN lending_groupmember member ON member.id = member_id
                         WHERE withdrawal_id = asked.id) approval,
               LATERAL (SELECT coalesce(sum(amount_cents), 0) AS instructed
                          FROM lending_savingsinstruction WHERE withdrawal_id = asked.id) payment
         WHERE instructed <> CASE state WHEN 'approved' THEN amount_cents ELSE 0 END
            OR state = 'approved' AND agreed < approvals_needed
        """,
    ),
    Invariant(
        "overpayments kept are what came in over and did not go back",
        "receipts",
        "SELECT count(*) FROM lending_receipt WHERE over_cents > 0",
        _control(
            "customer_overpayments",
            -1,
            # What a loan gave back it has counted itself.
            "SELECT currency, over_cents AS cents FROM lending_receipt"
            " UNION ALL SELECT currency, over_cents FROM lending_loan"
            " UNION ALL SELECT currency, -part.amount_cents FROM lending_refundpart part"
            " JOIN lending_refund refund ON refund.id = refund_id"
            " WHERE receipt_id IS NOT NULL AND state = 'succeeded'",
            "receipts",
        ),
    ),
    Invariant(
        "savings in transit are the deposits that their holders have not taken",
        "instructions",
        "SELECT count(*) FROM lending_savingsinstruction WHERE state = 'open' AND receipt_id IS NOT NULL",
        _control(
            "savings_in_transit",
            -1,
            "SELECT receipt.currency, asked.amount_cents AS cents FROM lending_savingsinstruction asked"
            " JOIN lending_receipt receipt ON receipt.id = receipt_id WHERE asked.state = 'open'",
            "instructions",
        ),
    ),
    Invariant(
        "suspense is the receipts that fit nobody",
        "receipts",
        "SELECT count(*) FROM lending_receipt WHERE state = 'suspense'",
        _control(
            "suspense",
            -1,
            "SELECT currency, amount_cents AS cents FROM lending_receipt WHERE state = 'suspense'",
            "receipts",
        ),
    ),
    Invariant(
        "money in suspense has an open case",
        "receipts",
        "SELECT count(*) FROM lending_receipt WHERE state = 'suspense'",
        """
        SELECT format('receipt %s of %s: no open case', receipt_no, amount_cents) FROM lending_receipt receipt
         WHERE state = 'suspense' AND NOT EXISTS (
               SELECT FROM lending_case
                WHERE receipt_id = receipt.id AND kind = 'unmatched_receipt' AND closed_at IS NULL
         )
        """,
    ),
    Invariant(
        "payouts reserved are the loans on their way",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'approved'",
        _control(
            "payouts_reserved",
            1,
            """SELECT currency, principal_cents - deducted_cents - refinanced_cents AS cents FROM lending_loan
                WHERE state = 'approved' AND credit_limit_cents IS NULL
                UNION ALL
               SELECT currency, draw.principal_cents - draw.deducted_cents
                 FROM lending_draw draw JOIN lending_loan loan ON loan.id = loan_id
                WHERE draw.state = 'under_way'""",
            "loans",
        ),
    ),
)

MONEY_IN = (
    Invariant(
        "a receipt is counted once and by its own amount",
        "receipts",
        "SELECT count(*) FROM lending_receipt",
        f"""
        SELECT format('receipt %s of %s: posted %s', receipt_no, amount_cents, coalesce(posted, 0))
          FROM lending_receipt receipt
          LEFT JOIN (
               SELECT event_key, sum(debit_cents - credit_cents) AS posted
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'mpesa_paybill'
                GROUP BY event_key
          ) book ON event_key = 'receipt:' || provider || ':' || receipt_no
         WHERE posted IS DISTINCT FROM CASE state WHEN 'reversed' THEN 0 ELSE amount_cents END
         UNION ALL
        SELECT format('posting %s has no receipt', reference) FROM lending_posting posting
         WHERE kind IN ('repayment', 'suspense', 'recovery') AND event_key NOT LIKE 'refinanced:%' AND NOT EXISTS (
               SELECT FROM lending_receipt
                WHERE 'receipt:' || provider || ':' || receipt_no = split_part(event_key, '#', 1)
         ) AND NOT EXISTS (
               SELECT FROM lending_loanevent event JOIN lending_loan loan ON loan.id = event.loan_id
                WHERE event.key = event_key AND loan.id = posting.loan_id AND origin <> ''
                  AND event.details ->> 'account' = '{HISTORY}'
         )
        """,  # noqa: S608 - made of a name of ours
    ),
    Invariant(
        "a receipt is its repayment or saving and what is over",
        "receipts",
        "SELECT count(*) FROM lending_receipt",
        """
        SELECT format('receipt %s of %s: %s repaid, %s over', receipt_no, receipt.amount_cents,
                      coalesce(repayment.amount_cents, 0), over_cents)
          FROM lending_receipt receipt LEFT JOIN lending_repayment repayment ON repayment.receipt_id = receipt.id
          LEFT JOIN lending_savingsinstruction saving
            ON saving.receipt_id = receipt.id AND saving.state <> 'rejected'
         WHERE coalesce(repayment.amount_cents, 0) + over_cents + coalesce(saving.amount_cents, 0)
               <> CASE WHEN receipt.state IN ('suspense', 'reversed') THEN 0 ELSE receipt.amount_cents END
        """,
    ),
    Invariant(
        "a repayment is the sum of its allocations, to its own loan",
        "repayments",
        "SELECT count(*) FROM lending_repayment",
        f"""
        SELECT format('repayment %s of %s: %s allocated', repayment.id, repayment.amount_cents, coalesce(sum(
                      {_ALLOCATED}), 0))
          FROM lending_repayment repayment
          JOIN lending_loanevent event ON event.id = repayment.event_id
          LEFT JOIN (
               lending_allocation allocation
               JOIN lending_installment item ON item.id = allocation.installment_id
          ) ON allocation.event_key = event.key AND allocation.kind = 'paid' AND item.loan_id = repayment.loan_id
         GROUP BY repayment.id
        HAVING repayment.amount_cents <> coalesce(sum({_ALLOCATED}), 0)
        """,  # noqa: S608
    ),
    Invariant(
        "what was paid on a loan came by a receipt, or with the loan",
        "payments",
        "SELECT count(*) FROM lending_loanevent WHERE kind = 'pay'",
        f"""
        SELECT format('payment %s of loan %s: %s', event.key, event.loan_id,
                      CASE WHEN repayment.id IS NULL THEN 'no receipt' ELSE 'a receipt, and brought in' END)
          FROM lending_loanevent event JOIN lending_loan loan ON loan.id = event.loan_id
          LEFT JOIN lending_repayment repayment ON repayment.event_id = event.id
         WHERE kind = 'pay' AND NOT EXISTS (
               SELECT FROM lending_loanevent undone WHERE undone.reverses_id = event.id
         ) AND (repayment.id IS NULL)
               <> (origin <> '' AND coalesce(event.details ->> 'account', '') = '{HISTORY}')
        """,  # noqa: S608
    ),
    Invariant(
        "a prompt brings in no more than it asked for",
        "prompts",
        "SELECT count(*) FROM lending_paymentintent WHERE purpose IN ('collect', 'save')",
        """
        SELECT format('intent %s asked for %s, receipt %s brought %s',
                      intent.id, intent.amount_cents, receipt.receipt_no, receipt.amount_cents)
          FROM lending_receipt receipt
          JOIN lending_paymentattempt attempt ON attempt.id = receipt.attempt_id
          JOIN lending_paymentintent intent ON intent.id = attempt.intent_id
         WHERE receipt.amount_cents > intent.amount_cents OR intent.purpose NOT IN ('collect', 'save')
        """,
    ),
)

MONEY_OUT = (
    Invariant(
        "an intent has at most one attempt that succeeded",
        "intents",
        "SELECT count(*) FROM lending_paymentintent",
        """
        SELECT format('intent %s: %s attempts succeeded', intent_id, count(*))
          FROM lending_paymentattempt WHERE state = 'succeeded' GROUP BY intent_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "an intent stands as its attempts do",
        "intents",
        "SELECT count(*) FROM lending_paymentintent",
        """
        SELECT format('intent %s is %s: attempts %s', intent.id, intent.state,
                      coalesce(string_agg(attempt.state, ', ' ORDER BY number), 'none'))
          FROM lending_paymentintent intent
          LEFT JOIN lending_paymentattempt attempt ON attempt.intent_id = intent.id
         GROUP BY intent.id
        HAVING (intent.state = 'succeeded') <> coalesce(bool_or(attempt.state = 'succeeded'), FALSE)
            OR intent.state = 'failed' AND NOT coalesce(bool_and(attempt.state = 'failed'), FALSE)
        """,
    ),
    Invariant(
        "no two payouts were told under one receipt number",
        "payouts",
        """
        SELECT count(*) FROM lending_paymentattempt attempt
          JOIN lending_paymentintent intent ON intent.id = attempt.intent_id
         WHERE purpose NOT IN ('collect', 'save') AND receipt_no <> ''
        """,
        """
        SELECT format('receipt %s: attempts %s', upper(receipt_no), string_agg(attempt.id::text, ', '))
          FROM lending_paymentattempt attempt JOIN lending_paymentintent intent ON intent.id = attempt.intent_id
         WHERE purpose NOT IN ('collect', 'save') AND receipt_no <> ''
         GROUP BY attempt.provider, upper(receipt_no) HAVING count(*) > 1
        """,
    ),
    Invariant(
        "money out is the money that was approved",
        "loans paid out",
        "SELECT count(*) FROM lending_loan WHERE disbursed_at IS NOT NULL",
        """
        SELECT format('loan %s of %s: intents say %s, entries say %s', loan.id, received, coalesce(intended, 0),
                      coalesce(paid_out, 0))
          FROM (SELECT id, CASE WHEN disbursed_at IS NULL OR origin <> '' THEN 0
                                ELSE principal_cents - deducted_cents - refinanced_cents END AS received
                  FROM lending_loan) loan
          LEFT JOIN (
               SELECT loan_id, sum(amount_cents) AS intended FROM lending_paymentintent
                WHERE purpose = 'disburse' AND state = 'succeeded' GROUP BY loan_id
          ) intent ON intent.loan_id = loan.id
          LEFT JOIN (
               SELECT loan_id, sum(credit_cents - debit_cents) AS paid_out
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'mpesa_payout' AND event_key NOT LIKE 'refund:%' GROUP BY loan_id
          ) book ON book.loan_id = loan.id
         WHERE coalesce(intended, 0) <> received OR coalesce(paid_out, 0) <> received
        """,
    ),
    Invariant(
        "a loan that pays off another one lent what it paid off",
        "loans that pay off another",
        "SELECT count(*) FROM lending_loan WHERE refinances_id IS NOT NULL AND disbursed_at IS NOT NULL",
        f"""
        SELECT format('loan %s pays off loan %s with %s: lent %s, paid %s', coalesce(loan.id, moved.id),
                      refinances_id, refinanced_cents, coalesce(lent, 0), coalesce(paid, 0))
          FROM (SELECT id, refinances_id, refinanced_cents FROM lending_loan
                 WHERE refinances_id IS NOT NULL AND disbursed_at IS NOT NULL) loan
          FULL JOIN (
               SELECT coalesce(new.id, posting.loan_id) AS id,
                      sum(credit_cents - debit_cents) FILTER (WHERE new.id IS NULL) AS lent,
                      sum(debit_cents - credit_cents) FILTER (WHERE new.id IS NOT NULL) AS paid
                 FROM lending_entry entry JOIN lending_posting posting ON posting.id = entry.posting_id
                 LEFT JOIN lending_loan new
                        ON event_key LIKE 'refinanced:%' AND new.refinances_id = posting.loan_id
                           AND new.disbursed_at IS NOT NULL
                WHERE account_id = '{REFINANCING}' GROUP BY 1
          ) moved ON moved.id = loan.id
         WHERE coalesce(lent, 0) <> coalesce(refinanced_cents, 0)
            OR coalesce(paid, 0) <> coalesce(refinanced_cents, 0)
        """,  # noqa: S608
    ),
    Invariant(
        "a refund went out once, whole, and out of what was kept",
        "refunds",
        "SELECT count(*) FROM lending_refund",
        """
        SELECT format('refund %s of %s is %s: parts %s, entries %s, its payment is %s', refund.id,
                      refund.amount_cents, refund.state, coalesce(parts, 0), coalesce(booked, 0), payment.state)
          FROM lending_refund refund
          LEFT JOIN (SELECT refund_id, sum(amount_cents) AS parts FROM lending_refundpart GROUP BY refund_id) part
            ON part.refund_id = refund.id
          LEFT JOIN (
               SELECT split_part(event_key, ':', 2) AS refund_id, sum(debit_cents - credit_cents) AS booked
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'customer_overpayments' AND event_key LIKE 'refund:%:%'
                GROUP BY split_part(event_key, ':', 2)
          ) book ON book.refund_id = refund.id::text
          LEFT JOIN (
               SELECT asked.id AS refund_id, paid.amount, paid.state FROM lending_refund asked, LATERAL (
                   SELECT amount_cents AS amount, state FROM lending_paymentintent WHERE id = intent_id
                    UNION ALL
                   SELECT amount_cents, CASE state WHEN 'confirmed' THEN 'succeeded' WHEN 'rejected' THEN 'failed'
                                                   ELSE state END
                     FROM lending_savingsinstruction WHERE id = instruction_id) paid
          ) payment ON payment.refund_id = refund.id
         WHERE coalesce(parts, 0) <> refund.amount_cents
            OR coalesce(booked, 0) <> CASE refund.state WHEN 'succeeded' THEN refund.amount_cents ELSE 0 END
            OR payment.state <> refund.state OR payment.amount <> refund.amount_cents
        """,
    ),
    Invariant(
        "no more was given back than was kept, or a person knows",
        "refunds",
        "SELECT count(*) FROM lending_refund WHERE state = 'succeeded'",
        """
        SELECT format('%s: %s cents too much given back', kept.subject, -cents) FROM (
               SELECT 'loan:' || loan.id AS subject, loan.over_cents + coalesce(sum(receipt.over_cents), 0) AS cents
                 FROM lending_loan loan
                 LEFT JOIN (lending_repayment repayment JOIN lending_receipt receipt
                            ON receipt.id = repayment.receipt_id AND NOT EXISTS (
                               SELECT FROM lending_loanevent undone WHERE undone.reverses_id = repayment.event_id))
                   ON repayment.loan_id = loan.id
                WHERE EXISTS (SELECT FROM lending_refundpart WHERE loan_id = loan.id)
                GROUP BY loan.id
                UNION ALL
               SELECT 'receipt:' || receipt.id, receipt.over_cents - sum(part.amount_cents)
                 FROM lending_receipt receipt JOIN lending_refundpart part ON part.receipt_id = receipt.id
                 JOIN lending_refund refund ON refund.id = part.refund_id AND refund.state = 'succeeded'
                GROUP BY receipt.id
          ) kept
         WHERE cents < 0 AND NOT EXISTS (
               SELECT FROM lending_case WHERE kind = 'refunded_too_much' AND subject_key = kept.subject)
        """,
    ),
    Invariant(
        "no loan is live without a confirmed payout",
        "loans paid out",
        """SELECT count(*) FROM lending_loan
            WHERE state NOT IN ('approved', 'not_paid_out', 'undrawn', 'closed') AND origin = ''""",
        """
        SELECT format('loan %s is %s and no payout succeeded', loan.id, loan.state) FROM lending_loan loan
         WHERE state NOT IN ('approved', 'not_paid_out', 'undrawn', 'closed') AND origin = '' AND NOT EXISTS (
               SELECT FROM lending_paymentintent intent
                 JOIN lending_paymentattempt attempt ON attempt.intent_id = intent.id
                WHERE intent.loan_id = loan.id AND purpose = 'disburse' AND attempt.state = 'succeeded'
         )
        """,
    ),
    Invariant(
        "a loan brought in was paid out by the system it comes from",
        "loans brought in",
        "SELECT count(*) FROM lending_loan WHERE origin <> ''",
        f"""
        SELECT format('loan %s from %s: %s payouts there', loan.id, origin, count(event.id)) FROM lending_loan loan
          LEFT JOIN lending_loanevent event ON event.loan_id = loan.id AND event.kind = 'disburse'
                AND event.details ->> 'account' = '{HISTORY}' AND event.happened_at = disbursed_at
         WHERE origin <> '' GROUP BY loan.id HAVING count(event.id) <> 1
        """,  # noqa: S608 - made of a name of ours
    ),
    Invariant(
        "history brought in is what its loans were lent and repaid",
        "loans brought in",
        "SELECT count(*) FROM lending_loan WHERE origin <> ''",
        f"""
        SELECT format('loan %s (%s): events say %s, entries say %s', loan_id,
                      coalesce(nullif(origin, ''), 'made here'), coalesce(told, 0), coalesce(booked, 0))
          FROM (
               -- What was deducted from a payout left nobody's account.
               SELECT loan_id, sum(CASE kind WHEN 'disburse' THEN cents - deducted_cents ELSE -cents END) AS told
                 FROM lending_loanevent event JOIN lending_loan paid_out ON paid_out.id = loan_id
                      CROSS JOIN LATERAL (SELECT (details ->> 'amount_cents')::bigint AS cents) amount
                WHERE details ->> 'account' = '{HISTORY}'
                  AND NOT EXISTS (SELECT FROM lending_loanevent undoing WHERE undoing.reverses_id = event.id)
                GROUP BY loan_id
          ) event
          FULL JOIN (
               SELECT loan_id, sum(credit_cents - debit_cents) AS booked
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = '{HISTORY}' GROUP BY loan_id
          ) book USING (loan_id)
          LEFT JOIN lending_loan loan ON loan.id = loan_id
         WHERE coalesce(told, 0) <> coalesce(booked, 0) OR coalesce(origin, '') = ''
        """,  # noqa: S608
    ),
)

LOANS = (
    Invariant(
        "what is outstanding is what the dues leave",
        "loans",
        "SELECT count(*) FROM lending_loan",
        f"""
        SELECT format('loan %s (%s): outstanding %s, dues leave %s', id, state, outstanding_cents, owed)
          FROM (SELECT *, CASE WHEN state = 'approved' AND NOT is_line THEN total_cents
                               WHEN state = 'not_paid_out' THEN 0 ELSE {_ALL_LEFT} END AS owed
                  FROM ({_LEFT}) one) due
         WHERE outstanding_cents <> owed
        """,  # noqa: S608
    ),
    Invariant(
        "no due is paid beyond what it was",
        "loans",
        "SELECT count(*) FROM lending_loan",
        f"""
        SELECT format('loan %s: a due is overpaid', id) FROM ({_LEFT}) due
         WHERE least({", ".join(KINDS)}) < 0
         UNION ALL
        SELECT format('installment %s of loan %s: more than all of it is covered', item.id, item.loan_id)
          FROM lending_installment item JOIN lending_allocation allocation ON allocation.installment_id = item.id
         GROUP BY item.id
        HAVING least({", ".join(f"item.{kind}_cents - sum(allocation.{kind}_cents)" for kind in KINDS)}) < 0
        """,  # noqa: S608
    ),
    Invariant(
        "a settled loan owes nothing, a live one something",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state IN ('settled', 'live')",
        f"""
        SELECT format('loan %s is %s and owes %s', id, state, {_ALL_LEFT}) FROM ({_LEFT}) due
         WHERE state = 'settled' AND {_ALL_LEFT} <> 0 OR state = 'live' AND {_ALL_LEFT} <= 0
        """,  # noqa: S608
    ),
    Invariant(
        "a loan was settled by the last event that took something off it",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'settled'",
        """
        SELECT format('loan %s: settled %s, last event %s', loan.id, settled_at, max(happened_at))
          FROM lending_loan loan LEFT JOIN lending_loanevent event ON event.loan_id = loan.id
                AND EXISTS (
                   SELECT FROM lending_allocation WHERE event_key = event.key GROUP BY installment_id, kind
                   HAVING (sum(principal_cents), sum(interest_cents), sum(fee_cents), sum(tax_cents),
                           sum(penalty_cents)) <> (0, 0, 0, 0, 0))
         WHERE state = 'settled' GROUP BY loan.id
        HAVING settled_at IS DISTINCT FROM max(happened_at)
        """,
    ),
    Invariant(
        "days past due are counted from the oldest unpaid due",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE aged_on IS NOT NULL",
        f"""
        SELECT format('loan %s as of %s: %s days, should be %s', loan.id, aged_on, days_past_due, late)
          FROM (SELECT loan.id, aged_on, days_past_due, worst_days_past_due,
                       CASE WHEN loan.state IN ('live', 'charged_off')
                            THEN greatest(0, aged_on - due.unpaid_since) ELSE 0 END AS late
                  FROM lending_loan loan JOIN ({_LEFT}) due ON due.id = loan.id) loan
         WHERE days_past_due <> coalesce(late, 0) OR worst_days_past_due < days_past_due
        """,  # noqa: S608
    ),
    Invariant(
        "a loan that is over has no fee left to earn",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state NOT IN ('approved', 'live')",
        """
        SELECT format('loan %s is %s: %s of its fee is not income yet', loan.id, state, deferred)
          FROM lending_loan loan
          JOIN (
               SELECT loan_id, sum(credit_cents - debit_cents) AS deferred
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'deferred_fee_income' GROUP BY loan_id
          ) book ON book.loan_id = loan.id
         WHERE state NOT IN ('approved', 'live') AND deferred <> 0
        """,
    ),
    Invariant(
        "nobody has two open loans, by number or by national ID",
        "open loans",
        "SELECT count(*) FROM lending_loan WHERE state IN ('approved', 'live')",
        """
        SELECT format('borrower %s: %s open loans', min(borrower_id), count(*))
          FROM lending_loan WHERE state = 'live' OR state = 'approved' AND refinances_id IS NULL
         GROUP BY identity_index HAVING count(*) > 1
         UNION ALL
        SELECT format('borrower %s: %s open loans', borrower_id, count(*))
          FROM lending_loan WHERE state = 'live' OR state = 'approved' AND refinances_id IS NULL
         GROUP BY borrower_id HAVING count(*) > 1
        """,
    ),
)

PROMISES = (
    Invariant(
        "what is charged is what the customer accepted",
        "loans",
        "SELECT count(*) FROM lending_loan",
        """
        SELECT format('loan %s: accepted %s + %s + %s + %s, charged %s + %s + %s + %s', loan.id,
                      asked.principal_cents, asked.fee_cents, asked.tax_cents, asked.interest_cents,
                      loan.principal_cents, loan.fee_cents, loan.tax_cents, loan.interest_cents)
          FROM lending_loan loan JOIN lending_application asked ON asked.id = loan.application_id
          LEFT JOIN (
               SELECT loan_id, sum(principal_cents) AS principal_cents, sum(fee_cents) AS fee_cents,
                      sum(tax_cents) AS tax_cents, sum(interest_cents) AS interest_cents,
                      sum(deducted_cents) AS deducted_cents, sum(capitalised_cents) AS capitalised_cents
                 FROM lending_draw WHERE state = 'paid_out' GROUP BY loan_id
          ) drawn ON drawn.loan_id = loan.id
         CROSS JOIN LATERAL (
               SELECT drawn.* WHERE credit_limit_cents IS NOT NULL AND drawn.loan_id IS NOT NULL
                UNION ALL
               SELECT loan.id, 0, 0, 0, 0, 0, 0 WHERE credit_limit_cents IS NOT NULL AND drawn.loan_id IS NULL
                UNION ALL
               SELECT loan.id, asked.principal_cents, asked.fee_cents, asked.tax_cents, asked.interest_cents,
                      asked.deducted_cents, asked.capitalised_cents WHERE credit_limit_cents IS NULL
          ) accepted
         WHERE (loan.principal_cents, loan.fee_cents, loan.tax_cents, loan.deducted_cents, loan.capitalised_cents)
            <> (accepted.principal_cents, accepted.fee_cents, accepted.tax_cents, accepted.deducted_cents,
                accepted.capitalised_cents)
            OR loan.interest_cents > accepted.interest_cents
            OR loan.credit_limit_cents <> asked.principal_cents
            OR (loan.product_version_id, loan.borrower_id) <> (asked.product_version_id, asked.borrower_id)
         UNION ALL
        SELECT format('loan %s: installments ask for another amount', loan.id)
          FROM lending_loan loan JOIN lending_loanevent event ON event.loan_id = loan.id AND event.kind = 'disburse'
          JOIN lending_installment item ON item.loan_id = loan.id AND item.event_key = event.key
         GROUP BY loan.id
        HAVING (sum(item.principal_cents), sum(item.interest_cents), sum(item.fee_cents + item.tax_cents))
            <> (loan.principal_cents + loan.capitalised_cents, loan.interest_cents,
                loan.fee_cents + loan.tax_cents - loan.deducted_cents - loan.capitalised_cents)
         UNION ALL
        SELECT format('loan %s: the books charge %s', loan.id, charged)
          FROM lending_loan loan
          JOIN (
               SELECT loan_id, sum(debit_cents - credit_cents) AS charged
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id IN ('fee_receivable', 'tax_receivable')
                  AND posting.kind IN ('disbursement', 'reversal') AND posting.event_key LIKE 'disburse:%'
                GROUP BY loan_id
          ) book ON book.loan_id = loan.id
         WHERE charged <> fee_cents + tax_cents - deducted_cents - capitalised_cents
         UNION ALL
        SELECT format('loan %s: %s is charged, and no event says why', item.loan_id, item.source)
          FROM lending_installment item
         WHERE source <> 'penalty' AND NOT EXISTS (
               SELECT FROM lending_loanevent event WHERE event.key = item.event_key AND event.loan_id = item.loan_id
         )
        """,
    ),
    Invariant(
        "no price is above the caps of its country pack",
        "applications",
        "SELECT count(*) FROM lending_application",
        """
        SELECT format('application %s: %s cents on %s, APR %s',
                      asked.id, fee_cents + tax_cents, principal_cents, apr)
          FROM lending_application asked
          JOIN lending_countrypack pack ON pack.id = asked.country_pack_id
         WHERE (fee_cents + tax_cents + interest_cents)::numeric / principal_cents
               > (pack.rules -> 'price_caps' ->> 'max_total_cost_rate')::numeric
            OR apr / 12 > (pack.rules -> 'price_caps' ->> 'max_monthly_rate')::numeric
            OR apr > (pack.rules -> 'price_caps' ->> 'max_yearly_rate')::numeric
            OR apr > (pack.rules -> 'price_caps' ->> 'max_apr')::numeric
        """,
    ),
    Invariant(
        "no application has two decisions",
        "decisions",
        "SELECT count(*) FROM lending_decision",
        """
        SELECT format('application %s: %s decisions', application_id, count(*))
          FROM lending_decision GROUP BY application_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "an application stands as it was decided",
        "applications",
        "SELECT count(*) FROM lending_application",
        """
        SELECT format('application %s is %s: decision %s, officer %s, loan %s', asked.id, asked.state,
                      coalesce(outcome, 'none'), coalesce(approved::text, 'none'), coalesce(loan.id::text, 'none'))
          FROM lending_application asked
          LEFT JOIN lending_decision decision ON decision.application_id = asked.id
          LEFT JOIN lending_review review ON review.application_id = asked.id
          LEFT JOIN lending_loan loan ON loan.application_id = asked.id
         WHERE asked.state <> CASE
               WHEN outcome IS NULL THEN 'submitted'
               WHEN outcome = 'approve' OR approved THEN 'approved'
               WHEN NOT approved OR (outcome = 'decline' AND asked.appealed_at IS NULL) THEN 'declined'
               ELSE 'referred' END
            OR (asked.state = 'approved') <> (loan.id IS NOT NULL)
        """,
    ),
    Invariant(
        "each refusal has a reason and a next step",
        "refusals",
        "SELECT count(*) FROM lending_decision WHERE outcome <> 'approve'",
        """
        SELECT format('decision %s: reasons %s, next step %s', id, reasons, quote_literal(next_step))
          FROM lending_decision
         WHERE outcome <> 'approve' AND (jsonb_typeof(reasons) <> 'array' OR reasons = '[]' OR next_step = '')
        """,
    ),
)

INVARIANTS: tuple[Invariant, ...] = BOOKS + SUB_LEDGERS + MONEY_IN + MONEY_OUT + LOANS + PROMISES


def audit(invariants: Iterable[Invariant] = INVARIANTS) -> Iterator[Finding]:
    """Prove invariants against one and the same picture of the database, while others keep working."""
    with _one_picture(), connection.cursor() as cursor:
        for invariant in invariants:
            cursor.execute(invariant.counted)
            counted = cursor.fetchone()[0]
            cursor.execute(invariant.broken)
            offenders = [text for (text,) in cursor.fetchall()]
            yield Finding(invariant.name, invariant.what, counted, len(offenders), tuple(offenders[:MAX_OFFENDERS]))


@contextmanager
def _one_picture() -> Iterator[None]:
    """Read everything as of one moment; inside somebody's transaction that is already theirs to choose."""
    nested = connection.in_atomic_block
    with transaction.atomic():
        if not nested:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield
