"""Other terms than agreed: a promise to pay, more time, a payment left out, the loan given back, another date.

What costs or moves something is shown first, part by part, and then asks for the PIN.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from lending.models import Loan
from lending.rules import standing
from lending.rules.facts import FactRefused
from lending.rules.promises import MOST_BROKEN
from lending.rules.standing import Standing
from lending.selectors.refinancing import RefinancingUnderWay
from lending.services import changes, promises
from ussd import owing, samples, words
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin
from ussd.screens.borrow import read_amount
from ussd.screens.repay import AMOUNT_TRIES
from ussd.tongue import pgettext

# How many days ahead are offered, for a promise and for a wish.
PROMISE_IN_DAYS = (1, 3, 7, 14)
WISH_IN_DAYS = (7, 14, 30)
OFFERS = {"extend": "plan.extend", "skip": "plan.skip", "cancel": "plan.cancel"}
REFUSALS = (FactRefused, changes.NotALoanToChange, RefinancingUnderWay)


# --- what there is --------------------------------------------------------------------------------------------
@screen("plan.menu", samples=[samples.changeable])
def menu(dialogue: Dialogue) -> View:
    """What the product grants today, and the wish that officers decide."""
    loan = _live(dialogue)
    if loan is None:
        return Go("loan.status")
    labels: Mapping[str, Callable[[], str]] = {
        "extend": lambda: pgettext("plan.menu", "More time for a fee"),
        "skip": lambda: pgettext("plan.menu", "Skip the next payment"),
        "cancel": lambda: pgettext("plan.menu", "Give the loan back"),
    }
    granted = [Choice(labels[kind](), OFFERS[kind]) for kind in dialogue.facts.granted(loan)]
    return Menu(
        pgettext("plan.menu", "You see every cost before you say yes."),
        [*granted, Choice(pgettext("plan.menu", "Ask for another date"), "plan.date")],
    )


def _live(dialogue: Dialogue) -> Loan | None:
    loan = dialogue.facts.owed_loan
    return loan if loan is not None and loan.state == Loan.State.LIVE else None


@dataclass(frozen=True)
class Seen:
    """What a change would do, as the customer reads it."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def added(self, part: str) -> int:
        """Return how much more is owed of a part."""
        return int(self.after["owed"][part] - self.before["owed"][part])

    def standing(self, on: date) -> Standing | None:
        parts = [(date.fromisoformat(day), cents) for day, cents in self.after["schedule"]]
        return standing.standing(parts, on)

    @property
    def last_on(self) -> tuple[date, date]:
        """Return the last day before and after."""
        before = date.fromisoformat(max(self.before["schedule"])[0])
        # Whoever has given back already what they got owes nothing after the change.
        after = self.after["schedule"]
        return before, date.fromisoformat(max(after)[0]) if after else before


def _seen(dialogue: Dialogue, loan: Loan, kind: str) -> Seen | None:
    try:
        found = dialogue.facts.preview(loan, kind)
    except REFUSALS:
        return None
    return Seen(found["before"], found["after"])


# --- extend, skip, give back ----------------------------------------------------------------------------------
@screen("plan.extend", samples=[samples.changeable], costs=True)
def extend(dialogue: Dialogue) -> View:
    """The fee and its tax, the new last day and the new total."""
    return _offer(dialogue, "extend", _extend_lines)


def _extend_lines(seen: Seen, values: dict[str, str]) -> list[str]:
    lines = [pgettext("plan.extend", "Fee %(fee)s, tax %(tax)s, due today"), _new_dates(), _new_total()]
    return [line % values for line in lines]


def _new_dates() -> str:
    return pgettext("plan", "Last day %(last)s, not %(was)s")


def _new_total() -> str:
    return pgettext("plan", "You owe %(total)s in all")


@screen("plan.skip", samples=[samples.changeable], costs=True)
def skip(dialogue: Dialogue) -> View:
    """All dates move by one; it costs nothing."""
    return _offer(dialogue, "skip", _skip_lines)


def _skip_lines(seen: Seen, values: dict[str, str]) -> list[str]:
    lines = [
        pgettext("plan.skip", "Skip one payment: no fee"),
        pgettext("plan.skip", "Next %(next)s on %(day)s"),
        _new_dates(),
        _new_total(),
    ]
    return [line % values for line in lines]


