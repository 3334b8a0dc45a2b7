"""Answers to texts about money: what is owed, what a loan costs, paying, saving, the book of a business.

Nothing here moves money by a word alone. A loan is taken on USSD, with the PIN. To pay or to save, a code is sent
to the number and has to come back from it; then the operator's prompt asks for the wallet's own PIN. A line in
one's own book moves nothing.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

from django.conf import settings

from lending.models import BookEntry, Borrower, Loan, SavingsAccount
from lending.rules import calendar, money
from lending.rules.pricing import KeyFacts
from lending.rules.standing import Standing
from lending.selectors import loans, offers, savings
from lending.services import business, deposits, people, repayments
from ussd import engine, owing, samples, saving_words, threads, words
from ussd.answers import words_we_know
from ussd.asked import Asked
from ussd.engine import Dialogue
from ussd.facts import Facts
from ussd.models import SmsThread
from ussd.screens.loan import lines_of
from ussd.tongue import pgettext

Awaiting = SmsThread.Awaiting
MOST_LINES = 3


def of_customer(answer: Callable[[Asked, Borrower], str]) -> Callable[[Asked], str]:
    """Answer only those who are registered; others are told how to begin."""

    def answered(asked: Asked) -> str:
        return how_words() if asked.borrower is None else answer(asked, asked.borrower)

    return answered


def _today(asked: Asked) -> date:
    return calendar.business_date(asked.at, settings.TIME_ZONE)


def how_words() -> str:
    return pgettext("sms", "To borrow, dial %(code)s. It is free to dial and you see every cost first.") % {
        "code": settings.USSD_CODE
    }


# --- what is owed -------------------------------------------------------------------------------------------
@of_customer
def balance(asked: Asked, borrower: Borrower) -> str:
    owed = loans.loan_to_repay(borrower.identity_index) or loans.open_loan(borrower.id)
    standing = loans.standing(owed, _today(asked)) if owed else None
    return balance_words(owed, standing, borrower.offered_limit_cents, _today(asked))


def balance_words(loan: Loan | None, standing: Standing | None, limit_cents: int, today: date) -> str:
    """Say what is owed, or what may be borrowed."""
    code = {"code": settings.USSD_CODE}
    if loan is None:
        return pgettext("sms", "You have no loan. Your limit is %(limit)s. Dial %(code)s to borrow.") % (
            code | {"limit": words.amount(limit_cents)}
        )
    if loan.state == Loan.State.APPROVED:
        return pgettext("sms", "%(amount)s is on its way to you, ref %(ref)s.") % {
            "amount": words.amount(loan.on_its_way_cents, loan.currency),
            "ref": loan.reference,
        }
    return pgettext("sms", "%(owed)s, ref %(ref)s. Dial %(code)s to repay.") % (
        code | {"owed": owing.owed(loan, standing, today), "ref": loan.reference}
    )


@of_customer
def limit(asked: Asked, borrower: Borrower) -> str:
    return limit_words(borrower.offered_limit_cents)


def limit_words(limit_cents: int) -> str:
    """Say how much may be borrowed and what raises it."""
    if not limit_cents:
        return pgettext("sms", "You cannot borrow yet. Save a little, use your wallet, and ask again in a month.")
    return pgettext("sms", "Your limit is %(limit)s. It grows when you repay on time. Dial %(code)s.") % {
        "limit": words.amount(limit_cents),
        "code": settings.USSD_CODE,
    }


@of_customer
def statement(asked: Asked, borrower: Borrower) -> str:
    """Tell the last movements, one a line."""
    lines = lines_of(loans.statement(borrower.id))[:MOST_LINES]
    return "\n".join(lines) or pgettext("sms", "Nothing has happened yet.")


# --- a loan -------------------------------------------------------------------------------------------------
@of_customer
def loan(asked: Asked, borrower: Borrower) -> str:
    """Say what a loan costs and how to take it; without an amount ask for one."""
    offer = offers.offer(borrower, _today(asked), settings.COUNTRY)
    if offer.refusal in REFUSED:
        return engine.show(screen_for(asked, REFUSED[offer.refusal])).text
    if offer.refusal == "undecided" and (waiting := loans.undecided_application(borrower.id)):
        return pgettext("home", "We are deciding, ref %(ref)s") % {"ref": waiting.reference}
    if offer.refusal:
        return balance(asked)
    if offer.limit_cents < offer.min_cents:
        return limit_words(0)
    cents = asked.cents
    if cents is None or not offer.min_cents <= cents <= offer.limit_cents or _has_small_change(cents, offer):
        threads.ask(asked.msisdn, Awaiting.LOAN_AMOUNT, asked.at)
        return loan_question(offer.min_cents, offer.limit_cents)
    threads.end(asked.msisdn)
    # The product that the code below opens: the one of the last time, if it can be had.
    found = offers.on_offer(borrower, cents, _today(asked), settings.COUNTRY)
    last = offers.last_choice(borrower.id)[0]
    version = next((one for one in found if one.code == last), found[0] if found else offer.product_version)
    return cost_words(offers.quote(version, cents, _today(asked)))


# What is said to whom nothing is offered now: the screens' own words, which need to know nothing about them.
REFUSED = {"paused": "borrow.paused", "blocked": "home.blocked"}


def screen_for(asked: Asked, name: str) -> Dialogue:
    """Return a dialogue that stands at a screen which knows nothing of anybody."""
    return Dialogue(msisdn="", language=asked.language, at=asked.at, facts=Facts("", asked.at), screen=name)


def _has_small_change(cents: int, offer: offers.Offer) -> bool:
    return bool(cents % money.currency(offer.product_version.currency).payable_cents)


def loan_question(least_cents: int, most_cents: int) -> str:
    return pgettext("sms", "How much do you want, from %(least)s to %(most)s? Send the amount, like 500.") % {
        "least": words.amount(least_cents),
        "most": words.amount(most_cents),
    }


def cost_words(quote: KeyFacts) -> str:
    """Say item by item what a loan costs, and how to take it: with the PIN, on USSD."""
    values = {
        "received": words.amount(quote.received_cents, quote.currency),
        "interest": words.amount(quote.interest_cents, quote.currency),
        "fee": words.amount(quote.fee_cents, quote.currency),
        "tax": words.amount(quote.tax_cents, quote.currency),
        "total": words.amount(quote.total_cents, quote.currency),
        "day": words.day(quote.due_on),
        "dial": f"{settings.USSD_CODE.rstrip('#')}*1*{quote.principal_cents // 100}#",
    }
    parts = [pgettext("sms", "You get %(received)s.")]
    if quote.interest_cents:
        parts.append(pgettext("sms", "Interest %(interest)s."))
    parts += [
        pgettext("sms", "Fee %(fee)s, tax %(tax)s. You repay %(total)s by %(day)s."),
        pgettext("sms", "To take it dial %(dial)s and enter your PIN there."),
    ]
    return " ".join(part % values for part in parts)


# --- paying and saving: a code, and then the prompt ---------------------------------------------------------
@of_customer
def pay(asked: Asked, borrower: Borrower) -> str:
    """Send the code that lets a payment be asked for; without an amount ask for one."""
    owed = loans.loan_to_repay(borrower.identity_index)
    if owed is None:
        return balance(asked)
    cents = asked.cents
    if cents is None or not 0 < cents <= money.payable(owed.owing_cents, owed.currency):
        threads.ask(asked.msisdn, Awaiting.PAY_AMOUNT, asked.at)
        return pay_question(owed)
    return _send_code(asked, Awaiting.PAY_CODE, cents, owed.currency)


def pay_question(owed: Loan) -> str:
    return pgettext("sms", "You owe %(amount)s in all. How much do you pay now? Send the amount, like 100.") % {
        "amount": words.amount(owed.owing_cents, owed.currency)
    }


@of_customer
def save(asked: Asked, borrower: Borrower) -> str:
    """Send the code that lets a deposit be asked for; without an amount ask for one."""
    pot = _pot(borrower)
    if pot is None:
        return no_pot_words()
    if not asked.cents:
        threads.ask(asked.msisdn, Awaiting.SAVE_AMOUNT, asked.at)
        return save_question(f"{saving_words.name(pot)}: {words.amount(pot.balance_cents, pot.currency)}")
    if asked.cents > deposits.MOST_CENTS:
        threads.ask(asked.msisdn, Awaiting.SAVE_AMOUNT, asked.at)
        return pgettext("save.amount", "At most %(most)s at once.") % {
            "most": words.amount(deposits.MOST_CENTS, pot.currency)
        }
    return _send_code(asked, Awaiting.SAVE_CODE, asked.cents, pot.currency)


def _pot(borrower: Borrower) -> SavingsAccount | None:
    """Return where somebody saves: the account that they used last."""
    return max(savings.pots_of(borrower.id), key=lambda pot: (pot.used_on, pot.id), default=None)


def no_pot_words() -> str:
    return pgettext("sms", "To open a savings goal, dial %(code)s and choose Save. It costs nothing.") % {
        "code": settings.USSD_CODE
    }


def save_question(progress: str) -> str:
    return pgettext("sms", "%(pot)s. How much do you put in? Send the amount, like 50.") % {"pot": progress}


def _send_code(asked: Asked, awaiting: str, cents: int, currency: str) -> str:
    code = threads.new_code()
    threads.ask(asked.msisdn, awaiting, asked.at, amount_cents=cents, code=code)
    return code_words(awaiting, cents, currency, code)


def code_words(awaiting: str, cents: int, currency: str, code: str) -> str:
    """Ask for the code back: it shows that the phone is in the hands of whoever wrote."""
    values = {"amount": words.amount(cents, currency), "code": code, "wallet": words.wallet()}
    if awaiting == Awaiting.PAY_CODE:
        return pgettext("sms", "To repay %(amount)s, send us %(code)s. Then an %(wallet)s prompt comes.") % values
    return pgettext("sms", "To save %(amount)s, send us %(code)s. Then an %(wallet)s prompt comes.") % values


def take_code(asked: Asked, thread: SmsThread, typed: str) -> str:
    """Bring the prompt if the code is right. Asked for once, however often the text comes."""
    if asked.borrower is None or thread.amount_cents is None:
        return how_words()
    if not threads.answers_code(thread, typed):
        return wrong_code_words()
    threads.end(asked.msisdn)
    try:
        if thread.awaiting == Awaiting.PAY_CODE:
            repayments.request_repayment(
                borrower_id=asked.borrower.id, amount_cents=thread.amount_cents, origin=asked.origin, at=asked.at
            )
        else:
            pot = _pot(asked.borrower)
            if pot is None:
                return no_pot_words()
            deposits.request_deposit(
                borrower_id=asked.borrower.id, account_id=pot.id, amount_cents=thread.amount_cents,
                origin=asked.origin, at=asked.at,
            )  # fmt: skip
    except repayments.PromptPending:
        return pending_words()
    except repayments.NoOpenLoan:
        return balance(asked)
    except (repayments.InvalidRepayment, deposits.InvalidDeposit):
        return no_such_amount_words()
    return prompt_words(thread.amount_cents)


def wrong_code_words() -> str:
    return pgettext("sms", "That is not the code. Look at our last message, or send PAY or SAVE to begin again.")


def pending_words() -> str:
    return pgettext("sms", "A payment prompt is on its way already. Answer it, or wait 2 minutes and write again.")


def no_such_amount_words() -> str:
    return pgettext("sms", "That amount cannot be paid. Send PAY and a whole amount, like PAY 100.")


def prompt_words(cents: int) -> str:
    return pgettext(
        "sms", "An %(wallet)s prompt for %(amount)s comes now. Type your PIN there, never in an SMS."
    ) % {
        "amount": words.amount(cents),
        "wallet": words.wallet(),
    }


# --- one's own book -----------------------------------------------------------------------------------------
def _write(asked: Asked, borrower: Borrower, kind: str) -> str:
    if not asked.cents:
        return book_example()
    note = " ".join(asked.words)[:30]
    try:
        business.write(
            borrower_id=borrower.id,
            kind=kind,
            amount_cents=asked.cents,
            origin=asked.origin,
            at=asked.at,
            note=note,
        )
    except business.BookRefused:
        return book_example()
    return written_words(kind, asked.cents)


@of_customer
def sale(asked: Asked, borrower: Borrower) -> str:
    return _write(asked, borrower, BookEntry.Kind.SALE)


@of_customer
def expense(asked: Asked, borrower: Borrower) -> str:
    return _write(asked, borrower, BookEntry.Kind.EXPENSE)


def book_example() -> str:
    return pgettext("sms", "Write the amount, too: SALE 350 or EXP 200 fuel. Your book: dial %(code)s.") % {
        "code": settings.USSD_CODE
    }


def written_words(kind: str, cents: int) -> str:
    values = {"amount": words.amount(cents)}
    if kind == BookEntry.Kind.SALE:
        return pgettext("sms", "In your book: sold %(amount)s.") % values
    return pgettext("sms", "In your book: spent %(amount)s.") % values


# --- the language -------------------------------------------------------------------------------------------
def language(asked: Asked) -> str:
    """Go over to the language in which this was asked for, by its own name."""
    spoken = asked.meaning.language if asked.meaning else asked.language
    if asked.borrower is not None and spoken != asked.language:
        people.set_language(borrower_id=asked.borrower.id, language=spoken, at=asked.at)
    return words_we_know()


def longest() -> Iterator[tuple[str, str]]:
    """Yield every answer in the active language with its longest values, for measuring."""
    most = samples.MOST_CENTS
    lost, coming = samples.loan(state=Loan.State.WRITTEN_OFF), samples.loan(state=Loan.State.APPROVED, due_on=None)
    for owed in (None, samples.loan(), lost, coming):
        for standing in (samples.one_sum(), samples.parts()):
            yield "answer BAL", balance_words(owed, standing, most, samples.DAY + timedelta(days=1))
    yield "answer LOAN", how_words()
    for cents in (0, most):
        yield "answer LIMIT", limit_words(cents)
    yield "answer LOAN question", loan_question(most, most)
    yield "answer LOAN cost", cost_words(samples.LongestFacts().quote(most, samples.version()))
    yield "answer PAY question", pay_question(samples.loan())
    yield "answer SAVE question", save_question(f"{'W' * 30}: {words.amount(most)}")
    for awaiting in (Awaiting.PAY_CODE, Awaiting.SAVE_CODE):
        yield "answer code", code_words(awaiting, most, "KES", "8888")
    yield "answer prompt", prompt_words(most)
    for say in (no_pot_words, wrong_code_words, pending_words, no_such_amount_words, book_example):
        yield f"answer {say.__name__}", say()
    for kind in (BookEntry.Kind.SALE, BookEntry.Kind.EXPENSE):
        yield "answer book", written_words(kind, most)
