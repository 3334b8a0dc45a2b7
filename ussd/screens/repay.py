"""Repaying: all or a part, by a prompt that comes when this session is gone, by paybill, from savings; and for
somebody else."""

from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings

from lending.models import Loan, SavingsAccount
from lending.rules import money
from lending.services import receipts, repayments, savings_instructions, savings_sweeps
from lending.services.savings import AccountClosed
from lending.services.savings_holds import NotEnoughSavings
from ussd import owing, samples, words
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin
from ussd.screens.borrow import read_amount
from ussd.tongue import pgettext

AMOUNT_TRIES = ("0", "-5", "1e3", "٥٠٠", "99999999", "0.50")


@screen("repay.menu", samples=[samples.owing, samples.in_parts, samples.lost], paged=True)
def menu(dialogue: Dialogue) -> View:
    """What is owed, and each way to pay it: the same number for the same way, also when another is not there."""
    loan = dialogue.facts.owed_loan
    return Go("repay.nothing") if loan is None else _menu(dialogue, loan, _ways(dialogue, loan))


@screen("repay.menu", samples=[samples.owing, samples.in_parts, samples.lost], paged=True, until=2)
def menu_2(dialogue: Dialogue) -> View:
    """As it was while ways were counted."""
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    return _menu(dialogue, loan, [replace(way, number=0) for way in _ways(dialogue, loan)])


def _menu(dialogue: Dialogue, loan: Loan, ways: Sequence[Choice]) -> Menu:
    said = owing.owed(loan, dialogue.facts.standing(loan), dialogue.facts.today)
    return Menu(
        pgettext("repay.menu", "%(owed)s. Or pay by paybill %(paybill)s, account %(account)s.")
        % {"owed": said, **_paybill(dialogue)},
        ways,
    )


def _ways(dialogue: Dialogue, loan: Loan) -> list[Choice]:
    return [
        Choice(pgettext("repay.menu", "Pay all"), act=_pay_all, number=1),
        *_next_part(dialogue, loan),
        Choice(pgettext("repay.menu", "Another amount"), "repay.amount", number=3),
        *_from_savings(dialogue),
        Choice(pgettext("repay.menu", "For someone else"), "repay.other", number=5),
    ]


def _paybill(dialogue: Dialogue) -> dict[str, str]:
    return {"paybill": settings.PAYBILL, "account": words.local_number(dialogue.msisdn)}


def _next_part(dialogue: Dialogue, loan: Loan) -> list[Choice]:
    """Offer what is due next, where that is not all."""
    standing = dialogue.facts.standing(loan)
    if loan.state != Loan.State.LIVE or standing is None or standing.is_one_sum:
        return []
    cents = money.payable(standing.next_cents, loan.currency)
    label = pgettext("repay.menu", "Pay %(amount)s") % {"amount": words.amount(cents, loan.currency)}
    return [Choice(label, act=lambda dialogue, _: _pay(dialogue, cents), number=2)]


def _from_savings(dialogue: Dialogue) -> list[Choice]:
    if not dialogue.facts.savings_to_pay_from:
        return []
    return [Choice(pgettext("repay.menu", "From savings"), "repay.savings", number=4)]


def _pay_all(dialogue: Dialogue, _: None) -> str:
    """Ask for what settles the loan today; where that is less than the plan asks for, say first how much less."""
    if dialogue.facts.owed_loan is None:
        raise Elsewhere("repay.nothing")
    if dialogue.facts.pay_off.saved_cents:
        return "repay.all"
    return _pay(dialogue, dialogue.facts.pay_off.payable_cents)


@screen("repay.all", samples=[samples.in_parts])
def pay_all(dialogue: Dialogue) -> View:
    """What is owed by the plan, what settles it today, and what that saves."""
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    pay_off = dialogue.facts.pay_off
    values = {
        "owed": words.amount(pay_off.owed_cents, loan.currency),
        "today": words.amount(pay_off.payable_cents, loan.currency),
        "saved": words.amount(pay_off.saved_cents, loan.currency),
    }
    lines = (
        pgettext("repay.all", "By your plan you owe %(owed)s"),
        pgettext("repay.all", "Paid all today: %(today)s"),
        pgettext("repay.all", "You save %(saved)s"),
    )
    return Menu(
        "\n".join(line % values for line in lines),
        (Choice(pgettext("repay.all", "Pay all now"), act=_pay_off),),
    )


def _pay_off(dialogue: Dialogue, _: None) -> str:
    if dialogue.facts.owed_loan is None:
        raise Elsewhere("repay.nothing")
    return _pay(dialogue, dialogue.facts.pay_off.payable_cents)


