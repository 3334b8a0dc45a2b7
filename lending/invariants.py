"""What must be true of the whole database, each as one set-based question whose answer names the offenders.

Constraints and triggers refuse most of this where a row is written; the proof is for what slipped in beside
them: a restored backup, a hand on the database, a bug of ours. Source: docs/architecture.md, "Invariants".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

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
           loan.principal_cents + loan.fee_cents + loan.tax_cents AS total_cents,
           {", ".join(f"coalesce(sum({unpaid}), 0) AS {kind}" for kind, unpaid in _UNPAID.items())},
           min(item.due_on) FILTER (WHERE {" + ".join(_UNPAID.values())} > 0) AS unpaid_since
      FROM lending_loan loan
      LEFT JOIN lending_installment item ON item.loan_id = loan.id
      LEFT JOIN (
           SELECT installment_id, {", ".join(f"sum({k}_cents) AS {k}_cents" for k in KINDS)}
             FROM lending_allocation GROUP BY installment_id
      ) paid ON paid.installment_id = item.id
     GROUP BY loan.id
"""  # noqa: S608 - made of names declared above
_ALL_LEFT = " + ".join(KINDS)


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
    held = f"SELECT currency, {kind} AS cents FROM ({_LEFT}) due WHERE state = 'live'"  # noqa: S608
    return Invariant(
        f"{kind} receivable is what live loans still owe of it",
        "live loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'live'",
        _control(f"{kind}_receivable", 1, held, "loans"),
    )


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
        SELECT format('checkpoint %s of %s: %s, entries say %s',
                      checkpoint_id, account_id, said_cents, summed_cents)
          FROM (
               SELECT checkpoint_id, account_id, said_cents,
                      sum(cents) OVER (PARTITION BY account_id, currency ORDER BY position, is_checkpoint
                                       ROWS UNBOUNDED PRECEDING) AS summed_cents
                 FROM (
                      SELECT NULL AS checkpoint_id, account_id, currency, id AS position, FALSE AS is_checkpoint,
                             debit_cents - credit_cents AS cents, NULL AS said_cents
                        FROM lending_entry
                       UNION ALL
                      SELECT id, account_id, currency, last_entry_id, TRUE, 0, debit_cents - credit_cents
                        FROM lending_checkpoint
                 ) both_kinds
          ) running
         WHERE checkpoint_id IS NOT NULL AND said_cents <> summed_cents
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
          FROM (SELECT id, state, CASE state WHEN 'live' THEN {_ALL_LEFT} ELSE 0 END AS owed FROM ({_LEFT}) one) due
          LEFT JOIN (
               SELECT loan_id, sum(debit_cents - credit_cents) AS booked
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id IN ({", ".join(f"'{kind}_receivable'" for kind in KINDS)})
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
            "SELECT currency, balance_cents AS cents FROM lending_savingsaccount",
            "accounts",
        ),
    ),
    Invariant(
        "a savings balance is its deposits less its withdrawals",
        "savings accounts",
        "SELECT count(*) FROM lending_savingsaccount",
        """
        SELECT format('savings account %s: balance %s, movements say %s',
                      account.id, balance_cents, coalesce(moved, 0))
          FROM lending_savingsaccount account
          LEFT JOIN (
               SELECT account_id, sum(CASE kind WHEN 'deposit' THEN amount_cents ELSE -amount_cents END) AS moved
                 FROM lending_savingsmovement GROUP BY account_id
          ) movement ON movement.account_id = account.id
         WHERE balance_cents <> coalesce(moved, 0)
        """,
    ),
    Invariant(
        "overpayments kept are what receipts held over",
        "receipts",
        "SELECT count(*) FROM lending_receipt WHERE over_cents > 0",
        _control(
            "customer_overpayments", -1, "SELECT currency, over_cents AS cents FROM lending_receipt", "receipts"
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
        "payouts reserved are the loans on their way",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'approved'",
        _control(
            "payouts_reserved",
            1,
            "SELECT currency, principal_cents AS cents FROM lending_loan WHERE state = 'approved'",
            "loans",
        ),
    ),
)

