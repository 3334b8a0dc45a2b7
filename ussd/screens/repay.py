"""Repaying: all or a part, by a prompt that comes when this session is gone, or by paybill."""

from django.conf import settings
from django.utils.translation import pgettext

from lending.models import Loan
from lending.services import repayments
from ussd import samples, words
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens.borrow import read_amount


@screen("repay.menu", samples=[samples.owing])
def menu(dialogue: Dialogue) -> View:
    loan = _payable_loan(dialogue)
    if loan is None:
        return Go("repay.nothing")
    return Menu(
        pgettext("repay.menu", "You owe %(amount)s. Or pay by paybill %(paybill)s, account %(account)s.")
        % {
            "amount": words.amount(loan.outstanding_cents, loan.currency),
            "paybill": settings.DARAJA_PAYBILL,
            "account": words.local_number(dialogue.msisdn),
        },
        (
            Choice(pgettext("repay.menu", "Pay all"), act=_pay_all),
            Choice(pgettext("repay.menu", "Another amount"), "repay.amount"),
        ),
    )


def _payable_loan(dialogue: Dialogue) -> Loan | None:
    loan = dialogue.facts.open_loan
    return loan if loan is not None and loan.state == Loan.State.LIVE else None


@screen("repay.amount", samples=[samples.owing], tries=("0", "-5", "1e3", "٥٠٠", "99999999", "0.50"))
def ask_amount(dialogue: Dialogue) -> View:
    loan = _payable_loan(dialogue)
    if loan is None:
        return Go("repay.nothing")
    return Ask(
        pgettext("repay.amount", "You owe %(amount)s. How much do you pay now?")
        % {"amount": words.amount(loan.outstanding_cents, loan.currency)},
        parse=lambda typed: _parse_part(loan, typed),
        act=_pay,
        zero_is_answer=True,
    )


def _parse_part(loan: Loan, typed: str) -> int:
    cents = read_amount(typed, loan.currency)
    if cents > loan.outstanding_cents:
        raise Again(pgettext("repay.amount", "You owe less than that."))
    return cents


def _pay_all(dialogue: Dialogue, _: None) -> str:
    loan = _payable_loan(dialogue)
    if loan is None:
        raise Elsewhere("repay.nothing")
    return _pay(dialogue, loan.outstanding_cents)


def _pay(dialogue: Dialogue, cents: int) -> str:
    """Ask the rail for a prompt. It needs the wallet's own PIN, so ours is not asked for."""
    try:
        repayments.request_repayment(
            borrower_id=dialogue.facts.known.id, amount_cents=cents, origin=dialogue.origin, at=dialogue.at
        )
    except repayments.NoOpenLoan:
        raise Elsewhere("repay.nothing") from None
    except repayments.PromptPending:
        raise Elsewhere("repay.pending") from None
    except repayments.InvalidRepayment:
        raise Again(pgettext("repay.amount", "That amount cannot be paid.")) from None
    dialogue.answers["amount_cents"] = cents
    return "repay.prompted"


@screen("repay.prompted", samples=[samples.owing])
def prompted(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.prompted",
            "You will get an M-PESA prompt for %(amount)s. Enter your M-PESA PIN. "
            "No prompt? Paybill %(paybill)s, account %(account)s.",
        )
        % {
            "amount": words.amount(dialogue.answers["amount_cents"]),
            "paybill": settings.DARAJA_PAYBILL,
            "account": words.local_number(dialogue.msisdn),
        }
    )


@screen("repay.pending", samples=[samples.owing])
def pending(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.pending",
            "A payment prompt is already on its way. Answer it, or wait 2 minutes and dial again.",
        )
    )


@screen("repay.nothing", samples=[samples.fresh, samples.waiting_for_payout])
def nothing(dialogue: Dialogue) -> View:
    if dialogue.facts.open_loan is not None:
        return Go("borrow.payout_pending")
    return End(pgettext("repay.nothing", "You have no loan to repay."))