@screen("repay.amount", samples=[samples.owing, samples.in_parts], tries=AMOUNT_TRIES)
def ask_amount(dialogue: Dialogue) -> View:
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    return Ask(
        pgettext("repay.amount", "%(amount)s pays all today. How much do you pay now?")
        % {"amount": words.amount(dialogue.facts.pay_off.payable_cents, loan.currency)},
        parse=lambda typed: _parse_part(dialogue, loan, typed),
        act=_pay,
        zero_is_answer=True,
    )


def _parse_part(dialogue: Dialogue, loan: Loan, typed: str) -> int:
    cents = read_amount(typed, loan.currency)
    if cents > dialogue.facts.pay_off.payable_cents:
        raise Again(pgettext("repay.amount", "You owe less than that."))
    return cents


def _pay(dialogue: Dialogue, cents: int) -> str:
    """Ask the rail for a prompt. It needs the wallet's own PIN, so ours is not asked for."""
    _request(dialogue, cents, dialogue.facts.known.id)
    dialogue.answers["amount_cents"] = cents
    return "repay.prompted"


def _request(dialogue: Dialogue, cents: int, borrower_id: int) -> None:
    try:
        repayments.request_repayment(
            borrower_id=borrower_id,
            payer_id=dialogue.facts.known.id,
            amount_cents=cents,
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except repayments.NoOpenLoan:
        raise Elsewhere("repay.nothing") from None
    except repayments.PromptPending:
        raise Elsewhere("repay.pending") from None
    except repayments.InvalidRepayment:
        raise Again(_not_payable()) from None


def _not_payable() -> str:
    return pgettext("repay.amount", "That amount cannot be paid.")


@screen("repay.prompted", samples=[samples.owing])
def prompted(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.prompted",
            "You will get an %(wallet)s prompt for %(amount)s. Enter your %(wallet)s PIN. "
            "No prompt? Paybill %(paybill)s, account %(account)s.",
        )
        % {
            "amount": words.amount(dialogue.answers["amount_cents"]),
            "wallet": dialogue.facts.country.wallet_name,
            **_paybill(dialogue),
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
    return Menu(
        pgettext("repay.nothing", "You have no loan to repay."),
        (Choice(pgettext("repay.nothing", "Pay for someone else"), "repay.other"),),
    )


# --- for somebody else ----------------------------------------------------------------------------------------
@screen("repay.other", samples=[samples.fresh], tries=("", "500", "abc"))
def ask_number(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("repay.other", "Whose loan do you pay? Type their phone number."),
        parse=_parse_number,
        act=_find,
    )


def _parse_number(typed: str) -> str:
    if msisdn := receipts.msisdn_of(typed):
        return msisdn
    raise Again(pgettext("repay.other", "That is no phone number."))


def _find(dialogue: Dialogue, msisdn: str) -> str:
    """Look for whoever can be paid for, and keep no more of them than an id and a masked name."""
    try:
        other = repayments.find_to_pay_for(payer_id=dialogue.facts.known.id, msisdn=msisdn, at=dialogue.at)
    except repayments.LookedTooOften:
        raise Elsewhere("repay.other_tomorrow") from None
    if other is None:
        raise Elsewhere("repay.other_unknown")
    dialogue.answers |= {"other_id": other.id, "other_name": words.masked_name(other.full_name)}
    return "repay.other_amount"


@screen("repay.other_unknown", samples=[samples.fresh])
def other_unknown(dialogue: Dialogue) -> View:
    """Says the same of a number that is nobody's and of one whose owner owes nothing."""
    return Menu(
        pgettext("repay.other_unknown", "We can take no payment for this number. Is it right?"),
        (Choice(pgettext("repay.other_unknown", "Another number"), "repay.other"),),
    )


@screen("repay.other_tomorrow", samples=[samples.fresh])
def other_tomorrow(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.other_tomorrow",
            "You have asked about many numbers today. Try again tomorrow, or pay by paybill %(paybill)s "
            "with their number as the account.",
        )
        % _paybill(dialogue)
    )


@screen("repay.other_amount", samples=[samples.for_another], tries=AMOUNT_TRIES)
def ask_amount_for_other(dialogue: Dialogue) -> View:
    """How much: what the other owes is theirs alone to know."""
    return Ask(
        pgettext("repay.other_amount", "You pay for %(name)s. How much? What they do not owe is kept for them.")
        % {"name": dialogue.answers["other_name"]},
        parse=lambda typed: _parse_for_other(dialogue, typed),
        act=_pay_for_other,
        zero_is_answer=True,
    )


def _parse_for_other(dialogue: Dialogue, typed: str) -> int:
    cents = read_amount(typed, dialogue.facts.country.currency)
    if cents > dialogue.facts.largest_loan_cents:
        raise Again(_not_payable())
    return cents


def _pay_for_other(dialogue: Dialogue, cents: int) -> str:
    _request(dialogue, cents, dialogue.answers["other_id"])
    dialogue.answers["amount_cents"] = cents
    return "repay.other_prompted"


@screen("repay.other_prompted", samples=[samples.for_another])
def other_prompted(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.other_prompted",
            "You will get an %(wallet)s prompt for %(amount)s, for %(name)s. Enter your %(wallet)s PIN. "
            "Both get an SMS.",
        )
        % {
            "amount": words.amount(dialogue.answers["amount_cents"]),
            "name": dialogue.answers["other_name"],
            "wallet": dialogue.facts.country.wallet_name,
        }
    )


