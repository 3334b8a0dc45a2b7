"""Borrowing: amount, what it costs, terms, PIN, decision. The PIN is the only hop with an effect."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from lending.models import Application, Decision, ProductVersion
from lending.rules import identity, money
from lending.rules.caps import AgainstLaw
from lending.rules.pricing import KeyFacts
from lending.rules.terms import Penalty, Terms
from lending.selectors import products
from lending.selectors.offers import NEVER_ASKED
from lending.services import applications, limits
from ussd import owing, samples, words
from ussd.engine import Again, Ahead, Ask, Await, Choice, Dialogue, Elsewhere, End, Go, Menu, Read, View, screen
from ussd.screens import pin
from ussd.tongue import npgettext, pgettext

KEY_FACTS_VERSION = "key-facts-3"
RAISE_VERSION = "raise-1"
# What is shorter is a slip on a menu.
LEAST_DIGITS = 2
# What a refusal of the offer or of the service leads to.
REFUSED = {
    "open_loan": "borrow.open_loan",
    "payout_pending": "borrow.payout_pending",
    "undecided": "borrow.undecided",
    "blocked": "home.blocked",
    "paused": "borrow.paused",
}


@screen(
    "borrow.amount",
    samples=[samples.free],
    resume="borrow.amount",
    tries=("0", "-5", "1e3", "٥٠٠", "1", "9999999", "9999999.98"),
)
def ask_amount(dialogue: Dialogue) -> View:
    offer = dialogue.facts.offer
    if offer.refusal:
        return Go(REFUSED[offer.refusal])
    if offer.raise_waits:
        return Go("borrow.raise")
    if offer.limit_cents < offer.min_cents:
        return Go("borrow.no_limit")
    values = {"limit": words.amount(offer.limit_cents), "least": words.amount(offer.min_cents)}
    return Ask(
        pgettext("borrow.amount", "Your limit is %(limit)s. How much do you want? From %(least)s.") % values,
        parse=lambda typed: parse_amount(dialogue, typed),
        save_as="principal_cents",
        then="borrow.facts",
        zero_is_answer=True,
    )


@screen("borrow.raise", samples=[samples.offered_raise])
def offered_raise(dialogue: Dialogue) -> View:
    """A higher limit, only if the customer wants it: where the law asks for their yes."""
    offered = dialogue.facts.offered_raise
    if offered is None:
        return Go("borrow.amount")
    values = {
        "limit": words.amount(offered.limit_cents),
        "now": words.amount(dialogue.facts.known.limit_cents),
    }
    return Menu(
        pgettext(
            "borrow.raise", "You repaid on time. Do you want a limit of %(limit)s instead of %(now)s? You need not."
        )
        % values,
        (
            Choice(pgettext("borrow.raise", "Yes, raise it"), act=partial(_answer_raise, True)),
            Choice(pgettext("borrow.raise", "No, keep it"), act=partial(_answer_raise, False)),
        ),
        must_be_seen=True,
        first=dialogue.unused(2),
    )


def _answer_raise(accepted: bool, dialogue: Dialogue, _: None) -> str:
    try:
        limits.answer_raise(
            borrower_id=dialogue.facts.known.id,
            accepted=accepted,
            text_version=RAISE_VERSION,
            language=dialogue.language,
            at=dialogue.at,
        )
    except limits.NothingOffered:
        raise Elsewhere("borrow.limit_changed") from None
    return "borrow.amount"


def parse_amount(dialogue: Dialogue, typed: str) -> int:
    """Return the cents of an amount that may be asked for, or say why it may not."""
    offer = dialogue.facts.offer
    cents = read_amount(typed, offer.product_version.currency)
    if cents < offer.min_cents:
        raise Again(
            pgettext("borrow.amount", "The smallest loan is %(least)s.") % {"least": words.amount(offer.min_cents)}
        )
    if cents > offer.limit_cents:
        raise Again(pgettext("borrow.amount", "That is above your limit."))
    return cents


def amount_ahead(typed: str) -> Ahead | None:
    """Say where an amount leads that was typed where none was asked for.

    Four digits may be a PIN that is typed there by habit. None is as round as this, so a round number is taken for
    the amount; any other is asked for again, and kept nowhere.
    """
    try:
        cents = money.parse(typed)
    except money.InvalidAmount:
        return None
    if len(typed) < LEAST_DIGITS:
        return None
    return Ahead("borrow.amount", answered=not identity.looks_like_pin(typed) or identity.is_round(cents // 100))


def read_amount(typed: str, currency: str) -> int:
    """Return the cents of a typed amount in payable units.

    Raises:
        Again: it is no amount, or it has cents where nobody pays cents.
    """
    try:
        cents = money.parse(typed)
    except money.InvalidAmount:
        raise Again(pgettext("amount", "Type the amount in digits, like 500.")) from None
    if cents % money.currency(currency).payable_cents:
        raise Again(pgettext("amount", "Whole %(currency)s only, like 500.") % {"currency": currency})
    return cents


@screen("borrow.facts", samples=[samples.fresh, samples.dear], resume="borrow.facts", costs=True, paged=True)
def key_facts(dialogue: Dialogue) -> View:
    """What arrives, what the loan costs, and what is paid back in all, before anything is accepted.

    However fees are charged, the lines add up: what arrives and what it costs is what is paid back.
    """
    offer = dialogue.facts.offer
    if offer.refusal:
        return Go(REFUSED[offer.refusal])
    if not dialogue.facts.on_offer(dialogue.answers["principal_cents"]):
        return Go("borrow.limit_changed")
    if _is_first(dialogue) and "purpose" not in dialogue.answers:
        return Go("borrow.purpose")
    version = _chosen(dialogue)
    quote = dialogue.facts.quote(dialogue.answers["principal_cents"], version)
    # Where a late copy of a PIN, or of an amount like one, would pass for a yes, the PIN has a screen of its own.
    takes_pin = dialogue.typed is None
    return Menu(
        "\n".join(_facts_of(quote, products.terms_of(version))),
        (
            Choice(pgettext("borrow.facts", "Read terms"), "borrow.terms"),
            Choice(
                pgettext("borrow.facts", "Accept, or enter PIN")
                if takes_pin
                else pgettext("borrow.terms", "Accept"),
                "borrow.pin",
            ),
            Choice(pgettext("borrow.facts", "Change"), "borrow.change"),
        ),
        back=pgettext("borrow.facts", "Cancel"),
        back_to="start",
        must_be_seen=True,
        ahead=_pin_ahead if takes_pin else None,
        record_as="key_facts",
        remember={
            "product_version_id": version.id,
            "principal_cents": quote.principal_cents,
            "cost_cents": quote.cost_cents,
            "due_on": quote.due_on.isoformat(),
        },
    )


def _pin_ahead(typed: str) -> Ahead | None:
    return Ahead("borrow.pin") if identity.looks_like_pin(typed) else None


def _facts_of(quote: KeyFacts, agreed: Terms) -> list[str]:
    """Return the key facts line by line: what arrives, what it costs, what is paid back and when."""
    values = {
        "received": words.amount(quote.received_cents, quote.currency),
        "fee": words.amount(quote.fee_cents, quote.currency),
        "tax": words.amount(quote.tax_cents, quote.currency),
        "interest": words.amount(quote.interest_cents, quote.currency),
        "total": words.amount(quote.total_cents, quote.currency),
        "apr": words.percent(quote.apr),
        "late": _late_fee(agreed),
    } | _parts(quote)
    lines = (
        pgettext("borrow.facts", "You get %(received)s"),
        *([pgettext("borrow.facts", "Fee %(fee)s")] if quote.fee_cents else []),
        *([pgettext("borrow.facts", "Tax %(tax)s")] if quote.tax_cents else []),
        *([pgettext("borrow.facts", "Interest %(interest)s")] if quote.interest_cents else []),
        pgettext("borrow.facts", "You repay %(total)s"),
        pgettext("borrow.facts", "%(count)s parts %(first_day)s-%(day)s, first %(first)s")
        if quote.rows[1:]
        else pgettext("borrow.facts", "by %(day)s"),
        "%(late)s",
        pgettext("borrow.facts", "APR %(apr)s"),
    )
    return [line % values for line in lines]


def _chosen(dialogue: Dialogue) -> ProductVersion:
    """Return the product that was chosen, else that of the last time, else the usual one: of those of which this
    amount can be had."""
    found = dialogue.facts.on_offer(dialogue.answers["principal_cents"])
    wanted = dialogue.answers.get("product") or dialogue.facts.last_choice[0]
    usual = found[0] if found else dialogue.facts.offer.product_version
    return next((version for version in found if version.code == wanted), usual)


def _is_first(dialogue: Dialogue) -> bool:
    """Say whether this customer has never asked for a loan: only then are they asked what it is for."""
    return dialogue.facts.last_choice == NEVER_ASKED


def _purpose(dialogue: Dialogue) -> str:
    """Return what the loan is for, as said now or the last time; empty: it was not said."""
    return str(dialogue.answers.get("purpose", dialogue.facts.last_choice[1]))


@screen("borrow.change", samples=[samples.several_terms, samples.fresh])
def change(dialogue: Dialogue) -> View:
    """How long and for what: remembered from the last time, so nobody has to say it again."""
    if not dialogue.facts.on_offer(dialogue.answers["principal_cents"]):
        return Go("borrow.facts")
    term = words.term(products.terms_of(_chosen(dialogue)).term)
    said = _purposes().get(_purpose(dialogue), pgettext("borrow.change", "not said"))
    others = dialogue.facts.on_offer(dialogue.answers["principal_cents"])[1:]
    return Menu(
        pgettext("borrow.change", "For %(term)s. Use: %(purpose)s.") % {"term": term, "purpose": said},
        [
            *([Choice(pgettext("borrow.change", "How long"), "borrow.term")] if others else []),
            Choice(pgettext("borrow.change", "What it is for"), "borrow.purpose"),
        ],
    )


@screen("borrow.term", samples=[samples.several_terms], paged=True)
def choose_term(dialogue: Dialogue) -> View:
    """What this amount costs for each time for which it can be had."""
    cents = dialogue.answers["principal_cents"]
    found = dialogue.facts.on_offer(cents)
    if not found:
        return Go("borrow.facts")
    return Menu(
        pgettext("borrow.term", "How long? You repay in all:"),
        [
            Choice(_term_line(dialogue, version, cents), "borrow.facts", {"product": version.code})
            for version in found
        ],
    )


def _term_line(dialogue: Dialogue, version: ProductVersion, cents: int) -> str:
    total = words.amount(dialogue.facts.quote(cents, version).total_cents, version.currency)
    return f"{words.term(products.terms_of(version).term)}: {total}"


@screen("borrow.purpose", samples=[samples.fresh], resume="borrow.facts", paged=True)
def choose_purpose(dialogue: Dialogue) -> View:
    """For the customer's own book and ours; nothing is decided by it, and nobody has to say it."""
    *named, other = _purposes().items()
    unsaid = ("", pgettext("borrow.purpose", "Rather not say"))
    return _ask_purpose([*named, unsaid, other])


