"""Where a dial begins: the right first screen for whoever dials, the menu, and the ways out."""

from django.conf import settings

from lending.models import Borrower, Loan
from lending.selectors.loans import StatementLine
from ussd import owing, samples, saving_samples, words
from ussd.engine import LANGUAGES, START, Choice, Dialogue, End, Go, Menu, Read, View, screen
from ussd.screens import borrow
from ussd.tongue import pgettext


@screen(START, samples=[])
def start(dialogue: Dialogue) -> View:
    """Send each caller to their first screen."""
    borrower = dialogue.facts.borrower
    if borrower is None:
        served = dialogue.msisdn.startswith(dialogue.facts.country.dialling_prefix)
        return Go("register.language" if served else "register.abroad")
    if borrower.state != Borrower.State.ACTIVE:
        return Go("data.closed" if borrower.state == Borrower.State.CLOSED else "home.blocked")
    if borrower.hold:
        return Go("home.held")
    if borrower.pin_hash:
        return Go("home")
    return Go("pin.locked" if borrower.pin_is_locked_at(dialogue.at) else "pin.reset")


@screen(
    "home",
    samples=[
        samples.fresh,
        samples.free,
        samples.owing,
        samples.late,
        samples.lost,
        samples.undecided,
        samples.no_limit,
        saving_samples.just_saved,
    ],
    paged=True,
)
def home(dialogue: Dialogue) -> View:
    """What happened last, what is owed, and the menu. Whoever can borrow may type how much right here."""
    takes_amount = _can_borrow(dialogue) and dialogue.typed is None
    return Menu(
        lambda: "\n".join(line for line in (_last(dialogue.facts.last_event), _standing(dialogue)) if line),
        (
            Choice(
                pgettext("home", "Loan, or amount") if takes_amount else pgettext("home", "Loan"),
                "loan.status" if _owing(dialogue) else "borrow.amount",
            ),
            Choice(pgettext("home", "Repay"), "repay.menu"),
            Choice(pgettext("home", "Save"), "save.start"),
            Choice(pgettext("home", "Business"), "business.start"),
            Choice(pgettext("home", "More"), "more.menu"),
        ),
        back=None,
        ahead=borrow.amount_ahead if takes_amount else None,
    )


def _last(line: StatementLine | None) -> str:
    if line is None:
        return ""
    values = {
        "amount": words.amount(line.amount_cents),
        "time": words.clock(line.at),
        "ref": words.reference(line.reference),
    }
    if line.kind == "paid_out":
        return pgettext("home", "Last: %(amount)s sent %(time)s, ref %(ref)s") % values
    if line.kind == "saved":
        return pgettext("home", "Last: %(amount)s to save %(time)s, ref %(ref)s") % values
    return pgettext("home", "Last: %(amount)s repaid %(time)s, ref %(ref)s") % values


def _standing(dialogue: Dialogue) -> str:
    """Say in one line where the customer stands."""
    loan = _owing(dialogue)
    if loan is not None:
        return _owed(dialogue, loan)
    if application := dialogue.facts.undecided:
        return pgettext("home", "We are deciding, ref %(ref)s") % {"ref": application.reference}
    limit = dialogue.facts.known.offered_limit_cents
    if not limit:
        return pgettext("home", "Welcome to Jirani")
    return pgettext("home", "Jirani: your limit is %(limit)s") % {"limit": words.amount(limit)}


def _can_borrow(dialogue: Dialogue) -> bool:
    known = dialogue.facts.known
    return bool(known.offered_limit_cents) and not (_owing(dialogue) or dialogue.facts.undecided)


def _owing(dialogue: Dialogue) -> Loan | None:
    """Return what is on its way or owed, also on another number of theirs or off the books."""
    return dialogue.facts.open_loan or dialogue.facts.owed_loan


def _owed(dialogue: Dialogue, loan: Loan) -> str:
    if loan.state == Loan.State.APPROVED:
        return pgettext("home", "%(amount)s is on its way, ref %(ref)s") % {
            "amount": words.amount(loan.on_its_way_cents, loan.currency),
            "ref": loan.reference,
        }
    return owing.owed(loan, dialogue.facts.standing(loan), dialogue.facts.today)


