"""The business book: a sale in three hops, costs, credit, the day's cash, the month, and what it says about a loan.

Nothing here moves money, so nothing asks for a PIN. Each line is written once, keyed by its hop.
"""

from datetime import timedelta
from functools import partial

from lending.models import BookEntry
from lending.rules import business as rules
from lending.rules.pricing import KeyFacts
from lending.services import business
from ussd import alphabet, words
from ussd import business_samples as worst
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, Go, Menu, Read, View, screen
from ussd.screens.borrow import read_amount
from ussd.tongue import npgettext, pgettext

AMOUNT_TRIES = ("0", "-5", "1e3", "0.50", "9999999", "٥٠٠")
CUSTOMER_SEPTETS = 14
MOST_LISTED = 5


def money_of(dialogue: Dialogue, cents: int) -> str:
    return words.amount(cents, dialogue.facts.trader.currency)


def read_line(dialogue: Dialogue, typed: str) -> int:
    """Return the cents of a line, or say why it can be none."""
    cents = read_amount(typed, dialogue.facts.trader.currency)
    if cents > rules.MOST_CENTS:
        raise Again(
            pgettext("business", "At most %(most)s in one line.") % {"most": money_of(dialogue, rules.MOST_CENTS)}
        )
    return cents


# --- writing --------------------------------------------------------------------------------------------------
@screen("business.start", samples=[worst.traded, worst.lost], resume="business.start")
def start(dialogue: Dialogue) -> View:
    """Today so far, and the lines that are written most often."""
    return Menu(
        lambda: day_words(dialogue),
        (
            Choice(pgettext("business.start", "Sale"), "business.sale"),
            Choice(pgettext("business.start", "Expense"), "business.expense"),
            Choice(pgettext("business.start", "Stock bought"), "business.stock"),
            Choice(pgettext("business.start", "Credit"), "business.credit"),
            Choice(pgettext("business.start", "More"), "business.more"),
        ),
    )


def day_words(dialogue: Dialogue) -> str:
    """Say what today came to: sold, spent, left."""
    day = dialogue.facts.trader.day()
    return pgettext("business", "Today: sold %(sold)s, spent %(spent)s, left %(left)s") % {
        "sold": money_of(dialogue, day.sold_cents),
        "spent": money_of(dialogue, day.costs_cents),
        "left": money_of(dialogue, day.profit_cents),
    }


def write(kind: str, dialogue: Dialogue, cents: int) -> str:
    """Write one line, once for this hop."""
    try:
        line = business.write(
            borrower_id=dialogue.facts.known.id,
            kind=kind,
            amount_cents=cents,
            customer=dialogue.answers.pop("customer", "") if kind in BookEntry.OF_CUSTOMERS else "",
            origin=f"book:{dialogue.origin}",
            at=dialogue.at,
        )
    except business.NothingOwed:
        raise Elsewhere("business.paid") from None
    except business.BookRefused:
        raise Elsewhere("business.start") from None
    dialogue.answers["written"] = {"kind": line.kind, "cents": line.amount_cents}
    return "business.written"


@screen("business.sale", samples=[worst.traded], resume="business.start", tries=AMOUNT_TRIES)
def sale(dialogue: Dialogue) -> View:
    return ask(dialogue, pgettext("business.sale", "Sold for how much?"), rules.SALE)


@screen("business.expense", samples=[worst.traded], resume="business.start", tries=AMOUNT_TRIES)
def expense(dialogue: Dialogue) -> View:
    return ask(
        dialogue, pgettext("business.expense", "Spent how much? Rent, transport, airtime, wages."), rules.EXPENSE
    )


@screen("business.stock", samples=[worst.traded], resume="business.start", tries=AMOUNT_TRIES)
def stock(dialogue: Dialogue) -> View:
    return ask(dialogue, pgettext("business.stock", "Stock bought for how much?"), rules.STOCK)


def ask(dialogue: Dialogue, text: str, kind: str) -> Ask:
    return Ask(text, parse=partial(read_line, dialogue), act=partial(write, kind), zero_is_answer=True)