@screen("borrow.purpose", samples=[samples.fresh], until=2)
def choose_purpose_2(dialogue: Dialogue) -> View:
    """As it was while nobody could take back what they had said."""
    return _ask_purpose(_purposes().items())


def _ask_purpose(purposes: Iterable[tuple[str, str]]) -> Menu:
    return Menu(
        pgettext("borrow.purpose", "What is it for? It changes nothing for you."),
        [Choice(label, "borrow.facts", {"purpose": purpose}) for purpose, label in purposes],
    )


def _purposes() -> dict[str, str]:
    return {
        Application.Purpose.BUSINESS: pgettext("borrow.purpose", "Stock or business"),
        Application.Purpose.SCHOOL: pgettext("borrow.purpose", "School"),
        Application.Purpose.HEALTH: pgettext("borrow.purpose", "Health"),
        Application.Purpose.HOME: pgettext("borrow.purpose", "Home and food"),
        Application.Purpose.OTHER: pgettext("borrow.purpose", "Something else"),
    }


def _parts(quote: KeyFacts) -> dict[str, str]:
    """Return in how many parts a loan is repaid, the first of them, and the last day."""
    first = quote.rows[0]
    return {
        "count": str(len(quote.rows)),
        "first": words.amount(first.total, quote.currency),
        "first_day": words.day(first.period.due_on),
        "day": words.day(quote.due_on),
    }