@screen("plan.cancel", samples=[samples.changeable], costs=True)
def cancel(dialogue: Dialogue) -> View:
    """What was received is given back, and nothing else."""
    return _offer(dialogue, "cancel", _cancel_lines)


def _cancel_lines(seen: Seen, values: dict[str, str]) -> list[str]:
    lines = [
        pgettext("plan.cancel", "You give back %(total)s, today"),
        pgettext("plan.cancel", "No fee: you owe %(less)s less"),
    ]
    return [line % values for line in lines]


def _offer(dialogue: Dialogue, kind: str, lines: Callable[[Seen, dict[str, str]], list[str]]) -> View:
    """Show what a change would do, and take it no further than a yes: the PIN comes next."""
    loan = _live(dialogue)
    seen = _seen(dialogue, loan, kind) if loan is not None else None
    if loan is None or seen is None:
        return Go("plan.not_now")
    values = _values(seen, loan, dialogue.facts.today)
    return Menu(
        "\n".join(lines(seen, values)),
        (Choice(pgettext("plan", "Accept"), "plan.pin", {"kind": kind}),),
        back=pgettext("plan", "Cancel"),
        must_be_seen=True,
        record_as="change",
        remember={"values": values},
    )


def _values(seen: Seen, loan: Loan, on: date) -> dict[str, str]:
    now, (was_last_on, last_on) = seen.standing(on), seen.last_on
    total_cents = seen.after["outstanding_cents"]
    return {
        "fee": words.amount(seen.added("fee"), loan.currency),
        "tax": words.amount(seen.added("tax"), loan.currency),
        "total": words.amount(total_cents, loan.currency),
        "less": words.amount(seen.before["outstanding_cents"] - total_cents, loan.currency),
        "next": words.amount(now.next_cents if now else 0, loan.currency),
        "day": words.day(now.next_on if now else on),
        "was": words.day(was_last_on),
        "last": words.day(last_on),
        "today": words.day(on),
    }


@screen("plan.pin", samples=[samples.changeable], resume="plan.menu", tries=pin.PIN_TRIES)
def enter_pin(dialogue: Dialogue) -> View:
    return pin.ask(dialogue, _change)


def _change(dialogue: Dialogue, typed: str) -> str:
    """Make the change that was shown, once for this hop."""
    pin.check(dialogue, typed)
    loan, kind = _live(dialogue), dialogue.answers["kind"]
    seen = _seen(dialogue, loan, kind) if loan is not None else None
    if loan is None or seen is None:
        raise Elsewhere("plan.not_now")
    if _values(seen, loan, dialogue.facts.today) != dialogue.answers.get("change", {}).get("values"):
        raise Elsewhere(OFFERS[kind])  # a payment came meanwhile, or a day began: seen anew, and then accepted
    try:
        changes.change_loan(loan_id=loan.id, kind=kind, origin=dialogue.origin, at=dialogue.at)
    except REFUSALS:
        raise Elsewhere("plan.not_now") from None
    return "plan.done"


@screen("plan.done", samples=[samples.owing, samples.in_parts])
def done(dialogue: Dialogue) -> View:
    """What is owed now, and the way to pay it."""
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    said = owing.owed(loan, dialogue.facts.standing(loan), dialogue.facts.today)
    return Menu(
        pgettext("plan.done", "Done. %(owed)s.") % {"owed": said},
        (Choice(pgettext("plan.done", "Repay"), "repay.menu"),),
    )


@screen("plan.not_now", samples=[samples.owing])
def not_now(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("plan.not_now", "That cannot be done for this loan now. Nothing was changed."),
        (
            Choice(pgettext("plan.not_now", "Ask for another date"), "plan.date"),
            Choice(pgettext("plan.not_now", "Repay"), "repay.menu"),
        ),
    )


# --- another date ---------------------------------------------------------------------------------------------
@screen("plan.date", samples=[samples.changeable])
def ask_date(dialogue: Dialogue) -> View:
    if _live(dialogue) is None:
        return Go("loan.status")
    days = [dialogue.facts.today + timedelta(days=ahead) for ahead in WISH_IN_DAYS]
    return Menu(
        pgettext("plan.date", "An officer decides on another date. Until when do you need?"),
        [Choice(words.day(day), act=partial(_wish, day)) for day in days],
    )