@screen("business.written", samples=[worst.traded, worst.lost], resume="business.start")
def written(dialogue: Dialogue) -> View:
    """What was written, how the day stands, and the way to take it back."""
    line = dialogue.answers.get("written")
    if line is None:
        return Go("business.start")
    said = {
        rules.SALE: pgettext("business.written", "Sale %(amount)s."),
        rules.EXPENSE: pgettext("business.written", "Expense %(amount)s."),
        rules.STOCK: pgettext("business.written", "Stock %(amount)s."),
        rules.CREDIT_GIVEN: pgettext("business.written", "Credit given %(amount)s."),
        rules.CREDIT_PAID: pgettext("business.written", "Credit paid %(amount)s."),
    }[line["kind"]] % {"amount": money_of(dialogue, line["cents"])}
    again = "business.credit" if line["kind"] in BookEntry.OF_CUSTOMERS else f"business.{line['kind']}"
    return Menu(
        lambda: f"{said}\n{day_words(dialogue)}",
        (
            Choice(pgettext("business.written", "One more"), again),
            Choice(pgettext("business.written", "Wrong: undo"), act=undo),
        ),
        back_to="business.start",
    )


def undo(dialogue: Dialogue, _: None) -> str:
    """Take back the newest line of today, once for this hop."""
    try:
        line = business.undo_last(
            borrower_id=dialogue.facts.known.id, origin=f"book:{dialogue.origin}", at=dialogue.at
        )
    except business.NothingToUndo:
        raise Elsewhere("business.nothing_written") from None
    dialogue.answers["undone_cents"] = line.amount_cents
    return "business.undone"


@screen("business.undone", samples=[worst.traded, worst.lost], resume="business.start")
def undone(dialogue: Dialogue) -> View:
    said = pgettext("business.undone", "Taken back: %(amount)s.") % {
        "amount": money_of(dialogue, dialogue.answers.get("undone_cents", 0))
    }
    return Menu(
        lambda: f"{said}\n{day_words(dialogue)}",
        (Choice(pgettext("business.undone", "My book"), "business.start"),),
        back_to="business.start",
    )


@screen("business.nothing_written", samples=[worst.untraded])
def nothing_written(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("business.nothing_written", "You wrote nothing today that could be taken back."),
        (Choice(pgettext("business.nothing_written", "My book"), "business.start"),),
        back_to="business.start",
    )


# --- credit ---------------------------------------------------------------------------------------------------
@screen("business.credit", samples=[worst.traded, worst.untraded], resume="business.credit")
def credit(dialogue: Dialogue) -> View:
    owed = sum(dialogue.facts.trader.owed().values())
    return Menu(
        pgettext("business.credit", "Customers owe you %(owed)s") % {"owed": money_of(dialogue, owed)},
        (
            Choice(pgettext("business.credit", "Give credit"), "business.customer"),
            Choice(pgettext("business.credit", "Credit paid back"), "business.paid"),
            Choice(pgettext("business.credit", "Who owes me"), "business.owing"),
        ),
        back_to="business.start",
    )


@screen("business.customer", samples=[worst.traded], resume="business.credit", tries=("", "x" * 60))
def ask_customer(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("business.customer", "Who gets credit? Type a short name or a phone number."),
        parse=_read_customer,
        save_as="customer",
        then="business.credit_amount",
        whole=True,
    )


def _read_customer(typed: str) -> str:
    name = " ".join(typed.replace("\x00", "").split())
    if not 1 < len(name) <= 30:
        raise Again(pgettext("business.customer", "A name of 2 to 30 letters, or a number."))
    return name


@screen("business.credit_amount", samples=[worst.traded], resume="business.credit", tries=AMOUNT_TRIES)
def credit_amount(dialogue: Dialogue) -> View:
    if "customer" not in dialogue.answers:
        return Go("business.customer")
    text = pgettext("business.credit_amount", "Credit for %(who)s: how much?") % {
        "who": customer_name(dialogue.answers["customer"])
    }
    return ask(dialogue, text, rules.CREDIT_GIVEN)


def customer_name(customer: str) -> str:
    return alphabet.active().clip(customer, CUSTOMER_SEPTETS)


@screen("business.paid", samples=[worst.traded, worst.untraded], resume="business.credit", paged=True)
def choose_debtor(dialogue: Dialogue) -> View:
    """Who pays: those who owe most."""
    owed = dialogue.facts.trader.owed()
    if not owed:
        return Go("business.nobody_owes")
    choices = [
        Choice(f"{customer_name(who)} {money_of(dialogue, cents)}", "business.paid_amount", {"customer": who})
        for who, cents in list(owed.items())[: MOST_LISTED - 1]
    ]
    return Menu(pgettext("business.paid", "Who paid?"), choices, back_to="business.credit")


