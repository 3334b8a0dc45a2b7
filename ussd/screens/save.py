"""Saving: what one has, goals, paying in, taking out, locks, statement, and savings that pay a loan."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial

from django.conf import settings

from lending.models import SavingsAccount, SavingsMovement
from lending.rules import calendar, money
from lending.rules.savings import GOAL_WEEKS, goal_of, read_terms
from lending.selectors import savings as selectors
from lending.services import deposits, savings, savings_holds, savings_instructions, savings_locks, savings_sweeps
from ussd import saving_samples as worst
from ussd import saving_words, words
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, Read, View, screen
from ussd.screens import pin, pots
from ussd.screens.borrow import read_amount
from ussd.screens.pots import AMOUNT_TRIES, in_account
from ussd.tongue import npgettext, pgettext

SWEEP_VERSION = "sweep-1"
DAYS_A_MONTH = 30


def of_pot(view: Callable[[Dialogue, SavingsAccount], View]) -> Callable[[Dialogue], View]:
    """Hand a screen the pot that the conversation is about."""
    return pots.handed(view, lambda dialogue, account_id: dialogue.facts.saver.pot(account_id))


def chosen(dialogue: Dialogue) -> SavingsAccount:
    """Return the pot that is acted on.

    Raises:
        Elsewhere: it is closed by now.
    """
    return pots.or_start(dialogue.facts.saver.pot(dialogue.answers.get("account_id", 0)))


def is_locked(dialogue: Dialogue, account: SavingsAccount) -> bool:
    return account.locked_until is not None and dialogue.facts.today <= account.locked_until


# --- what one has ---------------------------------------------------------------------------------------------
@screen(
    "save.start",
    samples=[worst.nothing_saved, worst.saved, worst.locked, worst.in_groups],
    resume="save.start",
    paged=True,
)
def start(dialogue: Dialogue) -> View:
    """All that one saves, alone and with others, and the way to more."""
    mine, groups = dialogue.facts.saver.pots(), dialogue.facts.saver.group_accounts()
    alone = [Choice(_listed(pot), "save.pot", {"account_id": pot.id}) for pot in mine]
    together = [Choice(_listed(account), "group.pot", {"account_id": account.id}) for account in groups]
    if not together:
        together = [Choice(pgettext("save.start", "Save in a group"), "group.none")]
    text = pgettext("save.start", "Your savings")
    if not mine:
        text = pgettext("save.start", "A small amount each week grows. It is never security for a loan.")
    return Menu(text, (*alone, Choice(pgettext("save.start", "New goal"), "save.goal"), *together))


def _listed(account: SavingsAccount) -> str:
    return f"{saving_words.name(account)} {in_account(account.balance_cents, account)}"


@screen("save.pot", samples=[worst.saved, worst.locked], resume="save.pot", paged=True)
@of_pot
def pot_menu(dialogue: Dialogue, account: SavingsAccount) -> View:
    """How one account stands: balance, what of it is free, the lock, and what is on its way."""
    return Menu(
        lambda: "\n".join(_standing(dialogue, account)),
        (
            Choice(pgettext("save.pot", "Pay in"), "save.suggest"),
            Choice(pgettext("save.pot", "Take out"), "save.take"),
            _lock_choice(dialogue, account),
            Choice(pgettext("save.pot", "Statement"), "save.statement"),
            Choice(pgettext("save.pot", "More"), "save.more"),
        ),
        back_to="save.start",
    )


def _lock_choice(dialogue: Dialogue, account: SavingsAccount) -> Choice:
    if is_locked(dialogue, account):
        return Choice(pgettext("save.pot", "Open the lock"), "save.unlock")
    return Choice(pgettext("save.pot", "Lock it"), "save.lock")


def _standing(dialogue: Dialogue, account: SavingsAccount) -> list[str]:
    earned = dialogue.facts.saver.month(account)[0] + selectors.earned_cents(account)
    values = {
        "name": saving_words.name(account),
        "earned": in_account(earned, account),
        "saved": in_account(account.balance_cents, account),
        "target": in_account(account.target_cents or 0, account),
        "free": in_account(selectors.available_cents(account), account),
        "day": words.day(account.locked_until) if account.locked_until else "",
        "coming": in_account(dialogue.facts.saver.on_its_way_cents(account), account),
    }
    if account.target_cents:
        lines = [pgettext("save.pot", "%(name)s: %(saved)s of %(target)s")]
    else:
        lines = [pgettext("save.pot", "%(name)s: %(saved)s")]
    if is_locked(dialogue, account):
        lines.append(pgettext("save.pot", "Locked until %(day)s"))
    elif selectors.available_cents(account) != account.balance_cents:
        lines.append(pgettext("save.pot", "Free: %(free)s"))
    if dialogue.facts.saver.on_its_way_cents(account):
        lines.append(pgettext("save.pot", "On its way: %(coming)s"))
    if earned:
        lines.append(pgettext("save.pot", "Interest this month: %(earned)s"))
    return [line % values for line in lines]


@screen("save.more", samples=[worst.saved, worst.swept], resume="save.pot")
@of_pot
def more(dialogue: Dialogue, account: SavingsAccount) -> View:
    sweep = (
        Choice(pgettext("save.more", "Let it pay my loan"), "save.sweep")
        if dialogue.facts.saver.stays_cents(account) is None
        else Choice(pgettext("save.more", "Pay my loan no more"), "save.sweep_off")
    )
    terms = Choice(pgettext("save.more", "Interest and terms"), "save.terms")
    return Menu(saving_words.name(account), (sweep, terms), back_to="save.pot")


@screen("save.statement", samples=[worst.saved, worst.nothing_moved], resume="save.pot", tries=("98", "x"))
@of_pot
def statement(dialogue: Dialogue, account: SavingsAccount) -> View:
    """The month's interest, and the newest movements."""
    interest, tax = dialogue.facts.saver.month(account)
    earned = pgettext("save.statement", "This month: interest %(interest)s, tax %(tax)s") % {
        "interest": in_account(interest, account),
        "tax": in_account(tax, account),
    }
    lines = [_line(movement, account) for movement in dialogue.facts.saver.lines(account)]
    return Read([earned, *(lines or [pgettext("save.statement", "Nothing has moved yet.")])])


