"""The legs of each event, as pure data: services post them, the demo portfolio writes them, tests read them.

Chart of accounts: fixtures/accounts.json. Source: docs/domain/accounting.md.
"""

from dataclasses import dataclass

from lending.rules.allocation import Due

# What a new loan pays off of an old one: it goes from loan to loan, and no cash moves.
REFINANCING = "refinancing"
# What another system lent and was repaid, of loans that were brought in: its cash was never on our accounts.
HISTORY = "history_brought_in"


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


def disbursement(
    principal_cents: int,
    fee_cents: int,
    tax_cents: int,
    *,
    kept_back: Due | None = None,
    deferred_cents: int = 0,
    refinanced_cents: int = 0,
    tax_account: str = "excise_payable",
    source: str = "",
) -> list[Line]:
    """The operator completed the payout: the reservation ends, the borrower owes principal, fee and tax.

    `source` is where the money came from if it was no payout of ours: then nothing was reserved.

    `fee_cents` and `tax_cents` are all that is charged, `kept_back` what of both was not added to the dues but
    kept back from the payout or lent with it, `deferred_cents` the fee that is income only over the term,
    `refinanced_cents` what of the principal pays off another loan.
    """
    kept = kept_back or Due()
    paid_out = principal_cents - kept.total - refinanced_cents
    reserved_cents = 0 if source else paid_out
    return nonzero(
        debit("payouts_promised", reserved_cents),
        credit("payouts_reserved", reserved_cents),
        debit("principal_receivable", principal_cents),
        credit(source or "mpesa_payout", paid_out),
        credit("refinancing", refinanced_cents),
        debit("fee_receivable", fee_cents - kept.fee),
        credit("fee_income", fee_cents - deferred_cents),
        credit("deferred_fee_income", deferred_cents),
        debit("tax_receivable", tax_cents - kept.tax),
        credit(tax_account, tax_cents),
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


def recovery(
    covered: Due, over_cents: int, source: str = "mpesa_paybill", tax_account: str = "excise_payable"
) -> list[Line]:
    """Money came in on a loan that was written off: income of its own, never mixed with repayments; the tax
    in it is owed again."""
    return nonzero(
        debit(source, covered.total + over_cents),
        credit("recovery_income", covered.total - covered.tax),
        credit(tax_account, covered.tax),
        credit("customer_overpayments", over_cents),
    )


def _off_the_books(left: Due) -> list[Line]:
    return [
        credit("penalty_receivable", left.penalty),
        credit("fee_receivable", left.fee),
        credit("tax_receivable", left.tax),
        credit("interest_receivable", left.interest),
        credit("principal_receivable", left.principal),
    ]


def write_off(
    left: Due, deferred_cents: int = 0, tax_account: str = "excise_payable", expense: str = "write_off_expense"
) -> list[Line]:
    """What will not come back leaves the books; uncollected tax stays owed to nobody, and a fee that was not
    income yet never becomes any."""
    cost = left.total - left.tax - deferred_cents
    return nonzero(
        debit(expense, max(0, cost)),
        credit("fee_income", max(0, -cost)),
        debit("deferred_fee_income", deferred_cents),
        debit(tax_account, left.tax),
        *_off_the_books(left),
    )


def charge_off(left: Due, deferred_cents: int = 0, tax_account: str = "excise_payable") -> list[Line]:
    """The loan stays a claim, but its principal is expensed and income that never came in is taken back."""
    return nonzero(
        debit("write_off_expense", left.principal),
        debit("interest_income", left.interest),
        debit("penalty_income", left.penalty),
        *_taken_back("fee_income", left.fee, deferred_cents),
        debit(tax_account, left.tax),
        *_off_the_books(left),
    )


def _taken_back(income: str, cents: int, deferred_cents: int) -> list[Line]:
    """Take a fee back: first what is not income yet. More deferred than taken back becomes income now."""
    return [
        debit("deferred_fee_income", deferred_cents),
        debit(income, max(0, cents - deferred_cents)),
        credit(income, max(0, deferred_cents - cents)),
    ]


def accrual(cents: int) -> list[Line]:
    """Interest was earned; below zero, more was booked than is earned by now."""
    lines = (debit("interest_receivable", cents), credit("interest_income", cents))
    return nonzero(*lines) if cents >= 0 else mirrored(accrual(-cents))


def fee_earned(cents: int) -> list[Line]:
    """A part of a fee that is income over the term was earned."""
    lines = (debit("deferred_fee_income", cents), credit("fee_income", cents))
    return nonzero(*lines) if cents >= 0 else mirrored(fee_earned(-cents))


def mirrored(lines: list[Line]) -> list[Line]:
    """Return the legs that undo these."""
    return [Line(line.account, line.credit_cents, line.debit_cents) for line in lines]


def charge(charged: Due, tax_account: str = "excise_payable") -> list[Line]:
    """A fee or a penalty came on top, and the tax on it."""
    return nonzero(
        debit("penalty_receivable", charged.penalty),
        credit("penalty_income", charged.penalty),
        debit("fee_receivable", charged.fee),
        credit("fee_income", charged.fee),
        debit("tax_receivable", charged.tax),
        credit(tax_account, charged.tax),
    )


def waiver(waived: Due, tax_account: str = "excise_payable") -> list[Line]:
    """Something is given up for the borrower's sake. Income stays visible, and what it costs to be kind, too.

    `waived.interest` is only what was booked as earned.
    """
    return write_off(waived, tax_account=tax_account, expense="waiver_expense")


def small_balance(left: Due, tax_account: str = "excise_payable") -> list[Line]:
    """The last cents of a loan are not worth a payment."""
    return write_off(left, tax_account=tax_account, expense="small_balances")


def rebate(
    given: Due, back: Due, deferred_cents: int, tax_account: str = "excise_payable", over_cents: int = 0
) -> list[Line]:
    """Who pays back early or cancels gets back what is not earned.

    The receivables shrink by `given`, income and tax by `back`, by as much in all; what was paid already of it
    is given off the principal, or kept for the customer. `deferred_cents` of the fee were no income yet.
    """
    return nonzero(
        *_taken_back("fee_income", back.fee, deferred_cents),
        debit(tax_account, back.tax),
        debit("penalty_income", back.penalty),
        debit("interest_income", back.interest),
        *_off_the_books(given),
        credit("customer_overpayments", over_cents),
    )


def reallocation(turned: Due, covered: Due, over_cents: int = 0) -> list[Line]:
    """Money that covered charges covers something else instead, and what is over belongs to the customer."""
    return nonzero(
        debit("penalty_receivable", turned.penalty),
        debit("fee_receivable", turned.fee),
        debit("tax_receivable", turned.tax),
        debit("interest_receivable", turned.interest),
        *_off_the_books(covered),
        credit("customer_overpayments", over_cents),
    )


def refund(cents: int, account: str = "mpesa_payout") -> list[Line]:
    """What was paid too much goes back, by payout or to where the customer says."""
    return nonzero(debit("customer_overpayments", cents), credit(account, cents))


def savings_deposit(cents: int, partner: str) -> list[Line]:
    """A deposit. What a partner bank holds, our book mirrors; what we hold ourselves, we owe."""
    if partner:
        return nonzero(debit("savings_at_partner", cents), credit("savings_owed", cents))
    return nonzero(debit("mpesa_paybill", cents), credit("customer_savings", cents))


def savings_in_transit(cents: int) -> list[Line]:
    """Money that is to be saved reached our paybill; we owe it to whoever holds the savings."""
    return nonzero(debit("mpesa_paybill", cents), credit("savings_in_transit", cents))


def savings_handed_on(cents: int) -> list[Line]:
    """The holder of the savings has it."""
    return nonzero(debit("savings_in_transit", cents), credit("mpesa_paybill", cents))


def savings_kept(cents: int) -> list[Line]:
    """The holder did not take it: it is kept for whoever paid."""
    return nonzero(debit("savings_in_transit", cents), credit("customer_overpayments", cents))


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