def _late_fee(agreed: Terms) -> str:
    """Say what being late costs under the product's own terms."""
    if not agreed.penalties:
        return pgettext("borrow.facts", "Late fee none")
    if len(agreed.penalties) > 1:
        return pgettext("borrow.facts", "Late fees: see terms")
    return pgettext("borrow.facts", "Late fee %(late)s") % {"late": _penalty(agreed.penalties[0], agreed.currency)}


def _penalty(late: Penalty, currency: str) -> str:
    """Say a penalty: an amount or a share, and how often."""
    cost = words.percent(late.rate) if late.rate is not None else words.amount(late.amount_cents or 0, currency)
    if not late.every_days or late.most_times == 1:
        return cost
    if late.every_days == 1:
        return pgettext("borrow.facts", "%(cost)s a day") % {"cost": cost}
    return pgettext("borrow.facts", "%(cost)s each %(days)s days") % {"cost": cost, "days": late.every_days}


@screen("borrow.terms", samples=[samples.free, samples.dear], resume="borrow.facts", tries=("98", "x"))
def terms(dialogue: Dialogue) -> View:
    """What was agreed, in sentences; amounts are those of this loan."""
    if not dialogue.facts.on_offer(dialogue.answers["principal_cents"]):
        return Go("borrow.facts")
    version = _chosen(dialogue)
    agreed, quote = products.terms_of(version), dialogue.facts.quote(dialogue.answers["principal_cents"], version)
    values = {
        "fee": words.amount(quote.fee_cents, quote.currency),
        "tax": words.amount(quote.tax_cents, quote.currency),
        "interest": words.amount(quote.interest_cents, quote.currency),
        "total": words.amount(quote.total_cents, quote.currency),
    } | _parts(quote)
    items = (
        _how_repaid(quote),
        pgettext("borrow.terms", "The fee is %(fee)s, the tax on it %(tax)s."),
        *([pgettext("borrow.terms", "The interest is %(interest)s.")] if quote.interest_cents else []),
        pgettext("borrow.terms", "If you pay in time, nothing else is added."),
    )
    more = (
        *_when_late(agreed),
        *_when_early(agreed),
        *_more_rights(agreed),
        pgettext("borrow.terms", "A computer decides. You may ask for a person: More, Help."),
        pgettext("borrow.terms", "We use your data only as you agreed."),
    )
    return Read(
        [*(item % values for item in items), *more],
        (Choice(pgettext("borrow.terms", "Accept"), "borrow.pin"),),
        seen_as=_read(version.id, quote.principal_cents),
    )


