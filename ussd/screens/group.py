"""Saving together: the pot and one's part, paying in, asking for money, deciding, and sharing out."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings

from lending.models import GroupWithdrawal, SavingsAccount
from lending.rules import money
from lending.selectors import savings as selectors
from lending.selectors.groups import Waiting
from lending.services import groups, savings_holds
from ussd import alphabet, saving_words, words
from ussd import saving_samples as worst
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin, pots
from ussd.screens.borrow import read_amount
from ussd.screens.pots import AMOUNT_TRIES, in_account
from ussd.screens.save import pay_in, read_deposit
from ussd.tongue import npgettext, pgettext

MOST_LISTED = 4
SHORT_SEPTETS = 9


def of_group(view: Callable[[Dialogue, SavingsAccount], View]) -> Callable[[Dialogue], View]:
    """Hand a screen the account of the group that the conversation is about."""
    return pots.handed(view, lambda dialogue, account_id: dialogue.facts.saver.group_account(account_id))


def chosen(dialogue: Dialogue) -> SavingsAccount:
    """Return the group's account that is acted on.

    Raises:
        Elsewhere: they have left the group.
    """
    return pots.or_start(dialogue.facts.saver.group_account(dialogue.answers.get("account_id", 0)))


@screen("group.none", samples=[worst.nothing_saved])
def none(dialogue: Dialogue) -> View:
    return Menu(
        pgettext(
            "group.none", "You are in no savings group. Form one with people you trust: an officer helps, SMS HELP."
        ),
        (Choice(pgettext("group.none", "Save alone"), "save.start"),),
    )


@screen("group.pot", samples=[worst.in_group, worst.quiet_group], resume="group.pot")
@of_group
def pot_menu(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What the group has, and one's own part."""
    part, waits = dialogue.facts.saver.part(account), len(dialogue.facts.saver.waiting(account))
    values = {
        "name": saving_words.name(account),
        "pot": in_account(account.balance_cents, account),
        "mine": in_account(part.share_cents, account),
        "waits": waits,
    }
    lines = (
        pgettext("group.pot", "%(name)s: %(pot)s"),
        pgettext("group.pot", "Your share: %(mine)s"),
    )
    return Menu(
        "\n".join(line % values for line in lines),
        (
            Choice(pgettext("group.pot", "Pay in"), "group.amount"),
            Choice(pgettext("group.pot", "Ask for money"), "group.ask"),
            Choice(pgettext("group.pot", "To decide: %(waits)s") % values, "group.waiting"),
            Choice(pgettext("group.pot", "Share out"), "group.share"),
        ),
        back_to="save.start",
    )


@screen("group.amount", samples=[worst.in_group], resume="group.pot", tries=AMOUNT_TRIES)
@of_group
def ask_amount(dialogue: Dialogue, account: SavingsAccount) -> View:
    part = dialogue.facts.saver.part(account)
    return Ask(
        pgettext("group.amount", "You have paid in %(paid)s. How much now?")
        % {"paid": in_account(part.paid_in_cents, account)},
        parse=lambda typed: read_deposit(typed, account.currency),
        act=lambda dialogue, cents: pay_in(cents, dialogue, None),
        zero_is_answer=True,
    )


# --- asking ---------------------------------------------------------------------------------------------------
@screen("group.ask", samples=[worst.in_group], resume="group.pot", tries=AMOUNT_TRIES)
@of_group
def ask_money(dialogue: Dialogue, account: SavingsAccount) -> View:
    free = selectors.available_cents(account)
    if free < money.currency(account.currency).payable_cents:
        return Go("group.empty")
    return Ask(
        pgettext("group.ask", "%(name)s can give up to %(free)s. How much do you need?")
        % {"name": saving_words.name(account), "free": in_account(free, account)},
        parse=lambda typed: _read_need(typed, account),
        save_as="amount_cents",
        then="group.purpose",
        zero_is_answer=True,
    )


def _read_need(typed: str, account: SavingsAccount) -> int:
    cents = read_amount(typed, account.currency)
    if cents > selectors.available_cents(account):
        raise Again(pgettext("group.ask", "The group has less than that."))
    return cents