def _line(movement: SavingsMovement, account: SavingsAccount) -> str:
    kinds = SavingsMovement.Kind
    said = {
        kinds.DEPOSIT: pgettext("save.statement", "%(day)s in %(amount)s"),
        kinds.WITHDRAWAL: pgettext("save.statement", "%(day)s out %(amount)s"),
        kinds.INTEREST: pgettext("save.statement", "%(day)s interest %(amount)s"),
        kinds.TAX: pgettext("save.statement", "%(day)s tax %(amount)s"),
    }
    return said[kinds(movement.kind)] % {
        "day": words.day(movement.value_on),
        "amount": in_account(movement.amount_cents, account),
    }


@screen("save.terms", samples=[worst.saved, worst.locked, worst.plain], resume="save.pot", tries=("98", "x"))
@of_pot
def terms(dialogue: Dialogue, account: SavingsAccount) -> View:
    """By what the account goes now, and what is to come, for worse or for better."""
    agreed = dialogue.facts.saver.terms(account)
    values = {
        "holder": saving_words.holder(account),
        "minimum": in_account(agreed.minimum_balance_cents, account),
        "days": agreed.dormant_after_days,
    }
    items = [pgettext("save.terms", "%(holder)s holds your money. It is never security for a loan.") % values]
    if agreed.interest is None:
        items.append(pgettext("save.terms", "You get the interest that %(holder)s pays.") % values)
    else:
        items.append(earns(account))
    if agreed.minimum_balance_cents:
        items.append(pgettext("save.terms", "%(minimum)s must stay.") % values)
    items.append(pgettext("save.terms", "No fees. Not used for %(days)s days, it still earns.") % values)
    coming = [
        saving_words.terms_change_words(one, account.currency) for one in dialogue.facts.saver.changes(account)
    ]
    return Read([*items, *coming])


def earns(account: SavingsAccount) -> str:
    """Say what an account earns: the rates of a year, the tax in them, and when it comes."""
    interest = selectors.terms_of(account).interest
    assert interest is not None, "an account of a product that pays interest"
    values = {"rates": words.rates(interest), "tax": words.percent(interest.tax_rate)}
    if interest.credited == "daily":
        said = pgettext("save.terms", "It earns %(rates)s a year, added each day, less tax %(tax)s of it.")
    else:
        said = pgettext("save.terms", "It earns %(rates)s a year, added each month, less tax %(tax)s of it.")
    return said % values