def _read(version_id: int, principal_cents: int) -> str:
    """Return under which name it is kept that the terms of this very loan were read."""
    return f"terms_read {version_id} {principal_cents}"


def _how_repaid(quote: KeyFacts) -> str:
    if len(quote.rows) == 1:
        return pgettext("borrow.terms", "You repay %(total)s by %(day)s.")
    return pgettext(
        "borrow.terms",
        "You repay %(total)s in %(count)s parts: the first, %(first)s, on %(first_day)s, the last on %(day)s.",
    )


def _when_late(agreed: Terms) -> list[str]:
    """Say what each penalty costs, of what, and from which day on."""
    if not agreed.penalties:
        return [pgettext("borrow.terms", "Paying late costs no fee, but your limit goes down.")]
    said = pgettext("borrow.terms", "From day %(day)s late: %(cost)s, and your limit goes down.")
    return [
        said % {"day": late.grace_days + 1, "cost": f"{_penalty(late, agreed.currency)}{_of(late)}"}
        for late in agreed.penalties
    ]


def _of(late: Penalty) -> str:
    """Say of what a penalty is a share."""
    if late.rate is None:
        return ""
    if late.of == "balance":
        return " " + pgettext("borrow.terms", "of all you owe")
    return " " + pgettext("borrow.terms", "of what is late")


