"""The legs of each event, as pure data: services post them, the demo portfolio writes them, tests read them.

Chart of accounts: fixtures/accounts.json. Source: docs/domain/accounting.md.
"""

from dataclasses import dataclass

from lending.rules.allocation import Due


@dataclass(frozen=True)
class Line:
    """One leg. Exactly one side is above zero."""

    account: str
    debit_cents: int = 0
    credit_cents: int = 0


def debit(account: str, cents: int) -> Line:
    return Line(account, debit_cents=cents)


def credit(account: str, cents: int) -> Line:
    return Line(account, credit_cents=cents)


def nonzero(*lines: Line) -> list[Line]:
    """Drop legs of zero: a loan without tax has no tax leg."""
    return [line for line in lines if line.debit_cents or line.credit_cents]


def capital(cents: int) -> list[Line]:
    """The owners put float into the payout account."""
    return nonzero(debit("mpesa_payout", cents), credit("paid_in_capital", cents))


def reservation(principal_cents: int) -> list[Line]:
    """A payout is approved: the money is spoken for, not yet gone. Reversed if the payout fails."""
    return nonzero(debit("payouts_reserved", principal_cents), credit("payouts_promised", principal_cents))


def disbursement(principal_cents: int, fee_cents: int, tax_cents: int) -> list[Line]:
    """The operator completed the payout: the reservation ends, the borrower owes principal, fee and tax."""
    return nonzero(
        debit("payouts_promised", principal_cents),
        credit("payouts_reserved", principal_cents),
        debit("principal_receivable", principal_cents),
        credit("mpesa_payout", principal_cents),
        debit("fee_receivable", fee_cents),
        credit("fee_income", fee_cents),
        debit("tax_receivable", tax_cents),
        credit("excise_payable", tax_cents),
    )


def repayment(covered: Due, over_cents: int, source: str = "mpesa_paybill") -> list[Line]:
    """Dues are covered by kind; what is over belongs to the customer.

    `source` is where the money comes from: the paybill; suspense, once a person said whose it is; or what
    was kept for the customer and came for a loan whose payout we had not heard of yet.
    """
    return nonzero(
        debit(source, covered.total + over_cents),
        credit("penalty_receivable", covered.penalty),
        credit("fee_receivable", covered.fee),
        credit("tax_receivable", covered.tax),
        credit("interest_receivable", covered.interest),
        credit("principal_receivable", covered.principal),
        credit("customer_overpayments", over_cents),
    )


def suspense(cents: int) -> list[Line]:
    """Money came in and fits nobody yet."""
    return nonzero(debit("mpesa_paybill", cents), credit("suspense", cents))


def recovery(covered: Due, over_cents: int, source: str = "mpesa_paybill") -> list[Line]:
    """Money came in on a loan that was written off: income of its own, never mixed with repayments; the tax
    in it is owed again."""
    return nonzero(
        debit(source, covered.total + over_cents),
        credit("recovery_income", covered.total - covered.tax),
        credit("excise_payable", covered.tax),
        credit("customer_overpayments", over_cents),
    )


def write_off(left: Due) -> list[Line]:
    """What will not come back leaves the books; uncollected tax stays owed to nobody."""
    return nonzero(
        debit("write_off_expense", left.total - left.tax),
        debit("excise_payable", left.tax),
        credit("penalty_receivable", left.penalty),
        credit("fee_receivable", left.fee),
        credit("tax_receivable", left.tax),
        credit("interest_receivable", left.interest),
        credit("principal_receivable", left.principal),
    )


def savings_deposit(cents: int, partner: str) -> list[Line]:
    """A deposit. What a partner bank holds, our book mirrors; what we hold ourselves, we owe."""
    if partner:
        return nonzero(debit("savings_at_partner", cents), credit("savings_owed", cents))
    return nonzero(debit("mpesa_paybill", cents), credit("customer_savings", cents))


def savings_withdrawal(cents: int, partner: str) -> list[Line]:
    """Savings paid out."""
    if partner:
        return nonzero(debit("savings_owed", cents), credit("savings_at_partner", cents))
    return nonzero(debit("customer_savings", cents), credit("mpesa_payout", cents))


def savings_interest(gross_cents: int, tax_cents: int, partner: str) -> list[Line]:
    """Interest credited, the tax in it withheld. A partner pays both: only the net reaches the mirror."""
    net_cents = gross_cents - tax_cents
    if partner:
        return nonzero(debit("savings_at_partner", net_cents), credit("savings_owed", net_cents))
    return nonzero(
        debit("savings_interest_expense", gross_cents),
        credit("customer_savings", net_cents),
        credit("withholding_tax_payable", tax_cents),
    )