# --- from savings ---------------------------------------------------------------------------------------------
@screen("repay.savings", samples=[samples.saver], paged=True)
def choose_savings(dialogue: Dialogue) -> View:
    found = dialogue.facts.savings_to_pay_from[:5]
    if not found:
        return Go("repay.menu")
    return Menu(
        pgettext("repay.savings", "Pay from which savings?"),
        [
            Choice(_called(account, cents), "repay.savings_amount", {"account_id": account.id, "free_cents": cents})
            for account, cents in found
        ],
    )


def _called(account: SavingsAccount, cents: int) -> str:
    name = words.short(account.goal) if account.goal else pgettext("repay.savings", "Savings")
    return f"{name} {words.amount(cents, account.currency)}"


@screen("repay.savings_amount", samples=[samples.saver], tries=AMOUNT_TRIES)
def ask_amount_from_savings(dialogue: Dialogue) -> View:
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    most_cents = min(dialogue.answers["free_cents"], dialogue.facts.pay_off.payable_cents)
    return Ask(
        pgettext("repay.savings_amount", "How much of your savings pays your loan? At most %(most)s.")
        % {"most": words.amount(most_cents, loan.currency)},
        parse=lambda typed: _parse_from_savings(typed, most_cents, loan.currency),
        save_as="amount_cents",
        then="repay.savings_pin",
        zero_is_answer=True,
    )


def _parse_from_savings(typed: str, most_cents: int, currency: str) -> int:
    cents = read_amount(typed, currency)
    if cents > most_cents:
        raise Again(pgettext("repay.savings_amount", "That is too much."))
    return cents


@screen("repay.savings_pin", samples=[samples.saver], tries=pin.PIN_TRIES, costs=True)
def confirm_from_savings(dialogue: Dialogue) -> View:
    if dialogue.facts.known.pin_is_locked_at(dialogue.at):
        return Go("pin.locked")
    asked = pgettext("repay.savings_pin", "%(amount)s goes from your savings to your loan. It costs nothing.") % {
        "amount": words.amount(dialogue.answers["amount_cents"])
    }
    return pin.enter(act=_pay_from_savings, before=asked)


def _pay_from_savings(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    try:
        savings_sweeps.repay_from_savings(
            borrower_id=dialogue.facts.known.id,
            account_id=dialogue.answers["account_id"],
            amount_cents=dialogue.answers["amount_cents"],
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except repayments.NoOpenLoan:
        raise Elsewhere("repay.nothing") from None
    except savings_sweeps.SweepUnderWay:
        raise Elsewhere("repay.savings_pending") from None
    except (
        AccountClosed,
        NotEnoughSavings,
        repayments.InvalidRepayment,
        savings_instructions.StillLocked,
        savings_sweeps.NotTheirs,
    ):
        raise Elsewhere("repay.savings_changed") from None
    return "repay.savings_asked"


@screen("repay.savings_asked", samples=[samples.saver])
def savings_asked(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.savings_asked",
            "%(amount)s of your savings is on its way to your loan. An SMS comes when it is there.",
        )
        % {"amount": words.amount(dialogue.answers["amount_cents"])}
    )


@screen("repay.savings_pending", samples=[samples.saver])
def savings_pending(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "repay.savings_pending",
            "Money of your savings is on its way to your loan already. An SMS comes when it is there.",
        )
    )


@screen("repay.savings_changed", samples=[samples.saver])
def savings_changed(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("repay.savings_changed", "Your savings or your loan have changed meanwhile. Nothing was paid."),
        (Choice(pgettext("repay.savings_changed", "Look again"), "repay.menu"),),
    )
