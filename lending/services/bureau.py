"""The notice that goes before a bad record at a credit bureau. Source: docs/domain/metrics.md, "Bureau file"."""

from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from lending import outbox
from lending.models import BureauNotice, Case, Loan
from lending.rules.bureau import NOTICE_AFTER_DAYS
from lending.selectors import products
from lending.services import audit, cases

# Whom the law lets us list one day, if they stay late.
_COULD_BE_LISTED = """
    loan.state IN ('live', 'charged_off') AND loan.outstanding_cents > %(minimum)s AND borrower.state <> 'deceased'
    AND EXISTS (SELECT FROM lending_consent consent
                 WHERE consent.borrower_id = borrower.id AND consent.purpose = 'bureau' AND consent.granted
                   AND consent.withdrawn_at IS NULL)
"""
# One statement for the whole portfolio; what has its notice already is left alone.
_OWE = f"""
    INSERT INTO lending_bureaunotice (loan_id, unpaid_since, repayments, owed_cents, owed_at)
    SELECT loan.id, loan.unpaid_since,
           (SELECT count(*) FROM lending_repayment WHERE loan_id = loan.id AND amount_cents > 0),
           loan.outstanding_cents, %(at)s
      FROM lending_loan loan JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
     WHERE loan.unpaid_since <= %(since)s AND {_COULD_BE_LISTED}
    ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
_COULD = f"""
    SELECT FROM lending_loan loan JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
     WHERE loan.id = %(loan)s AND {_COULD_BE_LISTED}
"""


@transaction.atomic
def owe_notices(today: date, at: datetime) -> int:
    """Owe the notice for each loan that could be listed one day, once for the same arrears; return how many.

    Only who agreed that bureaus may know is told that they may. Without a rule in the country pack nobody is.
    """
    law = products.country_rules(settings.COUNTRY, today).bureau
    if law is None:
        return 0
    since = today - timedelta(days=NOTICE_AFTER_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_OWE, {"at": at, "since": since, "minimum": law.minimum_cents})
        ids = [notice_id for (notice_id,) in cursor.fetchall()]
    told = ((f"bureau_notice:{notice_id}", at, {"notice_id": notice_id}) for notice_id in ids)
    return outbox.write_many("bureau_notice", told, at=at)


def will_be_noticed(loan: Loan, today: date) -> bool:
    """Say whether a loan that stays late as it is gets the notice, so that it needs no other formal one."""
    law = products.country_rules(settings.COUNTRY, today).bureau
    if law is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_COULD, {"loan": loan.id, "minimum": law.minimum_cents})
        return cursor.fetchone() is not None


def still_holds(notice: BureauNotice) -> bool:
    """Say whether a notice is still about what its loan owes: nothing was paid, waived or moved since."""
    repayments = notice.loan.repayments.filter(amount_cents__gt=0).count()
    return (notice.loan.unpaid_since, repayments) == (notice.unpaid_since, notice.repayments)


@transaction.atomic
def dispute(*, loan_id: int, actor: Any, reason: str, at: datetime) -> Case:
    """Take a customer's word that something about a loan is wrong: no bad record leaves until a person has
    answered and closed the case. Repeats safely: one open dispute a loan.

    Raises:
        ValueError: not said what is wrong.
    """
    if not reason.strip():
        raise ValueError("a dispute needs what is wrong, in words")
    loan = Loan.objects.select_related("borrower").get(id=loan_id)
    subject = f"loan:{loan.id}"
    case = cases.open_case(
        kind=Case.Kind.DISPUTE, subject_key=subject, note=reason.strip(), borrower=loan.borrower, at=at
    )
    audit.record("loan_disputed", subject=subject, borrower=loan.borrower, actor=actor, reason=reason, at=at)
    return case


def notice_delivered(notice_id: int, at: datetime) -> None:
    """Note when a notice reached the phone: its days count from then. The first word stands."""
    BureauNotice.objects.filter(id=notice_id, delivered_at=None, owed_at__lte=at).update(delivered_at=at)