def _when_early(agreed: Terms) -> list[str]:
    """Say that paying early and in parts is free, and whether it saves something."""
    saves = (agreed.interest.rate and agreed.early.interest != "all") or any(fee.rebated for fee in agreed.fees)
    said = [pgettext("borrow.terms", "You may pay early and in parts.")]
    return [*said, pgettext("borrow.terms", "Paying early costs less.")] if saves else said


def _more_rights(agreed: Terms) -> list[str]:
    said = []
    if days := agreed.cooling_off_days:
        told = npgettext(
            "borrow.terms",
            "For %(days)d day you may give the loan back without a fee.",
            "For %(days)d days you may give the loan back without a fee.",
            days,
        )
        said.append(told % {"days": days})
    if agreed.extension:
        said.append(pgettext("borrow.terms", "You may get more time for a fee that you see first: My loan."))
    if agreed.skips:
        said.append(pgettext("borrow.terms", "You may skip a payment: My loan."))
    return said


@screen("borrow.pin", samples=[samples.free], resume="borrow.facts", tries=pin.PIN_TRIES)
def enter_pin(dialogue: Dialogue) -> View:
    if dialogue.facts.known.pin_is_locked_at(dialogue.at):
        return Go("pin.locked")
    return pin.enter(act=_accept)


def _is_as_shown(dialogue: Dialogue, shown: Mapping[str, Any]) -> bool:
    """Say whether the loan that was shown can be had at this moment, and costs what it did."""
    found = dialogue.facts.on_offer(shown["principal_cents"])
    version = next((one for one in found if one.id == shown["product_version_id"]), None)
    if version is None:
        return False
    quote = dialogue.facts.quote(shown["principal_cents"], version)
    return (quote.cost_cents, quote.due_on.isoformat()) == (shown["cost_cents"], shown["due_on"])