MONEY_IN = (
    Invariant(
        "a receipt is counted once and by its own amount",
        "receipts",
        "SELECT count(*) FROM lending_receipt",
        """
        SELECT format('receipt %s of %s: posted %s', receipt_no, amount_cents, coalesce(posted, 0))
          FROM lending_receipt receipt
          LEFT JOIN (
               SELECT reference, sum(debit_cents) AS posted
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'mpesa_paybill' AND posting.kind IN ('repayment', 'suspense', 'recovery')
                GROUP BY reference
          ) book ON reference = 'receipt:' || provider || ':' || receipt_no
         WHERE posted IS DISTINCT FROM amount_cents
         UNION ALL
        SELECT format('posting %s has no receipt', reference) FROM lending_posting posting
         WHERE kind IN ('repayment', 'suspense', 'recovery') AND NOT EXISTS (
               SELECT FROM lending_receipt
                WHERE 'receipt:' || provider || ':' || receipt_no
                      = regexp_replace(reference, ':(matched|applied)$', '')
         )
        """,
    ),
    Invariant(
        "a receipt is its repayment and what is over",
        "receipts",
        "SELECT count(*) FROM lending_receipt",
        """
        SELECT format('receipt %s of %s: %s repaid, %s over', receipt_no, receipt.amount_cents,
                      coalesce(repayment.amount_cents, 0), over_cents)
          FROM lending_receipt receipt LEFT JOIN lending_repayment repayment ON repayment.receipt_id = receipt.id
         WHERE coalesce(repayment.amount_cents, 0) + over_cents
               <> CASE state WHEN 'suspense' THEN 0 ELSE receipt.amount_cents END
        """,
    ),
    Invariant(
        "a repayment is the sum of its allocations, to its own loan",
        "repayments",
        "SELECT count(*) FROM lending_repayment",
        f"""
        SELECT format('repayment %s of %s: %s allocated', repayment.id, repayment.amount_cents, coalesce(sum(
                      {" + ".join(f"allocation.{kind}_cents" for kind in KINDS)}), 0))
          FROM lending_repayment repayment
          LEFT JOIN lending_allocation allocation ON allocation.repayment_id = repayment.id
          LEFT JOIN lending_installment item
            ON item.id = allocation.installment_id AND item.loan_id = repayment.loan_id
         GROUP BY repayment.id
        HAVING repayment.amount_cents <> coalesce(sum(
               {" + ".join(f"allocation.{kind}_cents" for kind in KINDS)}) FILTER (WHERE item.id IS NOT NULL), 0)
        """,  # noqa: S608
    ),
    Invariant(
        "a repayment prompt brings in no more than it asked for",
        "prompts",
        "SELECT count(*) FROM lending_paymentintent WHERE purpose = 'collect'",
        """
        SELECT format('intent %s asked for %s, receipt %s brought %s',
                      intent.id, intent.amount_cents, receipt.receipt_no, receipt.amount_cents)
          FROM lending_receipt receipt
          JOIN lending_paymentattempt attempt ON attempt.id = receipt.attempt_id
          JOIN lending_paymentintent intent ON intent.id = attempt.intent_id
         WHERE receipt.amount_cents > intent.amount_cents OR intent.purpose <> 'collect'
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
        "money out is the money that was approved",
        "loans paid out",
        "SELECT count(*) FROM lending_loan WHERE disbursed_at IS NOT NULL",
        """
        SELECT format('loan %s of %s: intents say %s, entries say %s', loan.id, loan.principal_cents,
                      coalesce(intended, 0), coalesce(paid_out, 0))
          FROM lending_loan loan
          LEFT JOIN (
               SELECT loan_id, sum(amount_cents) AS intended FROM lending_paymentintent
                WHERE purpose = 'disburse' AND state = 'succeeded' GROUP BY loan_id
          ) intent ON intent.loan_id = loan.id
          LEFT JOIN (
               SELECT loan_id, sum(credit_cents - debit_cents) AS paid_out
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id = 'mpesa_payout' GROUP BY loan_id
          ) book ON book.loan_id = loan.id
         WHERE coalesce(intended, 0) <> CASE WHEN disbursed_at IS NULL THEN 0 ELSE loan.principal_cents END
            OR coalesce(paid_out, 0) <> CASE WHEN disbursed_at IS NULL THEN 0 ELSE loan.principal_cents END
        """,
    ),
    Invariant(
        "no loan is live without a confirmed payout",
        "loans paid out",
        "SELECT count(*) FROM lending_loan WHERE state NOT IN ('approved', 'not_paid_out')",
        """
        SELECT format('loan %s is %s and no payout succeeded', loan.id, loan.state) FROM lending_loan loan
         WHERE state NOT IN ('approved', 'not_paid_out') AND NOT EXISTS (
               SELECT FROM lending_paymentintent intent
                 JOIN lending_paymentattempt attempt ON attempt.intent_id = intent.id
                WHERE intent.loan_id = loan.id AND purpose = 'disburse' AND attempt.state = 'succeeded'
         )
        """,
    ),
)

LOANS = (
    Invariant(
        "what is outstanding is what the dues leave",
        "loans",
        "SELECT count(*) FROM lending_loan",
        f"""
        SELECT format('loan %s (%s): outstanding %s, dues leave %s', id, state, outstanding_cents, owed)
          FROM (SELECT *, CASE state WHEN 'approved' THEN total_cents WHEN 'not_paid_out' THEN 0
                                     ELSE {_ALL_LEFT} END AS owed FROM ({_LEFT}) one) due
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
        "a loan was settled by its last repayment",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE state = 'settled'",
        """
        SELECT format('loan %s: settled %s, last repaid %s', loan.id, settled_at, max(received_at))
          FROM lending_loan loan LEFT JOIN lending_repayment repayment ON repayment.loan_id = loan.id
         WHERE state = 'settled' GROUP BY loan.id
        HAVING count(*) FILTER (WHERE received_at = settled_at) = 0
        """,
    ),
    Invariant(
        "days past due are counted from the oldest unpaid due",
        "loans",
        "SELECT count(*) FROM lending_loan WHERE aged_on IS NOT NULL",
        f"""
        SELECT format('loan %s as of %s: %s days, should be %s', loan.id, aged_on, days_past_due, late)
          FROM (SELECT loan.*, CASE WHEN loan.state IN ('live', 'written_off')
                                    THEN greatest(0, aged_on - unpaid_since) ELSE 0 END AS late
                  FROM lending_loan loan JOIN ({_LEFT}) due ON due.id = loan.id) loan
         WHERE days_past_due <> coalesce(late, 0) OR worst_days_past_due < days_past_due
        """,  # noqa: S608
    ),
    Invariant(
        "nobody has two open loans, by number or by national ID",
        "open loans",
        "SELECT count(*) FROM lending_loan WHERE state IN ('approved', 'live')",
        """
        SELECT format('borrower %s: %s open loans', min(borrower_id), count(*))
          FROM lending_loan WHERE state IN ('approved', 'live') GROUP BY identity_index HAVING count(*) > 1
         UNION ALL
        SELECT format('borrower %s: %s open loans', borrower_id, count(*))
          FROM lending_loan WHERE state IN ('approved', 'live') GROUP BY borrower_id HAVING count(*) > 1
        """,
    ),
)

