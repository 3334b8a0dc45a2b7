"""The file for the credit bureaus, and what stays out of it with its reason. Source: docs/domain/metrics.md.

It names people with their full national IDs: it goes from the command into a file, and has no page.
"""

from collections.abc import Iterator
from datetime import date
from typing import cast

from django.conf import settings
from django.db import connection

from lending.fields import EncryptedField
from lending.models import Borrower
from lending.rules import bureau
from lending.selectors import products
from lending.selectors.metrics.asking import Row, ask
from lending.selectors.metrics.facts import day_of
from lending.selectors.metrics.report import Column, Report, Unit

CLOSED_DAYS = 31

# What the borrower owes, written off or not: a write-off leaves our books, not their duty.
_CLAIMS = f"""
    claim AS (
        SELECT item.item_id, item.loan_id, item.due_on, item.total - coalesce(sum(cover.total), 0) AS total,
               max(cover.covered_on) AS covered_on
          FROM item
          LEFT JOIN cover ON cover.item_id = item.item_id AND cover.covered_on <= %(on)s
                         AND cover.kind <> 'written_off'
         WHERE item.born_on <= %(on)s
         GROUP BY item.item_id, item.loan_id, item.due_on, item.total
    ),
    claimed AS (
        SELECT claim.loan_id, sum(claim.total) AS owed, max(claim.covered_on) AS covered_on,
               coalesce(sum(claim.total) FILTER (WHERE claim.due_on < %(on)s), 0) AS overdue,
               count(*) FILTER (WHERE claim.due_on < %(on)s AND claim.total > 0) AS items_overdue,
               min(claim.due_on) FILTER (WHERE claim.total > 0) AS unpaid_since
          FROM claim GROUP BY claim.loan_id
    ),
    first_installment AS (
        SELECT item.loan_id, sum(item.total) AS total
          FROM item JOIN first_plan ON first_plan.loan_id = item.loan_id AND first_plan.first_due_on = item.due_on
         GROUP BY item.loan_id
    ),
    last_payment AS (
        SELECT DISTINCT ON (payment.loan_id) payment.loan_id, payment.amount_cents,
               {day_of("payment.received_at")} AS paid_on
          FROM lending_repayment payment
         WHERE {day_of("payment.received_at")} <= %(on)s AND payment.amount_cents > 0
         ORDER BY payment.loan_id, payment.received_at DESC, payment.id DESC
    ),
    agreed AS (
        SELECT DISTINCT consent.borrower_id FROM lending_consent consent
         WHERE consent.purpose = 'bureau' AND consent.granted AND {day_of("consent.given_at")} <= %(on)s
           AND (consent.withdrawn_at IS NULL OR {day_of("consent.withdrawn_at")} > %(on)s)
    ),
    paid AS (
        SELECT payment.loan_id, count(*) AS repayments FROM lending_repayment payment
         WHERE {day_of("payment.received_at")} <= %(on)s AND payment.amount_cents > 0
         GROUP BY payment.loan_id
    ),
    notice AS (
        SELECT notice.loan_id, notice.unpaid_since, notice.repayments,
               {day_of("notice.delivered_at")} AS delivered_on
          FROM lending_bureaunotice notice WHERE {day_of("notice.delivered_at")} <= %(on)s
    ),
    dispute AS (
        SELECT subject_key, min({day_of("opened_at")}) AS disputed_on FROM lending_case
         WHERE kind = 'dispute' AND {day_of("opened_at")} <= %(on)s
           AND (closed_at IS NULL OR {day_of("closed_at")} > %(on)s)
         GROUP BY subject_key
    )
"""  # noqa: S608
_FILE = f"""
    SELECT borrower.full_name, borrower.national_id, borrower.msisdn, borrower.id::text, lent.reference,
           lent.currency, lent.lent, claimed.owed::bigint, claimed.overdue::bigint, claimed.items_overdue,
           claimed.unpaid_since, first_plan.first_due_on, first_plan.last_due_on,
           first_installment.total::bigint, lent.disbursed_on,
           CASE WHEN claimed.owed = 0 THEN claimed.covered_on END,
           CASE WHEN lent.written_off_on <= %(on)s THEN lent.written_off_on END,
           CASE WHEN lent.restructured_on <= %(on)s THEN lent.restructured_on END,
           borrower.state = 'deceased', last_payment.paid_on, coalesce(last_payment.amount_cents, 0),
           agreed.borrower_id IS NOT NULL, notice.delivered_on, dispute.disputed_on
      FROM lent
      JOIN lending_borrower borrower ON borrower.id = lent.borrower_id
      JOIN claimed ON claimed.loan_id = lent.loan_id
      JOIN first_plan ON first_plan.loan_id = lent.loan_id
      JOIN first_installment ON first_installment.loan_id = lent.loan_id
      LEFT JOIN last_payment ON last_payment.loan_id = lent.loan_id
      LEFT JOIN agreed ON agreed.borrower_id = lent.borrower_id
      LEFT JOIN paid ON paid.loan_id = lent.loan_id
      LEFT JOIN notice ON notice.loan_id = lent.loan_id AND notice.unpaid_since = claimed.unpaid_since
                      AND notice.repayments = coalesce(paid.repayments, 0)
      LEFT JOIN dispute ON dispute.subject_key = 'loan:' || lent.loan_id
     WHERE claimed.owed > 0 OR claimed.covered_on > %(on)s::date - {CLOSED_DAYS}
     ORDER BY lent.reference
"""  # noqa: S608


def _loans(on: date) -> Iterator[bureau.MobileLoan]:
    national_id = cast(EncryptedField, Borrower._meta.get_field("national_id"))
    for name, sealed, *rest in ask(_FILE, on, facts=[_CLAIMS], in_chunks=True):
        yield bureau.MobileLoan(on, name, national_id.from_db_value(sealed, None, connection) or "", *rest)


def _listing(on: date) -> bureau.Listing:
    law = products.country_pack(settings.COUNTRY, on).rules["bureau"]
    return bureau.Listing(law["notice_days"], law["minimum_cents"])


def _records(on: date) -> Iterator[Row]:
    listing = _listing(on)
    return (bureau.record_of(loan) for loan in _loans(on) if not bureau.faults(loan, listing))


def _rejects(on: date) -> Iterator[Row]:
    listing = _listing(on)
    return (
        (loan.reference, fault.field, fault.reason) for loan in _loans(on) for fault in bureau.faults(loan, listing)
    )


BUREAU = Report(
    name="bureau",
    title="Bureau file",
    words="Kenya's mobile-loan record: one for each loan that owes anything, written off or not, or was closed in"
    f" the {CLOSED_DAYS} days until the day. A loan with a fault stays out and is listed with the rejects.",
    columns=tuple(
        Column(field.name, Unit.TEXT, f"{'mandatory, ' if field.mandatory else ''}at most {field.width} characters")
        for field in bureau.FIELDS
    ),
    compute=_records,
    personal=True,
    is_listing=True,
)

BUREAU_REJECTS = Report(
    name="bureau_rejects",
    title="Bureau file: rejects",
    words="Loans that stay out of the bureau file, one row for each reason.",
    columns=(
        Column("reference", Unit.TEXT, "the loan's reference"),
        Column("field", Unit.TEXT, "the field at fault; consent and listing are rules of our own"),
        Column("reason", Unit.TEXT, "what is wrong"),
    ),
    compute=_rejects,
    is_listing=True,
)