# --- a goal ---------------------------------------------------------------------------------------------------
@screen("save.goal", samples=[worst.nothing_saved], resume="save.goal")
def choose_goal(dialogue: Dialogue) -> View:
    """What it is for: saving for something that has a name is easier."""
    names = saving_words.goal_names()
    choices = [Choice(said, "save.weekly", {"goal": kept}) for kept, said in names.items()]
    return Menu(pgettext("save.goal", "What do you save for?"), choices)


@screen("save.weekly", samples=[worst.nothing_saved], resume="save.goal", tries=AMOUNT_TRIES)
def ask_weekly(dialogue: Dialogue) -> View:
    """Small amounts are suggested: more people keep them up."""
    smaller, larger = dialogue.facts.saver.suggestions()
    currency = dialogue.facts.saver.product().currency
    said = pgettext("save.weekly", "How much each week? A small amount is easier to keep.")
    if smaller < larger:
        said += " " + pgettext("save.weekly", "Try %(smaller)s or %(larger)s.")
    return Ask(
        said % {"smaller": words.amount(smaller, currency), "larger": words.amount(larger, currency)},
        parse=lambda typed: read_deposit(typed, currency),
        save_as="weekly_cents",
        then="save.confirm",
        zero_is_answer=True,
    )


@screen("save.confirm", samples=[worst.nothing_saved], resume="save.confirm")
def confirm(dialogue: Dialogue) -> View:
    """The goal and its terms, before it is opened."""
    product, names = dialogue.facts.saver.product(), saving_words.goal_names()
    interest = read_terms(product.terms).interest
    target, by = goal_of(dialogue.answers["weekly_cents"], dialogue.facts.today)
    values = {
        "name": names[dialogue.answers["goal"]],
        "target": words.amount(target, product.currency),
        "day": words.day(by),
        "holder": saving_words.holder(SavingsAccount(partner=product.partner)),
        "rates": words.rates(interest) if interest else "",
        "tax": words.percent(interest.tax_rate) if interest else "",
    }
    lines = [
        pgettext("save.confirm", "%(name)s: %(target)s by %(day)s"),
        pgettext("save.confirm", "Held by %(holder)s"),
        *([pgettext("save.confirm", "Earns %(rates)s a year, tax on it %(tax)s")] if interest else []),
        pgettext("save.confirm", "No fees"),
    ]
    return pots.facts(
        lines,
        values,
        Choice(pgettext("save.confirm", "Open"), act=_open),
        cancel=pgettext("save.confirm", "Cancel"),
        back_to="save.start",
        first=dialogue.unused(1),
    )


def _open(dialogue: Dialogue, _: None) -> str:
    """Open the goal: the same goal is the same account, so a repeat opens none."""
    target, by = goal_of(dialogue.answers["weekly_cents"], dialogue.facts.today)
    try:
        account = savings.open_account(
            product_code=selectors.GOAL_PRODUCT,
            borrower=dialogue.facts.known,
            goal=dialogue.answers["goal"],
            target_cents=target,
            target_on=by,
            at=dialogue.at,
        )
    except savings.PartnerNeeded:
        raise Elsewhere("save.not_now") from None
    dialogue.answers = {"account_id": account.id, "weekly_cents": dialogue.answers["weekly_cents"]}
    return "save.opened"


@screen("save.opened", samples=[worst.saved], resume="save.pot")
@of_pot
def opened(dialogue: Dialogue, account: SavingsAccount) -> View:
    weekly = dialogue.answers.get("weekly_cents", 0)
    first = Choice(
        pgettext("save.opened", "Pay in %(amount)s now") % {"amount": in_account(weekly, account)},
        act=partial(pay_in, weekly),
    )
    return Menu(
        pgettext("save.opened", "%(name)s is open.") % {"name": saving_words.name(account)},
        (first, Choice(pgettext("save.opened", "Another amount"), "save.amount")),
        back_to="save.pot",
    )


@screen("save.not_now", samples=[worst.nothing_saved])
def not_now(dialogue: Dialogue) -> View:
    """Nobody with a licence holds the money just now."""
    return End(
        pgettext("save.not_now", "We open no savings for now; it is not because of you. Dial again tomorrow.")
    )