PROMISES = (
    Invariant(
        "what is charged is what the customer accepted",
        "loans",
        "SELECT count(*) FROM lending_loan",
        """
        SELECT format('loan %s: accepted %s + %s + %s, charged %s + %s + %s', loan.id, asked.principal_cents,
                      asked.fee_cents, asked.tax_cents, loan.principal_cents, loan.fee_cents, loan.tax_cents)
          FROM lending_loan loan JOIN lending_application asked ON asked.id = loan.application_id
         WHERE (loan.principal_cents, loan.fee_cents, loan.tax_cents)
            <> (asked.principal_cents, asked.fee_cents, asked.tax_cents)
            OR (loan.product_version_id, loan.borrower_id) <> (asked.product_version_id, asked.borrower_id)
         UNION ALL
        SELECT format('loan %s: installments ask for another amount', loan.id)
          FROM lending_loan loan JOIN lending_installment item ON item.loan_id = loan.id
         GROUP BY loan.id
        HAVING (sum(item.principal_cents), sum(item.fee_cents), sum(item.tax_cents))
            <> (loan.principal_cents, loan.fee_cents, loan.tax_cents)
         UNION ALL
        SELECT format('loan %s: the books charge %s', loan.id, charged)
          FROM lending_loan loan
          JOIN (
               SELECT loan_id, sum(credit_cents - debit_cents) AS charged
                 FROM lending_posting posting JOIN lending_entry entry ON entry.posting_id = posting.id
                WHERE account_id IN ('fee_income', 'interest_income', 'penalty_income')
                   OR account_id = 'excise_payable' AND posting.kind IN ('disbursement', 'reversal')
                GROUP BY loan_id
          ) book ON book.loan_id = loan.id
          JOIN (
               SELECT loan_id, sum(interest_cents + penalty_cents) AS later
                 FROM lending_installment GROUP BY loan_id
          ) item ON item.loan_id = loan.id
         WHERE charged <> fee_cents + tax_cents + later
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
          JOIN lending_productversion product ON product.id = asked.product_version_id
         WHERE (fee_cents + tax_cents)::numeric / principal_cents
               > (pack.rules -> 'price_caps' ->> 'max_total_cost_rate')::numeric
            OR (fee_cents + tax_cents)::numeric * 365 / product.term_days / 12 / principal_cents
               > (pack.rules -> 'price_caps' ->> 'max_monthly_rate')::numeric
            OR (fee_cents + tax_cents)::numeric * 365 / product.term_days / principal_cents
               > (pack.rules -> 'price_caps' ->> 'max_yearly_rate')::numeric
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
               WHEN outcome = 'decline' OR NOT approved THEN 'declined'
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


def audit() -> Iterator[Finding]:
    """Prove every invariant against one and the same picture of the database, while others keep working."""
    with _one_picture(), connection.cursor() as cursor:
        for invariant in INVARIANTS:
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