def _wish(day: date, dialogue: Dialogue, _: None) -> str:
    loan = _live(dialogue)
    if loan is None:
        raise Elsewhere("loan.status")
    try:
        changes.wish_another_date(loan_id=loan.id, due_on=day, at=dialogue.at)
    except REFUSALS:
        raise Elsewhere("plan.not_now") from None
    dialogue.answers["day"] = day.isoformat()
    return "plan.wished"


@screen("plan.wished", samples=[samples.changeable])
def wished(dialogue: Dialogue) -> View:
    return End(
        pgettext("plan.wished", "We have asked an officer about %(day)s. Until you hear from us your dates stay.")
        % {"day": words.day(date.fromisoformat(dialogue.answers["day"]))}
    )


# --- a promise ------------------------------------------------------------------------------------------------
@screen("plan.promise", samples=[samples.late, samples.promising, samples.lost], tries=AMOUNT_TRIES)
def ask_promise(dialogue: Dialogue) -> View:
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("repay.nothing")
    if dialogue.facts.promise is not None:
        return Go("plan.promised")
    if dialogue.facts.broken_promises >= MOST_BROKEN:
        return Go("plan.talk")
    said = owing.owed(loan, dialogue.facts.standing(loan), dialogue.facts.today)
    return Ask(
        pgettext("plan.promise", "%(owed)s. How much can you pay within 14 days?") % {"owed": said},
        parse=lambda typed: _parse_promise(dialogue, loan, typed),
        save_as="amount_cents",
        then="plan.promise_day",
        zero_is_answer=True,
    )


def _parse_promise(dialogue: Dialogue, loan: Loan, typed: str) -> int:
    cents = read_amount(typed, loan.currency)
    if cents > dialogue.facts.pay_off.payable_cents:
        raise Again(pgettext("plan.promise", "You owe less than that."))
    return cents


@screen("plan.promise_day", samples=[samples.late])
def ask_promise_day(dialogue: Dialogue) -> View:
    days = [dialogue.facts.today + timedelta(days=ahead) for ahead in PROMISE_IN_DAYS]
    return Menu(
        pgettext("plan.promise_day", "Until when will you pay %(amount)s? No fee, and no reminders until then.")
        % {"amount": words.amount(dialogue.answers["amount_cents"])},
        [Choice(words.day(day), act=partial(_make_promise, day)) for day in days],
    )


def _make_promise(day: date, dialogue: Dialogue, _: None) -> str:
    try:
        promises.make_promise(
            borrower_id=dialogue.facts.known.id,
            amount_cents=dialogue.answers["amount_cents"],
            promised_on=day,
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except promises.PromiseRefused as refused:
        raise Elsewhere(REFUSED.get(refused.why, "plan.promise")) from None
    return "plan.promised"


# What a refusal of a promise leads to; of the amount or the day, it is asked for again.
REFUSED = {"nothing_owed": "repay.nothing", "promised": "plan.promised", "officer": "plan.talk"}


@screen("plan.promised", samples=[samples.promising])
def promised(dialogue: Dialogue) -> View:
    promise = dialogue.facts.promise
    if promise is None:
        return Go("loan.status")
    return Menu(
        pgettext("plan.promised", "You promised %(amount)s by %(day)s. No reminders until then. Thank you.")
        % {"amount": words.amount(promise.amount_cents), "day": words.day(promise.promised_on)},
        (Choice(pgettext("plan.promised", "Repay now"), "repay.menu"),),
    )


@screen("plan.talk", samples=[samples.late])
def talk(dialogue: Dialogue) -> View:
    """After promises that did not work out a person helps to find another way."""
    return Menu(
        pgettext(
            "plan.talk",
            "Let us look for a way together: an officer will call you. You can always pay a part, however small.",
        ),
        (
            Choice(pgettext("plan.talk", "Pay a part"), "repay.amount"),
            Choice(pgettext("plan.talk", "Ask for another date"), "plan.date"),
        ),
    )