# --- paying in ------------------------------------------------------------------------------------------------
@screen("save.suggest", samples=[worst.saved, worst.plain], resume="save.pot")
@of_pot
def suggest(dialogue: Dialogue, account: SavingsAccount) -> View:
    listed = [
        Choice(in_account(cents, account), act=partial(pay_in, cents)) for cents in _amounts(dialogue, account)
    ]
    other = Choice(pgettext("save.suggest", "Another amount"), "save.amount")
    text = pgettext("save.suggest", "How much do you pay in from your %(wallet)s? We take no fee.") % {
        "wallet": dialogue.facts.country.wallet_name
    }
    return Menu(text, (*listed, other), back_to="save.pot")


def _amounts(dialogue: Dialogue, account: SavingsAccount) -> list[int]:
    """Return what a week's deposit comes to by the goal, else what is suggested; each of them once."""
    if account.target_cents:
        unit = money.currency(account.currency).payable_cents
        return [max(unit, money.round_to(account.target_cents // GOAL_WEEKS, unit))]
    return sorted(set(dialogue.facts.saver.suggestions()))


@screen("save.amount", samples=[worst.saved], resume="save.pot", tries=AMOUNT_TRIES)
@of_pot
def ask_amount(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Ask(
        pgettext("save.amount", "How much do you pay in?"),
        parse=lambda typed: read_deposit(typed, account.currency),
        act=lambda dialogue, cents: pay_in(cents, dialogue, None),
        zero_is_answer=True,
    )


def read_deposit(typed: str, currency: str) -> int:
    """Return the cents of a deposit, or say why it is none."""
    cents = read_amount(typed, currency)
    if cents > deposits.MOST_CENTS:
        most = words.amount(deposits.MOST_CENTS, currency)
        raise Again(pgettext("save.amount", "At most %(most)s at once.") % {"most": most})
    return cents


def pay_in(cents: int, dialogue: Dialogue, _: None) -> str:
    """Ask the rail for a prompt. It needs the wallet's own PIN, so ours is not asked for."""
    try:
        deposits.request_deposit(
            borrower_id=dialogue.facts.known.id,
            account_id=dialogue.answers["account_id"],
            amount_cents=cents,
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except deposits.PromptPending:
        raise Elsewhere("repay.pending") from None
    except (deposits.NotTheirAccount, savings.AccountClosed):
        raise Elsewhere("save.start") from None
    except deposits.InvalidDeposit:
        raise Again(pgettext("save.amount", "That amount cannot be paid in.")) from None
    dialogue.answers["amount_cents"] = cents
    return "save.prompted"


@screen("save.prompted", samples=[worst.saved, worst.in_group])
def prompted(dialogue: Dialogue) -> View:
    """The end: the prompt comes when this session is gone."""
    facts, account_id = dialogue.facts.saver, dialogue.answers.get("account_id", 0)
    account = facts.pot(account_id) or facts.group_account(account_id)
    if account is None:
        return Go("save.start")
    return End(
        pgettext(
            "save.prompted",
            "You will get an %(wallet)s prompt for %(amount)s. Enter your %(wallet)s PIN. "
            "No prompt? Paybill %(paybill)s, account %(account)s.",
        )
        % {
            "amount": in_account(dialogue.answers["amount_cents"], account),
            "wallet": dialogue.facts.country.wallet_name,
            "paybill": settings.PAYBILL,
            "account": facts.paybill_account(account),
        }
    )


# --- taking out -----------------------------------------------------------------------------------------------
@screen("save.take", samples=[worst.saved], resume="save.pot", tries=AMOUNT_TRIES)
@of_pot
def ask_withdrawal(dialogue: Dialogue, account: SavingsAccount) -> View:
    if is_locked(dialogue, account):
        return Go("save.unlock")
    free = selectors.available_cents(account)
    if free < money.currency(account.currency).payable_cents:
        return Go("save.empty")
    return Ask(
        pgettext("save.take", "You can take out %(free)s. How much?") % {"free": in_account(free, account)},
        parse=lambda typed: _read_withdrawal(typed, account),
        save_as="amount_cents",
        then="save.take_facts",
        zero_is_answer=True,
    )


def _read_withdrawal(typed: str, account: SavingsAccount) -> int:
    cents = read_amount(typed, account.currency)
    if cents > selectors.available_cents(account):
        raise Again(pgettext("save.take", "You have less than that."))
    return cents


@screen("save.empty", samples=[worst.saved])
@of_pot
def empty(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Menu(
        pgettext("save.empty", "There is nothing to take out of %(name)s now.")
        % {"name": saving_words.name(account)},
        (Choice(pgettext("save.empty", "Pay in"), "save.suggest"),),
        back_to="save.pot",
    )


@screen("save.take_facts", samples=[worst.saved], resume="save.take_facts", costs=True)
@of_pot
def withdrawal_facts(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What leaves, what it costs, what arrives and when, before anything is asked for."""
    cents = dialogue.answers["amount_cents"]
    if is_locked(dialogue, account) or cents > selectors.available_cents(account):
        return Go("save.take")
    values = {
        "name": saving_words.name(account),
        "amount": in_account(cents, account),
        "left": in_account(account.balance_cents - cents, account),
        "holder": saving_words.holder(account),
    }
    lines = (
        pgettext("save.take_facts", "Out of %(name)s %(amount)s"),
        pgettext("save.take_facts", "Fee none"),
        pgettext("save.take_facts", "You get %(amount)s"),
        pgettext("save.take_facts", "Stays saved %(left)s"),
        pgettext("save.take_facts", "%(holder)s sends it in 1 or 2 days"),
    )
    return pots.facts(
        lines,
        values,
        Choice(pgettext("save.take_facts", "Take it out"), "save.take_pin"),
        cancel=pgettext("save.take_facts", "Cancel"),
        back_to="save.pot",
    )


@screen("save.take_pin", samples=[worst.saved], resume="save.take_facts", tries=pin.PIN_TRIES)
def withdrawal_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _take_out)


def _take_out(dialogue: Dialogue, typed: str) -> str:
    """Ask the holder to pay, once for this hop."""
    pin.check(dialogue, typed)
    account = chosen(dialogue)
    try:
        savings_instructions.instruct_withdrawal(
            account_id=account.id,
            amount_cents=dialogue.answers["amount_cents"],
            reference=f"ussd:{dialogue.origin}",
            at=dialogue.at,
        )
    except (savings_holds.NotEnoughSavings, savings_instructions.StillLocked):
        raise Elsewhere("save.take") from None
    except savings.AccountClosed:
        raise Elsewhere("save.start") from None
    return "save.taken"


@screen("save.taken", samples=[worst.saved])
@of_pot
def taken(dialogue: Dialogue, account: SavingsAccount) -> View:
    return End(
        pgettext(
            "save.taken",
            "We asked %(holder)s to send %(amount)s to your %(wallet)s. It takes 1 or 2 days. An SMS follows.",
        )
        % {
            "holder": saving_words.holder(account),
            "amount": in_account(dialogue.answers["amount_cents"], account),
            "wallet": dialogue.facts.country.wallet_name,
        }
    )


# --- locks ----------------------------------------------------------------------------------------------------
@screen("save.lock", samples=[worst.saved], resume="save.pot", tries=("0", "13", "x", "٣"))
@of_pot
def choose_lock(dialogue: Dialogue, account: SavingsAccount) -> View:
    """For how long: no longer than the product allows."""
    lock = dialogue.facts.saver.terms(account).lock
    if lock is None:
        return Go("save.no_lock")
    most = lock.longest_days // DAYS_A_MONTH
    return Ask(
        pgettext("save.lock", "For how many months do you lock %(name)s? From 1 to %(most)d.")
        % {"name": saving_words.name(account), "most": most},
        parse=lambda typed: _read_months(typed, most),
        save_as="days",
        then="save.lock_key",
        zero_is_answer=True,
    )


def _read_months(typed: str, most: int) -> int:
    """Return the days of so many months."""
    if typed.isascii() and typed.isdigit() and 1 <= int(typed[:4]) <= most:
        return int(typed[:4]) * DAYS_A_MONTH
    raise Again(pgettext("save.lock", "Type a number from 1 to %(most)d.") % {"most": most})


@screen("save.no_lock", samples=[worst.plain])
@of_pot
def no_lock(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Menu(
        pgettext("save.no_lock", "%(name)s has no lock. A goal can be locked.")
        % {"name": saving_words.name(account)},
        (Choice(pgettext("save.no_lock", "New goal"), "save.goal"),),
        back_to="save.pot",
    )


@screen("save.lock_key", samples=[worst.saved], resume="save.lock")
@of_pot
def choose_key(dialogue: Dialogue, account: SavingsAccount) -> View:
    """How firmly: the saver chooses how long the way out takes."""
    lock = dialogue.facts.saver.terms(account).lock
    if lock is None:
        return Go("save.no_lock")
    choices = [Choice(hours(one), "save.lock_facts", {"hours": one}) for one in lock.exit_after_hours]
    text = pgettext("save.lock_key", "If you need it before: how long shall you wait, to think again?")
    return Menu(text, choices, back_to="save.pot")


def hours(count: int) -> str:
    """Say a wait in hours, or in days from three of them on."""
    if count >= 72:
        days = count // 24
        return npgettext("wait", "%(days)d day", "%(days)d days", days) % {"days": days}
    return npgettext("wait", "%(hours)d hour", "%(hours)d hours", count) % {"hours": count}


def _until(dialogue: Dialogue) -> date:
    return dialogue.facts.today + timedelta(days=dialogue.answers["days"])


@screen("save.lock_facts", samples=[worst.saved], resume="save.lock_facts")
@of_pot
def lock_facts(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What a lock means, and what opening it early costs."""
    values = {
        "name": saving_words.name(account),
        "day": words.day(_until(dialogue)),
        "wait": hours(dialogue.answers["hours"]),
    }
    lines = (
        pgettext("save.lock_facts", "%(name)s is locked until %(day)s"),
        pgettext("save.lock_facts", "Interest comes at its end"),
        pgettext("save.lock_facts", "Out before: wait %(wait)s, lose that interest"),
        pgettext("save.lock_facts", "Fee none"),
    )
    return pots.facts(
        lines,
        values,
        Choice(pgettext("save.lock_facts", "Lock it"), "save.lock_pin"),
        cancel=pgettext("save.lock_facts", "Cancel"),
        back_to="save.pot",
    )


@screen("save.lock_pin", samples=[worst.saved], resume="save.lock_facts", tries=pin.PIN_TRIES)
def lock_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _lock)


def _lock(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    try:
        savings_locks.lock_goal(
            account_id=chosen(dialogue).id,
            until=_until(dialogue),
            exit_after_hours=dialogue.answers["hours"],
            at=dialogue.at,
        )
    except savings_locks.LockRefused:
        raise Elsewhere("save.no_lock") from None
    return "save.is_locked"


@screen("save.is_locked", samples=[worst.locked])
@of_pot
def is_locked_now(dialogue: Dialogue, account: SavingsAccount) -> View:
    return End(
        pgettext("save.is_locked", "%(name)s is locked until %(day)s. You can still pay in.")
        % {
            "name": saving_words.name(account),
            "day": words.day(account.locked_until or dialogue.facts.today),
        }
    )


@screen("save.unlock", samples=[worst.locked, worst.key_turned, worst.key_open], resume="save.unlock")
@of_pot
def unlock(dialogue: Dialogue, account: SavingsAccount) -> View:
    """What the early key costs and when it opens; once turned, it can be turned back for nothing."""
    if not is_locked(dialogue, account):
        return Go("save.pot")
    back = Choice(pgettext("save.unlock", "Keep it locked"), act=_turn_back)
    text = _locked_words(dialogue, account)
    if account.exit_asked_at is None:
        return Menu(
            text,
            (Choice(pgettext("save.unlock", "Ask to open"), "save.key_pin"),),
            back_to="save.pot",
            must_be_seen=True,
        )
    if dialogue.at < selectors.exit_opens_at(account):
        return Menu(text, (back,), back_to="save.pot")
    open_now = Choice(pgettext("save.unlock", "Open it"), "save.open_pin")
    return Menu(text, (open_now, back), back_to="save.pot", must_be_seen=True)


def _locked_words(dialogue: Dialogue, account: SavingsAccount) -> str:
    assert account.locked_until is not None and account.exit_after_hours is not None
    values = {
        "day": words.day(account.locked_until),
        "cost": in_account(selectors.earned_cents(account), account),
        "wait": hours(account.exit_after_hours),
    }
    said = pgettext(
        "save.unlock", "Locked until %(day)s. Open before: you lose its interest, %(cost)s so far. No fee."
    )
    if account.exit_asked_at is None:
        said += " " + pgettext("save.unlock", "You wait %(wait)s.")
    else:
        opens = selectors.exit_opens_at(account)
        values |= {"opens": moment(opens)}
        if dialogue.at < opens:
            said += " " + pgettext("save.unlock", "You can open it on %(opens)s.")
    return said % values


def moment(at: datetime) -> str:
    """Say a local day and time."""
    return f"{words.day(calendar.business_date(at, settings.TIME_ZONE))} {words.clock(at)}"


def _turn_back(dialogue: Dialogue, _: None) -> str:
    savings_locks.turn_key_back(account_id=chosen(dialogue).id, at=dialogue.at)
    return "save.pot"


@screen("save.key_pin", samples=[worst.locked], resume="save.unlock", tries=pin.PIN_TRIES)
def key_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _turn)


def _turn(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    try:
        savings_locks.turn_key(account_id=chosen(dialogue).id, at=dialogue.at)
    except savings_locks.LockRefused:
        raise Elsewhere("save.pot") from None
    return "save.key_turned"


@screen("save.key_turned", samples=[worst.key_turned])
@of_pot
def key_turned(dialogue: Dialogue, account: SavingsAccount) -> View:
    if account.exit_asked_at is None:
        return Go("save.pot")
    opens = selectors.exit_opens_at(account)
    return End(
        pgettext("save.key_turned", "You can open it from %(opens)s: dial %(code)s. Until then nothing changes.")
        % {"opens": moment(opens), "code": settings.USSD_CODE}
    )


@screen("save.open_pin", samples=[worst.key_open], resume="save.unlock", tries=pin.PIN_TRIES)
def open_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _open_lock)


def _open_lock(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    try:
        forgone = savings_locks.open_lock(account_id=chosen(dialogue).id, at=dialogue.at)
    except (savings_locks.LockRefused, savings_locks.KeyNotTurned):
        raise Elsewhere("save.unlock") from None
    dialogue.answers["cost_cents"] = forgone
    return "save.is_open"


@screen("save.is_open", samples=[worst.saved], resume="save.pot")
@of_pot
def is_open(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Menu(
        pgettext("save.is_open", "%(name)s is open. It cost %(cost)s of interest.")
        % {
            "name": saving_words.name(account),
            "cost": in_account(dialogue.answers.get("cost_cents", 0), account),
        },
        (Choice(pgettext("save.is_open", "Take out"), "save.take"),),
        back_to="save.pot",
    )


# --- savings that pay a loan ----------------------------------------------------------------------------------
@screen("save.sweep", samples=[worst.saved], resume="save.pot", tries=("-5", "1e3", "0.50", "٥٠٠"))
@of_pot
def ask_sweep(dialogue: Dialogue, account: SavingsAccount) -> View:
    return Ask(
        pgettext(
            "save.sweep",
            "%(name)s pays your loan when it is due, until you stop it. How much must always stay saved?",
        )
        % {"name": saving_words.name(account)},
        parse=lambda typed: _read_keep(typed, account),
        save_as="keep_cents",
        then="save.sweep_pin",
        zero_is_answer=True,
    )


def _read_keep(typed: str, account: SavingsAccount) -> int:
    return 0 if typed.strip() == "0" else read_amount(typed, account.currency)


@screen("save.sweep_pin", samples=[worst.saved], resume="save.sweep", tries=pin.PIN_TRIES)
def sweep_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _allow_sweep)


def _allow_sweep(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    savings_sweeps.allow_sweep(
        account_id=chosen(dialogue).id,
        keep_cents=dialogue.answers["keep_cents"],
        text_version=SWEEP_VERSION,
        language=dialogue.language,
        at=dialogue.at,
    )
    return "save.sweeps"


@screen("save.sweeps", samples=[worst.swept])
@of_pot
def sweeps(dialogue: Dialogue, account: SavingsAccount) -> View:
    stays = dialogue.facts.saver.stays_cents(account)
    if stays is None:
        return Go("save.more")
    return End(
        pgettext(
            "save.sweeps",
            "%(name)s pays what falls due of your loan. %(stays)s always stays. To stop: %(code)s, Save, More.",
        )
        % {"name": saving_words.name(account), "stays": in_account(stays, account), "code": settings.USSD_CODE}
    )


@screen("save.sweep_off", samples=[worst.swept], resume="save.pot", tries=pin.PIN_TRIES)
def sweep_off(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _stop_sweep)


def _stop_sweep(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    savings_sweeps.stop_sweep(account_id=chosen(dialogue).id, at=dialogue.at)
    return "save.sweeps_no_more"


@screen("save.sweeps_no_more", samples=[worst.saved])
@of_pot
def sweeps_no_more(dialogue: Dialogue, account: SavingsAccount) -> View:
    return End(
        pgettext("save.sweeps_no_more", "%(name)s pays no loan any more.") % {"name": saving_words.name(account)}
    )