def _accept(dialogue: Dialogue, typed: str) -> Await:
    """Submit the application: once for this hop, with the key facts as they stood on the screen."""
    pin.check(dialogue, typed)
    shown = dialogue.answers["key_facts"]
    if not _is_as_shown(dialogue, shown):
        raise Elsewhere("borrow.facts")  # a day has begun meanwhile, or another law: seen anew, and then accepted
    try:
        application = applications.submit(
            borrower_id=dialogue.facts.known.id,
            principal_cents=shown["principal_cents"],
            product_version_id=shown["product_version_id"],
            shown=applications.KeyFactsShown(
                text=shown["text"],
                language=shown["language"],
                version=KEY_FACTS_VERSION,
                shown_at=datetime.fromisoformat(shown["shown_at"]),
                terms_read=_read(shown["product_version_id"], shown["principal_cents"]) in dialogue.answers,
            ),
            purpose=_purpose(dialogue),
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except (applications.AboveLimit, applications.BelowMinimum):
        raise Elsewhere("borrow.limit_changed") from None
    except applications.HasOpenLoan:
        raise Elsewhere("borrow.open_loan") from None
    except applications.AlreadyApplied:
        raise Elsewhere("borrow.undecided") from None
    except applications.Blocked:
        raise Elsewhere("home.blocked") from None
    except applications.Paused:
        raise Elsewhere("borrow.facts") from None  # of the next product; where none is left, they say so
    except AgainstLaw:
        raise Elsewhere("borrow.paused") from None
    dialogue.answers = {"application_id": application.id, "reference": application.reference}
    return Await(application.id, then="borrow.decided", late="borrow.late")


@screen("borrow.decided", samples=[samples.approved, samples.declined, samples.referred])
def decided(dialogue: Dialogue) -> View:
    """The answer, when it came in time to be shown here."""
    decision = dialogue.facts.decision(dialogue.answers["application_id"])
    return End(decision_words(decision))


def decision_words(decision: Decision) -> str:
    """Say a decision: the same sentences on the screen and by SMS."""
    application = decision.application
    values = {
        "amount": words.amount(application.received_cents, application.product_version.currency),
        "ref": application.reference,
    }
    if decision.outcome == Decision.Outcome.APPROVE:
        if products.terms_of(application.product_version).kind == "credit_line":
            return line_words(application)
        return pgettext("decision", "Approved. %(amount)s is on its way, ref %(ref)s.") % values
    if decision.outcome == Decision.Outcome.REFER:
        return (
            pgettext(
                "decision", "A person will look at your request by tomorrow. The answer comes by SMS. Ref %(ref)s."
            )
            % values
        )
    said = pgettext("decision", "Not this time, ref %(ref)s.") % values
    return "\n".join([said, words.why(decision), words.what_next(decision)])


def line_words(application: Application) -> str:
    """Say that a credit line is open: nothing is on its way until it is drawn."""
    return pgettext("decision", "Approved. You may draw up to %(amount)s, ref %(ref)s.") % {
        "amount": words.amount(application.principal_cents, application.product_version.currency),
        "ref": application.reference,
    }


@screen("borrow.late", samples=[samples.free])
def late(dialogue: Dialogue) -> View:
    return End(
        pgettext("borrow.late", "We are deciding. The answer comes by SMS. Ref %(ref)s.")
        % {"ref": dialogue.answers["reference"]}
    )


@screen("borrow.open_loan", samples=[samples.owing, samples.in_parts, samples.late])
def open_loan(dialogue: Dialogue) -> View:
    loan = dialogue.facts.owed_loan
    if loan is None:
        return Go("borrow.payout_pending")
    said = owing.owed(loan, dialogue.facts.standing(loan), dialogue.facts.today)
    return Menu(
        pgettext("borrow.open_loan", "%(owed)s. Repay it, then you can borrow again.") % {"owed": said},
        (Choice(pgettext("borrow.open_loan", "Repay"), "repay.menu"),),
    )


@screen("borrow.payout_pending", samples=[samples.waiting_for_payout])
def payout_pending(dialogue: Dialogue) -> View:
    loan = dialogue.facts.open_loan
    if loan is None:
        return Go("borrow.one_only")
    return End(
        pgettext(
            "borrow.payout_pending", "%(amount)s is on its way to your %(wallet)s, ref %(ref)s. An SMS follows."
        )
        % {
            "amount": words.amount(loan.on_its_way_cents, loan.currency),
            "ref": loan.reference,
            "wallet": dialogue.facts.country.wallet_name,
        }
    )


@screen("borrow.one_only", samples=[samples.free])
def one_only(dialogue: Dialogue) -> View:
    """A payout is under way to another number of the same person; one that is live is shown and can be paid."""
    return End(
        pgettext("borrow.one_only", "A loan is on its way to another number of yours. Repay it, then borrow again.")
    )


@screen("borrow.undecided", samples=[samples.undecided])
def undecided(dialogue: Dialogue) -> View:
    application = dialogue.facts.undecided
    reference = application.reference if application else ""
    return End(
        pgettext("borrow.undecided", "We are still deciding on your request, ref %(ref)s. The answer comes by SMS.")
        % {"ref": reference}
    )


@screen("borrow.no_limit", samples=[samples.no_limit])
def no_limit(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "borrow.no_limit",
            "You cannot borrow yet. Use your wallet and save, and dial again in 30 days. Questions: SMS HELP.",
        )
    )


@screen("borrow.paused", samples=[samples.paused])
def paused(dialogue: Dialogue) -> View:
    """The product rests, or today's law does not allow it: neither is the customer's fault."""
    return End(
        pgettext(
            "borrow.paused",
            "We make no new loans of this kind for now; it is not because of you. Dial again tomorrow. "
            "Questions: SMS HELP.",
        )
    )


@screen("borrow.limit_changed", samples=[samples.free])
def limit_changed(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("borrow.limit_changed", "Your limit is now %(limit)s. Nothing was borrowed.")
        % {"limit": words.amount(dialogue.facts.offer.limit_cents)},
        (Choice(pgettext("borrow.limit_changed", "Choose another amount"), "borrow.amount"),),
    )