@screen("more.menu", samples=[samples.fresh])
def more(dialogue: Dialogue) -> View:
    """What is needed now and then."""
    return Menu(
        pgettext("more.menu", "More"),
        (
            Choice(pgettext("more.menu", "Language"), LANGUAGES),
            Choice(pgettext("more.menu", "PIN and limit"), "settings.menu"),
            Choice(pgettext("more.menu", "Statement"), "loan.statement"),
            Choice(pgettext("more.menu", "My data"), "data.menu"),
            Choice(pgettext("more.menu", "Help"), "help.menu"),
        ),
    )


@screen("home.resume", samples=[samples.dropped])
def resume(dialogue: Dialogue) -> View:
    """Offer to go on where the line dropped; the engine keeps the place in the answers."""
    if "dropped" not in dialogue.answers:
        return Go(START)
    return Menu(
        pgettext("home.resume", "The line dropped. Go on where you stopped?"),
        (
            Choice(pgettext("home.resume", "Go on"), act=_go_on),
            Choice(pgettext("home.resume", "Start again"), act=lambda dialogue, _: START),
        ),
        back=None,
        must_be_seen=True,
    )


def _go_on(dialogue: Dialogue, _: None) -> str:
    dropped = dialogue.answers.pop("dropped")
    dialogue.answers, dialogue.history = dropped["answers"], list(dropped["history"])
    # The way back leads past this screen: it has nothing more to offer.
    dialogue.screen = dialogue.history.pop() if dialogue.history else START
    return str(dropped["screen"])


@screen("home.help", samples=[samples.fresh])
def help_pages(dialogue: Dialogue) -> View:
    """How it works and whom to ask."""
    values = {
        "code": settings.USSD_CODE,
        "sms": settings.SMS_SHORT_CODE,
        "paybill": settings.PAYBILL,
        "account": words.local_number(dialogue.msisdn),
    }
    items = (
        pgettext("home.help", "0 goes back, 00 goes home, 99 changes the language."),
        pgettext("home.help", "Pay any time: paybill %(paybill)s, account %(account)s."),
        pgettext("home.help", "By SMS to %(sms)s: BAL, HELP, STOP."),
        pgettext("home.help", "Nobody at Jirani asks for your PIN."),
        pgettext("home.help", "Complaint or a person: More, Help."),
    )
    return Read([item % values for item in items])


@screen("home.blocked", samples=[samples.blocked])
def blocked(dialogue: Dialogue) -> View:
    return End(
        pgettext("home.blocked", "Your account is closed for now. Ask a Jirani officer: SMS HELP to %(sms)s.")
        % {"sms": settings.SMS_SHORT_CODE}
    )


@screen("home.held", samples=[samples.on_hold])
def held(dialogue: Dialogue) -> View:
    """Everything stands still until a person has checked; why is not said to whoever holds the phone."""
    return Menu(
        pgettext("home.held", "This account rests until an officer has spoken with you. Your money is safe."),
        (Choice(pgettext("home.held", "Call me"), "help.call"),),
        back=None,
    )


@screen("lost", samples=[samples.stranger])
def lost(dialogue: Dialogue) -> View:
    """The end after three answers that could not be used."""
    return End(
        pgettext(
            "lost", "Let us stop here; nothing was changed. Dial %(code)s to start again, or SMS HELP to %(sms)s."
        )
        % {"code": settings.USSD_CODE, "sms": settings.SMS_SHORT_CODE}
    )


@screen("sorry", samples=[samples.stranger])
def sorry(dialogue: Dialogue) -> View:
    """The end when we are at fault."""
    return End(
        pgettext("sorry", "Sorry, that did not work on our side. Please dial %(code)s again in a minute.")
        % {"code": settings.USSD_CODE}
    )


@screen("busy", samples=[samples.stranger])
def busy(dialogue: Dialogue) -> View:
    """The end when the last answer is still being worked on."""
    return End(
        pgettext("busy", "We are still working on your last answer. Dial %(code)s in a minute to see it.")
        % {"code": settings.USSD_CODE}
    )


@screen("over", samples=[samples.stranger])
def over(dialogue: Dialogue) -> View:
    """The end of a session that had ended before."""
    return End(pgettext("over", "This session is over. Dial %(code)s to go on.") % {"code": settings.USSD_CODE})