@screen("business.nobody_owes", samples=[worst.untraded])
def nobody_owes(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("business.nobody_owes", "Nobody owes you anything in this book."),
        (Choice(pgettext("business.nobody_owes", "Give credit"), "business.customer"),),
        back_to="business.credit",
    )


@screen("business.paid_amount", samples=[worst.traded], resume="business.credit", tries=AMOUNT_TRIES)
def paid_amount(dialogue: Dialogue) -> View:
    owed = dialogue.facts.trader.owed().get(dialogue.answers.get("customer", ""))
    if owed is None:
        return Go("business.paid")
    return Ask(
        pgettext("business.paid_amount", "%(who)s owes %(owed)s. How much is paid?")
        % {"who": customer_name(dialogue.answers["customer"]), "owed": money_of(dialogue, owed)},
        parse=lambda typed: _read_paid(dialogue, typed, owed),
        act=partial(write, rules.CREDIT_PAID),
        zero_is_answer=True,
    )


def _read_paid(dialogue: Dialogue, typed: str, owed_cents: int) -> int:
    cents = read_line(dialogue, typed)
    if cents > owed_cents:
        raise Again(pgettext("business.paid_amount", "That is more than is owed."))
    return cents


@screen("business.owing", samples=[worst.traded, worst.untraded], resume="business.credit", tries=("98", "x"))
def owing(dialogue: Dialogue) -> View:
    owed = dialogue.facts.trader.owed()
    if not owed:
        return Go("business.nobody_owes")
    return Read([f"{customer_name(who)} {money_of(dialogue, cents)}" for who, cents in owed.items()])


# --- day, month, loan -----------------------------------------------------------------------------------------
@screen("business.more", samples=[worst.traded], resume="business.start")
def more(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("business.more", "My book"),
        (
            Choice(pgettext("business.more", "Close the day"), "business.close"),
            Choice(pgettext("business.more", "This month"), "business.month"),
            Choice(pgettext("business.more", "Last month"), "business.last_month"),
            Choice(pgettext("business.more", "My book and a loan"), "business.loan"),
            Choice(pgettext("business.more", "Undo last"), act=undo),
        ),
        back_to="business.start",
    )


@screen("business.close", samples=[worst.traded], resume="business.start", tries=("-5", "1e3", "0.50", "9999999"))
def close(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("business.close", "Count the cash of the business, without your own. How much is it?"),
        parse=lambda typed: 0 if typed.strip() == "0" else read_line(dialogue, typed),
        act=_count,
        zero_is_answer=True,
    )


def _count(dialogue: Dialogue, cents: int) -> str:
    count = business.close_day(
        borrower_id=dialogue.facts.known.id, counted_cents=cents, origin=f"book:{dialogue.origin}", at=dialogue.at
    )
    dialogue.answers["count"] = {"counted": count.counted_cents, "expected": count.expected_cents}
    return "business.closed"


@screen(
    "business.closed", samples=[worst.counted, worst.counted_first, worst.counted_less], resume="business.start"
)
def closed(dialogue: Dialogue) -> View:
    """What was counted beside what the book expects; a difference is told, nobody is blamed for it."""
    if "count" not in dialogue.answers:
        return Go("business.start")
    count = rules.Count(dialogue.answers["count"]["counted"], dialogue.answers["count"]["expected"])
    return Menu(
        lambda: f"{_count_words(dialogue, count)}\n{_left_words(dialogue)}",
        (Choice(pgettext("business.closed", "My book"), "business.start"),),
        back_to="business.start",
    )


def _left_words(dialogue: Dialogue) -> str:
    left = money_of(dialogue, dialogue.facts.trader.day().profit_cents)
    return pgettext("business.closed", "Left today: %(left)s") % {"left": left}


def _count_words(dialogue: Dialogue, count: rules.Count) -> str:
    over = count.difference_cents
    values = {
        "counted": money_of(dialogue, count.counted_cents),
        "over": money_of(dialogue, abs(over)),
    }
    if count.expected_cents is None:
        said = pgettext("business.closed", "Counted %(counted)s. Tomorrow the book knows what to expect.")
    elif over > 0:
        said = pgettext("business.closed", "Counted %(counted)s: %(over)s more than in the book.")
    elif over < 0:
        said = pgettext("business.closed", "Counted %(counted)s: %(over)s less than in the book.")
    else:
        said = pgettext("business.closed", "Counted %(counted)s, as in the book.")
    return said % values


