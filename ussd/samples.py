"""The longest that a screen or an SMS may have to say, for measuring: nothing here is read from a database."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings

from lending.models import (
    AccessRecord,
    Agent,
    Application,
    AuditEvent,
    Borrower,
    Case,
    Consent,
    Decision,
    Invitation,
    LimitRaise,
    Loan,
    NextOfKin,
    PaymentIntent,
    Preference,
    ProductVersion,
    Promise,
    Receipt,
    Refund,
    SavingsAccount,
)
from lending.rules.country import Country, country_from
from lending.rules.pricing import KeyFacts
from lending.rules.savings import SavingsTerms, read_terms
from lending.rules.schedule import Period, Row
from lending.rules.standing import Standing
from lending.selectors.agents import Counts
from lending.selectors.loans import StatementLine
from lending.selectors.offers import Offer
from lending.selectors.payoffs import PayOff
from lending.selectors.personal_data import Held, Look
from lending.selectors.savings_versions import TermsChange
from ussd import words
from ussd.engine import Sample
from ussd.facts import Facts

MOST_CENTS = 999_999_999
# Names stand for the longest month in both languages.
DAY = date(2028, 9, 28)
AT = datetime(2028, 9, 28, 20, 58, tzinfo=UTC)
MSISDN = "254711000001"
NAME = "Wanjirũ-Ñoñez’O'Néill{{name}} %s 🙂 [Quote]"
REFERENCE = "WWWWWWWW"
SPOKEN_REFERENCE = "WWWWWW"
RECEIPT_NO = "SFC7XK2ABCDEFGH"


@cache
def country() -> Country:
    """Return the law as it ships: screens read the form of a number and of an ID from it."""
    pack = json.loads((settings.BASE_DIR / "fixtures/countries/ke.json").read_text())
    return country_from(pack["rules"])


def version(**terms: Any) -> ProductVersion:
    return ProductVersion(
        id=1,
        code="longest",
        currency="KES",
        country="KE",
        terms={
            "kind": "bullet",
            "currency": "KES",
            "min_cents": MOST_CENTS - 1,
            "max_cents": MOST_CENTS,
            "term": {"installments": 1, "every": 365, "unit": "day"},
            "fees": [{"name": "Fee", "rate": "0.12345"}],
            "tax": {"rate": "0.12345"},
            **terms,
        },
        ladder_cents=[MOST_CENTS - 1, MOST_CENTS],
    )


def borrower(**changes: Any) -> Borrower:
    return Borrower(
        **{"id": 1, "msisdn": MSISDN, "full_name": NAME, "limit_cents": MOST_CENTS, "pin_hash": "x"} | changes
    )


def loan(**changes: Any) -> Loan:
    values: dict[str, Any] = {
        "id": 1,
        "reference": REFERENCE,
        "currency": "KES",
        "principal_cents": MOST_CENTS,
        "fee_cents": 0,
        "tax_cents": 0,
        "outstanding_cents": MOST_CENTS,
        "state": Loan.State.LIVE,
        "due_on": DAY,
        "product_version": version(),
    }
    return Loan(**values | changes)


def receipt(**changes: Any) -> Receipt:
    return Receipt(**{"receipt_no": RECEIPT_NO, "amount_cents": MOST_CENTS, "currency": "KES"} | changes)


def refund(**changes: Any) -> Refund:
    return Refund(**{"amount_cents": MOST_CENTS, "currency": "KES", "way": Refund.Way.WALLET} | changes)


def request(**changes: Any) -> Case:
    """A request with the longest words that each kind may carry."""
    values: dict[str, Any] = {
        "reference": SPOKEN_REFERENCE,
        "kind": Case.Kind.COMPLAINT,
        "topic": Case.Topic.TREATMENT,
        "answer": "W" * 60,
        "answer_by": AT,
        "opened_at": AT,
        "details": {"from": AT.isoformat(), "to": AT.isoformat(), "escalate_to": escalation()},
    }
    return Case(**values | changes)


def held() -> Held:
    """Everything that can be held about somebody, at its longest."""
    return Held(
        name="W" * 60,
        msisdn=MSISDN,
        id_ending="781",
        since=DAY,
        consents=dict.fromkeys(Consent.Purpose.values, True),
        loans=999,
        owed_cents=MOST_CENTS,
        receipts=9_999,
        saved_cents=MOST_CENTS,
        wallet_movements=99_999,
        next_of_kin="W" * 60,
        looks=9_999,
    )


def escalation() -> str:
    """Return who hears complaints that we did not settle, as the law names them."""
    law = country().complaints
    assert law is not None and law.escalate_to is not None
    return law.escalate_to


def intent() -> PaymentIntent:
    return PaymentIntent(amount_cents=MOST_CENTS, currency="KES", msisdn=MSISDN, borrower=borrower())


def savings_terms(minimum_cents: int, *rates: str) -> SavingsTerms:
    return read_terms(
        {
            "minimum_balance_cents": minimum_cents,
            "dormant_after_days": 365,
            "interest": {
                "balance": "daily",
                "tiers_apply_to": "part",
                "tiers": [{"from_cents": place, "rate": rate} for place, rate in enumerate(rates)],
                "credited": "monthly",
                "tax_rate": "0",
            },
            "goal": {"suggest_from": "0.01", "suggest_to": "0.02"},
            "lock": None,
            "save_first": None,
        }
    )


def terms_changes() -> list[TermsChange]:
    """Rates, a minimum, both, and what has no words of its own; in a lock and not."""
    old = savings_terms(MOST_CENTS - 1, "0.123457", "0.123458")
    changed = (
        savings_terms(MOST_CENTS - 1, "0.123455", "0.123456"),
        savings_terms(MOST_CENTS, "0.123457", "0.123458"),
        savings_terms(MOST_CENTS, "0.123455", "0.123456"),
        savings_terms(MOST_CENTS, "0.123457", "0.123457", "0.123458"),
    )
    return [TermsChange(DAY, old, new, is_locked) for new in changed for is_locked in (True, False)]


def lines() -> list[StatementLine]:
    return [
        StatementLine(AT, kind, MOST_CENTS, RECEIPT_NO)
        for kind in ("repaid", "paid_out", "repaid", "repaid", "repaid")
    ]


def decision(outcome: str = "decline", code: str = "score_low", next_step: str = "try_later") -> Decision:
    values = {"days": 365, "amount_cents": MOST_CENTS, "limit_cents": MOST_CENTS}
    application = Application(id=1, reference=REFERENCE, principal_cents=MOST_CENTS, product_version=version())
    return Decision(
        application=application,
        outcome=outcome,
        reasons=[{"code": code, "values": values}],
        next_step=next_step,
        step_values={"amount_cents": MOST_CENTS},
        limit_cents=MOST_CENTS,
    )


def one_sum() -> Standing:
    """Return what is owed in one sum on the day of the samples."""
    return Standing(MOST_CENTS, DAY, MOST_CENTS, DAY)


def parts() -> Standing:
    """Return what is owed in several parts."""
    return Standing(MOST_CENTS - 1, DAY, MOST_CENTS, DAY)


def seen(cents: int, last_on: date) -> dict[str, Any]:
    """Return one side of a preview of a change."""
    return {
        "outstanding_cents": cents,
        "owed": {"fee": cents, "tax": cents},
        "schedule": [[last_on.isoformat(), cents]],
    }


def _live(loan: Loan | None) -> Loan | None:
    return loan if loan is not None and loan.state == Loan.State.LIVE else None


def promise() -> Promise:
    return Promise(id=1, loan=loan(), borrower=borrower(), amount_cents=MOST_CENTS, promised_on=DAY)


# What journeys with facts of their own put in place of them: name of the fact -> how it is made.
FURTHER: dict[str, Callable[[], Any]] = {}


class LongestFacts(Facts):
    """Facts put in place instead of read."""

    def __init__(self, **known: Any) -> None:
        super().__init__(MSISDN, AT)
        self.stands = known.pop("stands", one_sum())
        self.in_parts = False
        self.found: list[ProductVersion] = known.pop("found", [])
        self.decided = known.pop("decided", None)
        self.__dict__.update(
            {
                "borrower": borrower(),
                "open_loan": None,
                "statement": [],
                "last_event": None,
                "undecided": None,
                "offer": Offer(version(), MOST_CENTS, MOST_CENTS - 1),
                "country": country(),
                "offered_raise": None,
                "held": held(),
                "looks": [],
                "kin": None,
                "complaints": [],
                "appealable": None,
                "obstacle": "",
                "kept_until": None,
                "known_kept_until": None,
                "agent": None,
                "invitation": None,
                "stopped": [],
                "owed_loan": _live(known.get("open_loan")),
                "pay_off": PayOff(MOST_CENTS, MOST_CENTS),
                "savings_to_pay_from": [],
                "promise": None,
                "broken_promises": 0,
                "last_prompt": None,
                "last_limit_move": None,
                "last_choice": ("longest", ""),
            }
            | {name: make() for name, make in FURTHER.items()}
            | known
        )

    def on_offer(self, principal_cents: int) -> list[ProductVersion]:
        return self.found or [self.offer.product_version]

    def quote(self, principal_cents: int, version: ProductVersion) -> KeyFacts:
        # Parts as long as can be, of a total that is still the longest; loans are whole shillings.
        lent, fee, tax, apr = 899_999_900, 89_999_900, 9_999_900, Decimal("9.999")
        if self.in_parts:
            # A plan in parts is smaller: what all its lines say must fit beside the way to pay them.
            lent, fee, tax, interest = 8_999_900, 899_900, 99_900, 99_900
            rows = [Row(Period(DAY, DAY, DAY), lent // 12, interest // 12, lent, fee // 12, tax // 12)] * 12
            return KeyFacts("KES", lent, lent, interest, fee, tax, tuple(rows), (), apr, apr)
        row = Row(Period(DAY, DAY, DAY), lent, 0, lent, fee, tax)
        return KeyFacts("KES", lent, lent, 0, fee, tax, (row,), (), apr, apr)

    def standing(self, loan: Loan) -> Standing | None:
        return self.stands

    def granted(self, loan: Loan) -> list[str]:
        return ["extend", "skip", "cancel"]

    def preview(self, loan: Loan, kind: str) -> dict[str, Any]:
        return {"before": seen(0, DAY - timedelta(days=30)), "after": seen(MOST_CENTS, DAY)}

    @property
    def largest_loan_cents(self) -> int:
        return MOST_CENTS

    def decision(self, application_id: int) -> Decision:
        assert self.decided is not None
        return self.decided

    def forget(self) -> None:
        """Nothing to read anew."""


ANSWERS: dict[str, Any] = {
    "principal_cents": MOST_CENTS,
    "amount_cents": MOST_CENTS,
    "reference": REFERENCE,
    "application_id": 1,
    "consents": {},
    "account_id": 1,
    "free_cents": MOST_CENTS,
    "other_id": 1,
    "other_name": "WW*** W.",
    "kind": "extend",
    "day": DAY.isoformat(),
}


def asked() -> Sample:
    """Something was asked of officers, and there is a reference for it."""
    answers = {"reference": SPOKEN_REFERENCE, "from": AT.isoformat(), "to": AT.isoformat(), "by": AT.isoformat()}
    complaints = [
        request(answer_by=AT), request(answer_by=None), request(outcome=Case.Outcome.NO_FAULT),
        request(outcome=Case.Outcome.PUT_RIGHT, topic=Case.Topic.CHANGE),
    ]  # fmt: skip
    return Sample(LongestFacts(complaints=complaints), ANSWERS | answers | {"kin_name": NAME})


def refused() -> Sample:
    """The refusal whose reason is longest in the active language."""
    code = max(words.REASONS, key=lambda one: len(words.why(decision(code=one))))
    said = decision(code=code)
    said.application.decision = said
    return Sample(LongestFacts(appealable=said.application), ANSWERS)


def held_in_full() -> Sample:
    looks = [Look(DAY, "Product managers and more", purpose, 99) for purpose in AccessRecord.Purpose.values]
    return Sample(LongestFacts(held=held(), looks=looks), ANSWERS)


def agreement(purpose: str, *, given: bool = True) -> Callable[[], Sample]:
    """Return the sample of somebody who gave an agreement, or did not."""

    def sample() -> Sample:
        some = replace(held(), consents={purpose: given})
        return Sample(LongestFacts(held=some), ANSWERS | {"purpose": str(purpose)})

    return _named(sample, f"{purpose} {'given' if given else 'not given'}")


def not_yet(obstacle: str) -> Callable[[], Sample]:
    """Return the sample of somebody who cannot be forgotten yet."""
    return _named(lambda: Sample(LongestFacts(obstacle=obstacle), ANSWERS), obstacle)


def _named(sample: Callable[[], Sample], name: str) -> Callable[[], Sample]:
    sample.__name__ = name
    return sample


def kept_by_law() -> Sample:
    return Sample(LongestFacts(kept_until=DAY, known_kept_until=DAY), ANSWERS)


def with_kin() -> Sample:
    return Sample(LongestFacts(kin=NextOfKin(name=NAME, msisdn=MSISDN)), ANSWERS)


def agent() -> Sample:
    facts = LongestFacts(agent=Agent(state=Agent.State.APPROVED), agent_counts=Counts(9_999, 9_999))
    return Sample(facts, ANSWERS | {"newcomer": MSISDN})


def invited() -> Sample:
    invitation = Invitation(full_name="W" * 60, national_id="123456789")
    return Sample(LongestFacts(borrower=None, invitation=invitation), ANSWERS)


def stopped() -> Sample:
    return Sample(LongestFacts(stopped=list(Preference.Purpose.values)), ANSWERS)


def on_hold() -> Sample:
    return Sample(LongestFacts(borrower=borrower(hold=Borrower.Hold.PHONE, held_at=AT)), ANSWERS)


def stranger() -> Sample:
    return Sample(LongestFacts(borrower=None), ANSWERS)


def free() -> Sample:
    """Registered, no loan, something happened just now."""
    return Sample(LongestFacts(last_event=lines()[0], statement=lines()), ANSWERS)


def dear() -> Sample:
    """An offer in parts, with interest, penalties and everything that a product may grant."""
    late = {"name": "Late", "rate": "0.12345", "of": "overdue_installment", "grace_days": 365, "every_days": 365}
    dearer = version(
        penalties=[late],
        cooling_off_days=14,
        extension={"rate": "0.1", "every": 14, "unit": "day", "most_times": 1},
        skips=1,
    )
    facts = LongestFacts(offer=Offer(dearer, MOST_CENTS, MOST_CENTS - 1))
    facts.in_parts = True
    return Sample(facts, ANSWERS)


def several_terms() -> Sample:
    """Several products to choose from, and what the last loan was for."""
    term = {"installments": 24, "every": 2, "unit": "half_month"}
    found = [version(), version(kind="flat", term=term)]
    found[1].code = "longest-2"
    return Sample(LongestFacts(found=found, last_choice=("longest-2", "business")), ANSWERS)


def fresh() -> Sample:
    """Registered, no loan, no history."""
    return Sample(LongestFacts(), ANSWERS)


def dropped() -> Sample:
    """The line went dead at the key facts."""
    place = {"screen": "borrow.facts", "answers": {}, "history": ["home", "borrow.amount"]}
    return Sample(LongestFacts(), ANSWERS | {"dropped": place})


def owing() -> Sample:
    facts = LongestFacts(
        open_loan=loan(),
        last_event=lines()[0],
        statement=lines(),
        offer=Offer(version(), MOST_CENTS, MOST_CENTS - 1, "open_loan"),
    )
    return Sample(facts, ANSWERS)


def late() -> Sample:
    """In parts, of which the first is a year late."""
    stands = Standing(MOST_CENTS - 1, DAY - timedelta(days=365), MOST_CENTS, DAY)
    facts = LongestFacts(open_loan=loan(days_past_due=365), last_event=lines()[0], statement=lines(), stands=stands)
    return Sample(facts, ANSWERS)


def in_parts() -> Sample:
    """Several parts, and less to pay today than by the plan; savings could pay, too."""
    facts = LongestFacts(
        open_loan=loan(),
        last_event=lines()[0],
        stands=parts(),
        pay_off=PayOff(MOST_CENTS, MOST_CENTS - 1),
        savings_to_pay_from=savings_pots(),
    )
    return Sample(facts, ANSWERS)


def lost() -> Sample:
    """A loan that was written off."""
    gone = loan(state=Loan.State.WRITTEN_OFF, outstanding_cents=0, written_off_cents=MOST_CENTS)
    return Sample(LongestFacts(owed_loan=gone, stands=None), ANSWERS)


def changeable() -> Sample:
    return Sample(LongestFacts(open_loan=loan()), ANSWERS)


def promising() -> Sample:
    return Sample(LongestFacts(open_loan=loan(), promise=promise()), ANSWERS)


def savings_pots() -> list[tuple[SavingsAccount, int]]:
    names = ("", *(f"{number}{'W' * 29}" for number in range(4)))
    return [(SavingsAccount(id=n, goal=name, currency="KES"), MOST_CENTS) for n, name in enumerate(names)]


def saver() -> Sample:
    return Sample(LongestFacts(open_loan=loan(), savings_to_pay_from=savings_pots()), ANSWERS)


def for_another() -> Sample:
    return Sample(LongestFacts(), ANSWERS)


def limit_moves() -> list[Callable[[], Sample]]:
    """One sample for each thing that may have moved a limit last."""
    details: tuple[tuple[str, dict[str, Any]], ...] = (
        ("limit_moved", {"rung_before": 0, "rung": 1}),
        ("limit_moved", {"rung_before": 1, "rung": 0, "days_late": 365}),
        ("limit_chosen", {}),
        ("limit_taken_back", {}),
    )

    def made(action: str, detail: dict[str, Any]) -> Callable[[], Sample]:
        def limit_moved() -> Sample:
            event = AuditEvent(action=action, detail=detail, happened_at=AT)
            return Sample(LongestFacts(last_limit_move=event), ANSWERS)

        return limit_moved

    return [made(action, detail) for action, detail in details]


def prompted() -> Sample:
    prompt = PaymentIntent(amount_cents=MOST_CENTS, currency="KES", state="open", created_at=AT)
    return Sample(LongestFacts(last_prompt=prompt), ANSWERS)


def not_paid() -> Sample:
    prompt = PaymentIntent(amount_cents=MOST_CENTS, currency="KES", state="failed", created_at=AT)
    return Sample(LongestFacts(last_prompt=prompt), ANSWERS)


def waiting_for_payout() -> Sample:
    facts = LongestFacts(
        open_loan=loan(state=Loan.State.APPROVED, due_on=None),
        last_event=lines()[0],
        offer=Offer(version(), MOST_CENTS, MOST_CENTS - 1, "payout_pending"),
    )
    return Sample(facts, ANSWERS)


def undecided() -> Sample:
    application = Application(
        id=1, reference=REFERENCE, principal_cents=MOST_CENTS, submitted_at=AT - timedelta(days=1)
    )
    facts = LongestFacts(
        undecided=application,
        last_event=lines()[0],
        offer=Offer(version(), MOST_CENTS, MOST_CENTS - 1, "undecided"),
    )
    return Sample(facts, ANSWERS)


def no_limit() -> Sample:
    return Sample(
        LongestFacts(borrower=borrower(limit_cents=0), offer=Offer(version(), 0, MOST_CENTS - 1)), ANSWERS
    )


def offered_raise() -> Sample:
    raised = LimitRaise(id=1, rung=1, limit_cents=MOST_CENTS)
    return Sample(LongestFacts(offered_raise=raised), ANSWERS)


def paused() -> Sample:
    return Sample(LongestFacts(offer=Offer(version(), MOST_CENTS, MOST_CENTS - 1, "paused")), ANSWERS)


def blocked() -> Sample:
    return Sample(LongestFacts(borrower=borrower(state=Borrower.State.BLOCKED)), ANSWERS)


def locked() -> Sample:
    return Sample(LongestFacts(borrower=borrower(pin_locked_at=AT)), ANSWERS)


def approved() -> Sample:
    return Sample(LongestFacts(decided=decision("approve")), ANSWERS)


def referred() -> Sample:
    return Sample(LongestFacts(decided=decision("refer")), ANSWERS)


def declined() -> Sample:
    """The decline whose sentences are longest in the active language."""
    code = max(words.REASONS, key=lambda one: len(words.why(decision(code=one))))
    step = max(words.NEXT_STEPS, key=lambda one: len(words.what_next(decision(next_step=one))))
    return Sample(LongestFacts(decided=decision("decline", code, step)), ANSWERS)