@screen("group.empty", samples=[worst.in_group])
@of_group
def empty(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Menu(
        pgettext("group.empty", "There is nothing to take out of %(name)s now.")
        % {"name": saving_words.name(account)},
        (Choice(pgettext("group.empty", "Pay in"), "group.amount"),),
        back_to="group.pot",
    )


@screen("group.purpose", samples=[worst.in_group], resume="group.ask")
@of_group
def choose_purpose(dialogue: Dialogue, account: SavingsAccount) -> View:
    choices = [
        Choice(said, "group.ask_facts", {"purpose": kept}) for kept, said in saving_words.purpose_names().items()
    ]
    return Menu(pgettext("group.purpose", "What is it for? All members read it."), choices)


@screen("group.ask_facts", samples=[worst.in_group], resume="group.ask_facts", costs=True)
@of_group
def ask_facts(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What happens to a wish, before it is told to everybody."""
    assert account.group is not None
    values = {
        "amount": in_account(dialogue.answers["amount_cents"], account),
        "name": saving_words.name(account),
        "purpose": saving_words.purpose_names()[dialogue.answers["purpose"]],
        "needed": account.group.approvals_needed,
    }
    lines = (
        pgettext("group.ask_facts", "%(amount)s from %(name)s, %(purpose)s"),
        pgettext("group.ask_facts", "%(needed)s members must agree"),
        pgettext("group.ask_facts", "Fee none"),
        pgettext("group.ask_facts", "Then it comes in 1 or 2 days"),
    )
    return _facts(lines, values, Choice(pgettext("group.ask_facts", "Ask the group"), "group.ask_pin"))


def _facts(lines: tuple[str, ...], values: dict[str, Any], yes: Choice) -> Menu:
    return pots.facts(lines, values, yes, cancel=pgettext("group", "Cancel"), back_to="group.pot")


@screen("group.ask_pin", samples=[worst.in_group], resume="group.ask_facts", tries=pin.PIN_TRIES)
def ask_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _ask)


def _ask(dialogue: Dialogue, typed: str) -> str:
    """Ask the group, once for this hop; every member is told."""
    pin.check(dialogue, typed)
    account, borrower_id = chosen(dialogue), dialogue.facts.known.id
    assert account.group_id is not None
    try:
        groups.ask_withdrawal(
            group_id=account.group_id,
            asked_by=borrower_id,
            to=borrower_id,
            amount_cents=dialogue.answers["amount_cents"],
            purpose=dialogue.answers["purpose"],
            origin=f"ussd:{dialogue.origin}",
            at=dialogue.at,
        )
    except savings_holds.NotEnoughSavings:
        raise Elsewhere("group.ask") from None
    except groups.NotAMember:
        raise Elsewhere("save.start") from None
    return "group.asked"


@screen("group.asked", samples=[worst.in_group])
@of_group
def asked(dialogue: Dialogue, account: SavingsAccount) -> View:
    assert account.group is not None
    needed = account.group.approvals_needed
    return End(
        npgettext(
            "group.asked",
            "All members get an SMS. Once %(needed)d member agrees, the money is sent. To say yes, too: %(code)s.",
            "All members get an SMS. Once %(needed)d members agree, the money is sent. To say yes, too: %(code)s.",
            needed,
        )
        % {"needed": needed, "code": settings.USSD_CODE}
    )


# --- deciding -------------------------------------------------------------------------------------------------
@screen("group.waiting", samples=[worst.in_group, worst.quiet_group], resume="group.pot", paged=True)
@of_group
def waiting(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What waits for a word, the oldest first."""
    found = dialogue.facts.saver.waiting(account)
    if not found:
        return Go("group.decided_all")
    choices = [
        Choice(_short(one, account), "group.decide", {"withdrawal_id": one.asked.id}) for one in found[:MOST_LISTED]
    ]
    return Menu(pgettext("group.waiting", "What do you want to look at?"), choices, back_to="group.pot")


def _short(one: Waiting, account: SavingsAccount) -> str:
    who = words.first_name(one.asked.asked_by.borrower.full_name)
    return f"{alphabet.active().clip(who, SHORT_SEPTETS)} {in_account(one.asked.amount_cents, account)}"


@screen("group.decided_all", samples=[worst.quiet_group])
@of_group
def decided_all(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Menu(
        pgettext("group.decided_all", "Nothing waits to be decided in %(name)s.")
        % {"name": saving_words.name(account)},
        (Choice(pgettext("group.decided_all", "Ask for money"), "group.ask"),),
        back_to="group.pot",
    )


def _asked(dialogue: Dialogue, account: SavingsAccount) -> Waiting | None:
    """Return what is being decided on; None when it is decided by now."""
    withdrawal_id = dialogue.answers.get("withdrawal_id")
    return next((one for one in dialogue.facts.saver.waiting(account) if one.asked.id == withdrawal_id), None)


@screen("group.decide", samples=[worst.in_group, worst.said_in_group], resume="group.decide")
@of_group
def decide(dialogue: Dialogue, account: SavingsAccount) -> View:
    """Who asks for how much and why, how many agreed, and both answers beside each other."""
    one = _asked(dialogue, account)
    if one is None:
        return Go("group.waiting")
    values = {
        "who": words.first_name(one.asked.asked_by.borrower.full_name),
        "amount": in_account(one.asked.amount_cents, account),
        "purpose": saving_words.purpose(one.asked),
        "yes": one.approvals,
        "needed": one.asked.approvals_needed,
        "no": one.refusals,
    }
    lines = [
        pgettext("group.decide", "%(who)s asks for %(amount)s, %(purpose)s"),
        pgettext("group.decide", "Agreed %(yes)s of %(needed)s, refused %(no)s"),
    ]
    if one.said:
        lines.append(pgettext("group.decide", "You have said your word."))
        return Menu("\n".join(line % values for line in lines), (), back_to="group.waiting")
    return Menu(
        "\n".join(line % values for line in lines),
        (
            Choice(pgettext("group.decide", "Agree"), "group.agree_pin"),
            Choice(pgettext("group.decide", "Refuse"), "group.refuse_pin"),
        ),
        back_to="group.waiting",
        must_be_seen=True,
    )


@screen("group.agree_pin", samples=[worst.in_group], resume="group.decide", tries=pin.PIN_TRIES)
def agree_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, partial(_say, groups.approve))


@screen("group.refuse_pin", samples=[worst.in_group], resume="group.decide", tries=pin.PIN_TRIES)
def refuse_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, partial(_say, groups.refuse))


def _say(word: Callable[..., GroupWithdrawal], dialogue: Dialogue, typed: str) -> str:
    """Say one's word: yes or no, once."""
    pin.check(dialogue, typed)
    try:
        decided = word(
            withdrawal_id=dialogue.answers["withdrawal_id"], borrower_id=dialogue.facts.known.id, at=dialogue.at
        )
    except groups.NotAMember:
        raise Elsewhere("save.start") from None
    except (groups.AlreadyEnded, groups.AlreadySaid):
        raise Elsewhere("group.waiting") from None
    except savings_holds.NotEnoughSavings:
        raise Elsewhere("group.gone") from None
    dialogue.answers["state"] = decided.state
    return "group.said"


@screen("group.gone", samples=[worst.in_group])
@of_group
def gone(dialogue: Dialogue, account: SavingsAccount) -> View:
    return End(
        pgettext("group.gone", "%(name)s has less than that now, so it cannot be paid. You may refuse it, or wait.")
        % {"name": saving_words.name(account)}
    )


@screen("group.said", samples=[worst.in_group], resume="group.pot")
@of_group
def said(dialogue: Dialogue, account: SavingsAccount) -> View:
    """How it stands after one's word."""
    state = GroupWithdrawal.State
    told = {
        state.APPROVED: pgettext("group.said", "That was the last yes that was needed. The money is on its way."),
        state.REFUSED: pgettext("group.said", "It is refused: those who are left cannot agree any more."),
        state.CANCELLED: pgettext("group.said", "It was taken back."),
        state.ASKED: pgettext("group.said", "Your word counts. All members get an SMS when it is decided."),
    }
    return End(told[state(dialogue.answers.get("state", state.ASKED))])


# --- sharing out ----------------------------------------------------------------------------------------------
@screen("group.share", samples=[worst.in_group], resume="group.share", costs=True)
@of_group
def share(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What each gets when all is shared: by what they paid in. Others' parts are theirs to know."""
    assert account.group is not None
    part = dialogue.facts.saver.part(account)
    if not part.share_cents:
        return Go("group.empty")
    values = {
        "pot": in_account(part.pot_cents, account),
        "paid": in_account(part.paid_in_cents, account),
        "mine": in_account(part.share_cents, account),
        "needed": account.group.approvals_needed,
    }
    lines = (
        pgettext("group.share", "To share: %(pot)s"),
        pgettext("group.share", "You paid in %(paid)s"),
        pgettext("group.share", "You would get %(mine)s"),
        pgettext("group.share", "Fee none. %(needed)s must agree"),
    )
    return _facts(lines, values, Choice(pgettext("group.share", "Ask to share out"), "group.share_pin"))


@screen("group.share_pin", samples=[worst.in_group], resume="group.share", tries=pin.PIN_TRIES)
def share_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _share)


def _share(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    account = chosen(dialogue)
    assert account.group_id is not None
    try:
        groups.ask_share_out(
            group_id=account.group_id,
            asked_by=dialogue.facts.known.id,
            origin=f"ussd:{dialogue.origin}",
            at=dialogue.at,
        )
    except groups.NothingToShare:
        raise Elsewhere("group.empty") from None
    except groups.NotAMember:
        raise Elsewhere("save.start") from None
    return "group.asked"