@screen("business.month", samples=[worst.traded, worst.lost, worst.untraded], resume="business.more")
def this_month(dialogue: Dialogue) -> View:
    return month_menu(dialogue, 0)


@screen("business.last_month", samples=[worst.traded, worst.lost, worst.untraded], resume="business.more")
def last_month(dialogue: Dialogue) -> View:
    return month_menu(dialogue, 1)


def month_menu(dialogue: Dialogue, back: int) -> Menu:
    """A month on one screen: sold, spent, left, the best day, and what customers owe."""
    trader = dialogue.facts.trader
    on = trader.today.replace(day=1) - timedelta(days=1) if back else trader.today
    month = trader.month(on)
    values = {
        "month": words.month(on.month),
        "sold": money_of(dialogue, month.totals.sold_cents),
        "spent": money_of(dialogue, month.totals.costs_cents),
        "left": money_of(dialogue, month.totals.profit_cents),
        "owed": money_of(dialogue, month.owed_cents),
    }
    lines = [
        pgettext("business.month", "%(month)s: sold %(sold)s"),
        pgettext("business.month", "Spent %(spent)s"),
        pgettext("business.month", "Left %(left)s"),
        pgettext("business.month", "Owed to you %(owed)s"),
    ]
    if month.best_day is not None:
        values |= {"day": words.day(month.best_day[0])}
        lines.append(pgettext("business.month", "Best day %(day)s"))
    return Menu(
        "\n".join(line % values for line in lines),
        (Choice(pgettext("business.month", "Who owes me"), "business.owing"),),
        back_to="business.more",
    )


@screen("business.loan", samples=[worst.fits, worst.too_much, worst.untraded], resume="business.more")
def loan(dialogue: Dialogue) -> View:
    """What an average week leaves over beside what a loan would ask for each week. It says what it is worth."""
    quote = _offered(dialogue)
    days = (quote.due_on - dialogue.facts.today).days
    found = rules.affordability(dialogue.facts.trader.weeks(), quote.total_cents, days, dialogue.facts.today)
    if not found.is_known:
        return Go("business.few_weeks")
    values = {
        "margin": money_of(dialogue, found.margin_cents),
        "loan": words.amount(quote.principal_cents, quote.currency),
        "part": words.amount(found.instalment_cents, quote.currency),
    }
    lines = (
        pgettext("business.loan", "Left each week %(margin)s"),
        pgettext("business.loan", "Loan %(loan)s takes %(part)s of it"),
        _verdict(found),
    )
    return Menu(
        "\n".join(line % values for line in lines),
        (Choice(pgettext("business.loan", "Is a book enough?"), "business.honest"),),
        back_to="business.more",
    )


def _offered(dialogue: Dialogue) -> KeyFacts:
    """Price what may be borrowed at once; without a limit the smallest loan."""
    offer = dialogue.facts.offer
    return dialogue.facts.quote(max(offer.limit_cents, offer.min_cents), offer.product_version)


def _verdict(found: rules.Affordability) -> str:
    if found.fits:
        return pgettext("business.loan", "By your book it fits.")
    if found.margin_cents <= 0:
        return pgettext("business.loan", "By your book nothing is left for it.")
    return pgettext("business.loan", "By your book it is much. Ask for less.")


@screen("business.few_weeks", samples=[worst.untraded])
def few_weeks(dialogue: Dialogue) -> View:
    least = rules.FEWEST_WEEKS
    return Menu(
        npgettext(
            "business.few_weeks",
            "Write down %(weeks)d full week first. Then your book can say what loan fits.",
            "Write down %(weeks)d full weeks first. Then your book can say what loan fits.",
            least,
        )
        % {"weeks": least},
        (Choice(pgettext("business.few_weeks", "Is a book enough?"), "business.honest"),),
        back_to="business.more",
    )


@screen("business.honest", samples=[worst.untraded], tries=("98", "x"))
def honest(dialogue: Dialogue) -> View:
    """What the book does for a loan and what it does not, said plainly."""
    return Read(
        [
            pgettext("business.honest", "A true book shows you what you can repay."),
            pgettext("business.honest", "It can speak for a loan where your wallet shows the same money."),
            pgettext(
                "business.honest", "A made-up book does not help: it raises no limit, and a loan too big hurts you."
            ),
        ]
    )
