"""What happened, by SMS: the outbox's topics put into one message each, in the borrower's language."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings

from lending import outbox
from lending.models import (
    Agent,
    Application,
    AuditEvent,
    Borrower,
    BureauNotice,
    Case,
    Decision,
    Draw,
    GroupMember,
    GroupWithdrawal,
    Invitation,
    LimitRaise,
    Loan,
    NextOfKin,
    PaymentIntent,
    Preference,
    Promise,
    Receipt,
    Refund,
    Repayment,
    Review,
    SavingsAccount,
    SavingsInstruction,
)
from lending.payments.settling import GAVE_UP
from lending.rules import calendar
from lending.rules.country import Country, may_contact
from lending.rules.promises import MOST_BROKEN
from lending.rules.reminders import LADDER, Step, step_of
from lending.rules.standing import Standing
from lending.selectors import dues, loans, personal_data, preferences, products, promises, savings_versions
from lending.selectors.overpayments import payout_receipt
from lending.selectors.preferences import may_send
from lending.services import applications, bureau, changes, lateness, receipts
from ussd import alphabet, campaigns, owing, samples, saving_samples, saving_words, sms, words
from ussd.models import CampaignMember, Hop, Sms
from ussd.screens.borrow import decision_words, line_words
from ussd.screens.late import code_to_dial
from ussd.screens.pin import locked_words
from ussd.tongue import npgettext, pgettext, speaking

logger = logging.getLogger(__name__)

# Nobody reads on these numbers what was meant for their owner.
GONE = (Borrower.State.DECEASED, Borrower.State.CLOSED)
Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Notice:
    """Something to tell somebody. `say` is called in their language; `unasked`: they may say stop to it, for its
    `purpose`.

    `by_law`: they cannot, and it still waits for contact hours. `msisdn` and `language`: of whoever is told, where
    that is not the borrower on their own number.
    """

    reference: str
    borrower: Borrower | None
    say: Callable[[], str]
    unasked: bool = False
    by_law: bool = False
    purpose: str = Preference.Purpose.REMINDERS
    msisdn: str = ""
    language: str = ""

    @property
    def to(self) -> tuple[str, str]:
        """Return number and language of whoever is told."""
        if self.borrower is None:
            return self.msisdn, self.language or "en"
        return self.msisdn or self.borrower.msisdn, self.language or self.borrower.language


def send_notice(*, topic: str, payload: dict[str, Any], at: datetime) -> None:
    """Tell a borrower what happened, once. What has been overtaken by events is not told.

    Raises:
        sms.NotSentYet: the aggregator could not be reached; the outbox tries again.
    """
    notice = NOTICES[topic](payload, at)
    if notice is None:
        return
    if _is_about_the_dead(notice):
        _written(topic, notice, at, Sms.State.STOPPED)
        return
    if (notice.unasked or notice.by_law) and not _may_disturb(topic, notice, payload, at):
        return
    if topic == "kin_asked" and not _may_ask_stranger(topic, notice, payload, at):
        return
    sms.send(_written(topic, notice, at), at)


def _is_about_the_dead(notice: Notice) -> bool:
    """Say whether a message would go to the own phone of somebody who has died, or is said to have; who tells of
    it, from whichever phone, is answered."""
    borrower = notice.borrower
    if borrower is None or notice.msisdn:
        return False
    return borrower.state == Borrower.State.DECEASED or borrower.hold == Borrower.Hold.DEATH


def _may_ask_stranger(topic: str, notice: Notice, payload: Payload, at: datetime) -> bool:
    """Say whether somebody who is no customer may be written to now: not after STOP, and in contact hours."""
    if preferences.stopped(notice.msisdn):
        return False
    country = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    if may_contact(country, at):
        return True
    due_at = next_opening(country, at)
    outbox.write(topic, reference=f"{notice.reference}:{due_at.date()}", at=at, due_at=due_at, **payload)
    return False


def _written(topic: str, notice: Notice, at: datetime, state: str = Sms.State.DUE) -> Sms:
    msisdn, language = notice.to
    with speaking(language):
        return sms.write(
            reference=notice.reference,
            kind=topic,
            msisdn=msisdn,
            text=notice.say(),
            language=language,
            at=at,
            borrower=notice.borrower,
            state=state,
        )


def _may_disturb(topic: str, notice: Notice, payload: Payload, at: datetime) -> bool:
    """Say whether an unasked message may go now; if not, record why or owe it for the morning."""
    if not _is_wanted(notice, at):
        _written(topic, notice, at, Sms.State.STOPPED)
        return False
    country = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    is_first = notice.by_law or _unasked_today(notice, country, at) < country.contact.messages_per_day
    if may_contact(country, at) and is_first:
        return True
    due_at = next_opening(country, at)
    outbox.write(topic, reference=f"{notice.reference}:{due_at.date()}", at=at, due_at=due_at, **payload)
    return False


def _is_wanted(notice: Notice, at: datetime) -> bool:
    """Say whether an unasked message is wanted at all."""
    borrower = notice.borrower
    if borrower is None or borrower.state in GONE:
        return False
    return notice.by_law or may_send(borrower, notice.purpose, at)


def _unasked_today(notice: Notice, country: Country, at: datetime) -> int:
    """Count what the borrower was sent today without having asked for it."""
    midnight = at.astimezone(country.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    sent = Sms.objects.filter(borrower=notice.borrower, kind__in=UNASKED, sent_at__gte=midnight)
    return sent.exclude(reference=notice.reference).count()


def next_opening(country: Country, at: datetime) -> datetime:
    """Return the next moment at which contact hours begin."""
    local = at.astimezone(country.zone)
    opens = country.contact.opens
    opening = local.replace(hour=opens.hour, minute=opens.minute, second=0, microsecond=0)
    return opening if local < opening else opening + timedelta(days=1)


# --- the topics ---------------------------------------------------------------------------------------------
def _application_decided(payload: Payload, at: datetime) -> Notice | None:
    application = Application.objects.select_related("borrower", "product_version", "decision").get(
        id=payload["application_id"]
    )
    if Loan.objects.filter(application=application).exclude(state=Loan.State.APPROVED).exists():
        return None  # it was paid out, or could not be: that has an SMS of its own
    review = getattr(application, "review", None)
    if review is not None:
        return Notice(
            f"application_reviewed:{application.id}",
            application.borrower,
            lambda: reviewed_words(application, review),
        )
    if Hop.objects.filter(application_id=application.id, final=True, decision_shown=True).exists():
        return None
    return Notice(
        f"application_decided:{application.id}", application.borrower, lambda: decision_words(application.decision)
    )


def reviewed_words(application: Application, review: Review) -> str:
    """Say what an officer decided, and of a decline why and what can be done now."""
    currency = application.product_version.currency
    values = {"amount": words.amount(application.received_cents, currency), "ref": application.reference}
    if review.approved and products.terms_of(application.product_version).kind == "credit_line":
        return line_words(application)
    if review.approved:
        return pgettext("sms", "Our officer approved your loan. %(amount)s is on its way, ref %(ref)s.") % values
    said = pgettext("sms", "Our officer looked at your request %(ref)s: not this time.") % values
    return " ".join(
        [said, words.reason_of(review.code, {}, currency), words.step_of(review.next_step, {}, currency)]
    )


def _loan_disbursed(payload: Payload, at: datetime) -> Notice | None:
    loan, draw, about = _paid(payload)
    standing = loans.standing(loan, _today(at))
    return Notice(f"loan_disbursed:{about}", loan.borrower, lambda: disbursed_words(loan, draw, standing))


def _today(at: datetime) -> date:
    return calendar.business_date(at, settings.TIME_ZONE)


def _paid(payload: Payload) -> tuple[Loan, Draw | None, str]:
    """Return the loan that a payout is of, the draw if it is a line's, and what a message is called after."""
    loan = Loan.objects.select_related("borrower").get(id=payload["loan_id"])
    draw = Draw.objects.get(id=payload["draw_id"]) if "draw_id" in payload else None
    return loan, draw, f"draw:{draw.pk}" if draw else str(loan.id)


def disbursed_words(loan: Loan, draw: Draw | None = None, standing: Standing | None = None) -> str:
    """Say that the money is there, what is to be repaid first and in all, by when and how; of a line, all that is
    owed now. Without a standing it is one sum."""
    assert loan.due_on is not None, f"loan {loan.id} is live without a due date"
    if standing is None or standing.is_one_sum:
        text = pgettext(
            "sms",
            "%(amount)s is in your %(wallet)s, ref %(ref)s. Repay %(total)s by %(day)s: dial %(code)s, "
            "or paybill %(paybill)s account %(account)s.",
        )
    else:
        text = pgettext(
            "sms",
            "%(amount)s is in your %(wallet)s, ref %(ref)s. Repay %(next)s by %(first)s, in all %(total)s by "
            "%(day)s. Paybill %(paybill)s, account %(account)s.",
        )
    said = text % {
        "amount": words.amount((draw or loan).received_cents, loan.currency),
        "total": words.amount(loan.outstanding_cents if draw else loan.total_cents, loan.currency),
        "next": words.amount(standing.next_cents if standing else 0, loan.currency),
        "first": words.day(standing.next_on if standing else loan.due_on),
        "ref": loan.reference,
        "wallet": words.wallet(),
        "day": words.day(loan.due_on),
        "code": settings.USSD_CODE,
        "paybill": settings.PAYBILL,
        "account": words.local_number(loan.borrower.msisdn),
    }
    if loan.refinances is None:
        return said
    return f"{said} " + pgettext("sms", "It paid off your loan %(ref)s.") % {"ref": loan.refinances.reference}


def _disbursement_failed(payload: Payload, at: datetime) -> Notice | None:
    loan, draw, about = _paid(payload)
    return Notice(f"disbursement_failed:{about}", loan.borrower, lambda: not_disbursed_words(loan, draw))


def not_disbursed_words(loan: Loan, draw: Draw | None = None) -> str:
    """Say that no money came and nothing is owed for it."""
    if loan.refinances_id or (draw and loan.outstanding_cents):
        said = pgettext(
            "sms",
            "We could not send %(amount)s, ref %(ref)s. What you owe is unchanged. Dial %(code)s to ask again.",
        )
    else:
        said = pgettext(
            "sms", "We could not send %(amount)s, ref %(ref)s. You owe nothing. Dial %(code)s to ask again."
        )
    return said % {
        "amount": words.amount((draw or loan).received_cents, loan.currency),
        "ref": loan.reference,
        "code": settings.USSD_CODE,
    }


def _repayment_received(payload: Payload, at: datetime) -> Notice | None:
    receipt = Receipt.objects.select_related("borrower").get(id=payload["receipt_id"])
    if receipt.borrower is None or receipt.reversed_at or payload["nth"] != receipts.times_released(receipt):
        return None  # it is not theirs any more
    repayment = Repayment.objects.filter(receipt=receipt).select_related("loan").first()
    loan, today = (repayment.loan if repayment else None), _today(at)
    standing = loans.standing(loan, today) if loan else None
    owes_nothing = not _owes(receipt.borrower)
    return Notice(
        _thanks(payload),
        receipt.borrower,
        lambda: received_words(receipt, loan, owes_nothing, standing, today),
    )


def _thanks(payload: Payload) -> str:
    return f"repayment_received:{payload['receipt_id']}:{payload['nth']}"


def _repayment_undone(payload: Payload, at: datetime) -> Notice | None:
    if not Sms.objects.filter(reference=_thanks(payload)).exists():
        return None  # nobody had thanked them for it
    receipt = Receipt.objects.get(id=payload["receipt_id"])
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    loan, today = loans.loan_to_repay(borrower.identity_index), _today(at)
    standing = loans.standing(loan, today) if loan else None
    return Notice(
        f"repayment_undone:{receipt.id}:{payload['nth']}",
        borrower,
        lambda: undone_words(receipt, loan, standing, today),
    )


def undone_words(receipt: Receipt, loan: Loan | None, standing: Standing | None, today: date) -> str:
    """Say that a payment counts no more, why, and what is owed now; `loan` is the one to repay."""
    values = {
        "amount": words.amount(receipt.amount_cents, receipt.currency),
        "receipt": words.reference(receipt.receipt_no),
        "wallet": words.wallet(),
    }
    if receipt.state == Receipt.State.REVERSED:
        why = pgettext(
            "sms", "%(wallet)s took back your payment of %(amount)s, receipt %(receipt)s. It no longer counts."
        )
    else:
        why = pgettext(
            "sms", "We counted %(amount)s, receipt %(receipt)s, for you by mistake: it is not your payment."
        )
    left = pgettext("sms", "You owe nothing.") if loan is None else f"{owing.owed(loan, standing, today)}."
    return f"{why % values} {left}"


def _owes(borrower: Borrower) -> bool:
    """Say whether the person, on whichever number, has a loan that is open or was written off unpaid."""
    person = borrower.identity_index
    return loans.open_loan_of_person(person) is not None or loans.loan_to_repay(person) is not None


def received_words(
    receipt: Receipt, loan: Loan | None, owes_nothing: bool, standing: Standing | None, today: date
) -> str:
    """Say what came in and where that leaves the customer; `loan` is what it repaid."""
    if loan is not None and loan.state == Loan.State.WRITTEN_OFF:
        lines = [_recovered_words(receipt, loan)]
    else:
        lines = _repaid_words(receipt, loan, owes_nothing, standing, today)
    if receipt.over_cents:
        lines.append(
            pgettext("sms", "You paid %(amount)s too much: it is kept for you.")
            % {"amount": words.amount(receipt.over_cents, receipt.currency)}
        )
    return " ".join(lines)


def _recovered_words(receipt: Receipt, loan: Loan) -> str:
    return pgettext("sms", "Received %(amount)s for loan %(ref)s that was written off. Thank you.") % {
        "amount": words.amount(receipt.amount_cents, receipt.currency),
        "ref": loan.reference,
    }


def _repaid_words(
    receipt: Receipt, loan: Loan | None, owes_nothing: bool, standing: Standing | None, today: date
) -> list[str]:
    lines = [
        pgettext("sms", "Received %(amount)s, receipt %(receipt)s.")
        % {
            "amount": words.amount(receipt.amount_cents, receipt.currency),
            "receipt": words.reference(receipt.receipt_no),
        }
    ]
    if loan is not None and loan.outstanding_cents:
        lines.append(f"{owing.owed(loan, standing, today)}.")
    elif owes_nothing:
        lines.append(pgettext("sms", "You owe nothing. Thank you."))
    return lines


def _refund_given(payload: Payload, at: datetime) -> Notice | None:
    refund = Refund.objects.select_related("borrower", "intent").get(id=payload["refund_id"])
    receipt_no = payout_receipt(refund) if refund.way == Refund.Way.WALLET else ""
    return Notice(f"refund_given:{refund.id}", refund.borrower, lambda: given_back_words(refund, receipt_no))


def given_back_words(refund: Refund, receipt_no: str) -> str:
    """Say that what was paid too much is back, and where; `receipt_no` is the operator's, of a payout."""
    values = {
        "amount": words.amount(refund.amount_cents, refund.currency),
        "receipt": words.reference(receipt_no),
        "wallet": words.wallet(),
    }
    if refund.way == Refund.Way.SAVINGS:
        return pgettext("sms", "%(amount)s that you paid too much is in your savings now.") % values
    return (
        pgettext("sms", "%(amount)s that you paid too much is in your %(wallet)s, receipt %(receipt)s. Thank you.")
        % values
    )


def _refund_failed(payload: Payload, at: datetime) -> Notice | None:
    refund = Refund.objects.select_related("borrower").get(id=payload["refund_id"])
    if refund.state != Refund.State.FAILED:
        return None  # it arrived after all
    return Notice(f"refund_failed:{refund.id}", refund.borrower, lambda: not_given_back_words(refund))


def not_given_back_words(refund: Refund) -> str:
    """Say that money did not go back and is not lost."""
    return pgettext(
        "sms",
        "We could not give back %(amount)s that you paid too much. It is still kept for you. "
        "Send HELP and an officer calls you.",
    ) % {"amount": words.amount(refund.amount_cents, refund.currency)}


def _repayment_not_made(payload: Payload, at: datetime) -> Notice | None:
    intent = PaymentIntent.objects.select_related("borrower", "loan", "payer").get(id=payload["intent_id"])
    if intent.state != PaymentIntent.State.FAILED or (intent.loan and not intent.loan.owing_cents):
        return None  # paid by now, after all or by another road
    is_unknown = intent.attempts.filter(result_code=GAVE_UP).exists()
    say = unanswered_words if is_unknown else not_made_words
    return Notice(f"repayment_not_made:{intent.id}", intent.payer or intent.borrower, lambda: say(intent))


def not_made_words(intent: PaymentIntent) -> str:
    """Say that a prompt took no money, and the other ways to pay."""
    return pgettext(
        "sms",
        "Your payment of %(amount)s was not made; nothing was taken. Dial %(code)s to try again, "
        "or paybill %(paybill)s account %(account)s.",
    ) % _ways_to_pay(intent)


def unanswered_words(intent: PaymentIntent) -> str:
    """Say that nobody has told whether a prompt took money, so that nobody pays twice for want of an answer."""
    return pgettext(
        "sms",
        "No answer yet about your payment of %(amount)s. If your wallet paid, it counts. "
        "If not, dial %(code)s or paybill %(paybill)s account %(account)s.",
    ) % _ways_to_pay(intent)


def _ways_to_pay(intent: PaymentIntent) -> dict[str, str]:
    return {
        "amount": words.amount(intent.amount_cents, intent.currency),
        "code": settings.USSD_CODE,
        "paybill": settings.PAYBILL,
        "account": saving_words.account_to_type(intent),
    }


def _paid_for_another(payload: Payload, at: datetime) -> Notice | None:
    receipt = Receipt.objects.select_related("borrower", "attempt__intent__payer").get(id=payload["receipt_id"])
    payer = receipt.attempt.intent.payer if receipt.attempt else None
    if payer is None or receipt.borrower is None or receipt.reversed_at:
        return None
    name = words.masked_name(receipt.borrower.full_name)
    return Notice(f"paid_for_another:{receipt.id}", payer, lambda: paid_for_words(receipt, name))


def paid_for_words(receipt: Receipt, name: str) -> str:
    """Thank whoever paid for somebody else, and say nothing about what is owed."""
    return pgettext("sms", "You paid %(amount)s for %(name)s, receipt %(receipt)s. Thank you.") % {
        "amount": words.amount(receipt.amount_cents, receipt.currency),
        "name": name,
        "receipt": words.reference(receipt.receipt_no),
    }


def _savings_did_not_pay(payload: Payload, at: datetime) -> Notice | None:
    instruction = SavingsInstruction.objects.select_related("account__borrower").get(id=payload["instruction_id"])
    borrower, cents = instruction.account.borrower, instruction.amount_cents
    if borrower is None:
        return None
    currency = instruction.account.currency
    return Notice(
        f"savings_did_not_pay:{instruction.id}", borrower, lambda: not_from_savings_words(cents, currency)
    )


def not_from_savings_words(cents: int, currency: str) -> str:
    """Say that savings did not pay a loan, that they are still there, and how to pay otherwise."""
    return pgettext(
        "sms",
        "%(amount)s of your savings could not go to your loan; it is still in your savings. Dial %(code)s to pay "
        "in another way.",
    ) % {"amount": words.amount(cents, currency), "code": settings.USSD_CODE}


# --- what was agreed beside the plan --------------------------------------------------------------------------
def _promise_made(payload: Payload, at: datetime) -> Notice | None:
    promise = Promise.objects.select_related("borrower", "loan").get(id=payload["promise_id"])
    return Notice(f"promise_made:{promise.id}", promise.borrower, lambda: promise_words(promise))


def promise_words(promise: Promise) -> str:
    """Confirm a promise, and say how to keep it."""
    return pgettext(
        "sms",
        "You promised %(amount)s by %(day)s, loan %(ref)s. No reminders until then. Dial %(code)s, "
        "or paybill %(paybill)s account %(account)s.",
    ) % {
        "amount": words.amount(promise.amount_cents, promise.loan.currency),
        "day": words.day(promise.promised_on),
        "ref": promise.loan.reference,
        "code": settings.USSD_CODE,
        "paybill": settings.PAYBILL,
        "account": words.local_number(promise.borrower.msisdn),
    }


def _loan_changed(payload: Payload, at: datetime) -> Notice | None:
    loan, today = Loan.objects.select_related("borrower").get(id=payload["loan_id"]), _today(at)
    standing = loans.standing(loan, today)
    # Named by the loan as it stands: a change of the same kind later is told again.
    reference = f"loan_changed:{loan.id}:{payload['kind']}:{loan.outstanding_cents}:{loan.due_on}"
    return Notice(reference, loan.borrower, lambda: changed_words(payload["kind"], loan, standing, today))


def changed_words(kind: str, loan: Loan, standing: Standing | None, today: date) -> str:
    """Say what was changed of a loan, and what is owed now and when."""
    done = {
        "extend": pgettext("sms", "Your loan %(ref)s has more time."),
        "skip": pgettext("sms", "One payment of your loan %(ref)s is skipped."),
        "cancel": pgettext("sms", "Your loan %(ref)s is given back; there is no fee."),
        "reschedule": pgettext("sms", "Your loan %(ref)s has new dates."),
    }[kind]
    left = f"{owing.owed(loan, standing, today)}." if loan.owing_cents else pgettext("sms", "You owe nothing.")
    return f"{done % {'ref': loan.reference}} {left}"


def _plan_wish(payload: Payload, at: datetime) -> Notice | None:
    case = Case.objects.select_related("borrower").get(id=payload["case_id"])
    if case.borrower is None or case.closed_at is not None:
        return None
    return Notice(f"plan_wish:{case.id}", case.borrower, wish_words)


def wish_words() -> str:
    return pgettext(
        "sms",
        "We have your wish for another date. An officer decides and tells you; until then your dates stay. "
        "Paying a part helps. Dial %(code)s.",
    ) % {"code": settings.USSD_CODE}


def _dates_stay(payload: Payload, at: datetime) -> Notice | None:
    case, today = Case.objects.get(id=payload["case_id"]), _today(at)
    # What was asked for goes when its owner asks to be forgotten; what the case is about stays.
    loan = Loan.objects.select_related("borrower").filter(id=case.subject_key.removeprefix("loan:")).first()
    if loan is None or loan.state != Loan.State.LIVE:
        return None
    standing = loans.standing(loan, today)
    return Notice(f"dates_stay:{case.id}", loan.borrower, lambda: dates_stay_words(loan, standing, today))


def dates_stay_words(loan: Loan, standing: Standing | None, today: date) -> str:
    """Say that a wish for another date was not granted, and what is owed when."""
    return pgettext(
        "sms",
        "We could not move your dates. %(owed)s. A part helps. Dial %(code)s.",
    ) % {"owed": owing.owed(loan, standing, today), "code": settings.USSD_CODE}


def _repayment_reminder(payload: Payload, at: datetime) -> Notice | None:
    """Remind of one part of a loan, unless it is paid by now, or nothing is asked of its borrower any more."""
    loan = Loan.objects.select_related("borrower", "product_version").get(id=payload["loan_id"])
    due_on, today = date.fromisoformat(payload["due_on"]), _today(at)
    step = step_of((today - due_on).days)
    if not dues.may_remind(loan, due_on, today) or _is_said_otherwise(step, loan, today):
        return None
    part_cents = dues.part_due_on(loan, due_on)
    ways = _ways_out(loan, today) if step == Step.OFFER else frozenset[str]()
    return Notice(
        f"repayment_reminder:{loan.id}:{due_on.isoformat()}:{payload['days']}",
        loan.borrower,
        lambda: reminder_words(loan, part_cents, due_on, today, ways),
        unasked=True,
    )


def _is_said_otherwise(step: Step, loan: Loan, today: date) -> bool:
    """Say whether somebody has called already, or the notice before a bureau's record is the formal one."""
    if step == Step.CALL:
        return not lateness.call_is_waiting(loan.id)
    return step == Step.FORMAL and bureau.will_be_noticed(loan, today)


def _ways_out(loan: Loan, today: date) -> frozenset[str]:
    """Return what is really granted to who cannot pay all: another day by a promise, one payment skipped."""
    ways = {"skip"} & set(changes.granted(loan, today))
    return frozenset(ways | ({"day"} if promises.broken(loan.id) < MOST_BROKEN else set()))


def _campaign(payload: Payload, at: datetime) -> Notice | None:
    """Say what a campaign has for one of its members, unless by now there is nothing to say."""
    member = CampaignMember.objects.select_related("campaign", "borrower").get(id=payload["member_id"])
    with speaking(member.borrower.language):
        said = campaigns.words_for(member)
    if said is None or member.borrower.state != Borrower.State.ACTIVE:
        return None
    return Notice(
        f"campaign:{member.id}", member.borrower, lambda: said, unasked=True, purpose=Preference.Purpose.TIPS
    )


def reminder_words(
    loan: Loan, part_cents: int, due_on: date, today: date, ways: frozenset[str] = frozenset()
) -> str:
    """Remind calmly: amount, day, how to pay or what can be had instead, how to make it stop.

    Where the part is not all that is owed, say both, so that nobody takes it for the whole. `ways`: what the
    product grants who cannot pay it ("day", "skip"); nothing else is offered.
    """
    late = (today - due_on).days
    step = step_of(late)
    values = {
        "amount": words.amount(part_cents, loan.currency),
        "all": words.amount(loan.outstanding_cents, loan.currency),
        "ref": loan.reference,
        "day": words.day(due_on),
        "days": abs(late),
        "code": settings.USSD_CODE,
        "late": code_to_dial(),
    }
    says_both = loan.outstanding_cents > part_cents and step not in (Step.OFFER, Step.CALL)
    in_all = pgettext("sms", "You owe %(all)s in all.") if says_both else ""
    sentences = (_what_is_due(step, late), in_all, _what_to_do(step, ways))
    return " ".join(sentence % values for sentence in sentences if sentence)


def _what_is_due(step: Step, late: int) -> str:
    if step == Step.FORMAL:
        return pgettext("sms", "Jirani, formal notice: %(amount)s of loan %(ref)s was due on %(day)s.")
    if late > 0:
        return npgettext(
            "sms",
            "Jirani: %(amount)s was due %(days)d day ago.",
            "Jirani: %(amount)s was due %(days)d days ago.",
            late,
        )
    if late == 0:
        return pgettext("sms", "Jirani: %(amount)s is due today.")
    return pgettext("sms", "Jirani: %(amount)s is due on %(day)s.")


def _what_to_do(step: Step, ways: frozenset[str]) -> str:
    match step:
        case Step.WHY:
            return pgettext("sms", "Tell us why or pay a part: dial %(late)s. No reminders: send STOP.")
        case Step.OFFER:
            return _offer(ways)
        case Step.CALL:
            return pgettext(
                "sms", "An officer calls you to find a way. Or pay a part: dial %(code)s. No reminders: send STOP."
            )
        case Step.FORMAL:
            return pgettext("sms", "Pay a part or talk with us: dial %(late)s.")
        case _:
            return pgettext("sms", "Dial %(code)s to pay all or a part. No reminders: send STOP.")


def _offer(ways: frozenset[str]) -> str:
    """Offer a part, and what else is granted."""
    if ways == {"day", "skip"}:
        return pgettext(
            "sms", "Pay a part, promise another day or skip one payment: dial %(late)s. No reminders: send STOP."
        )
    if "day" in ways:
        return pgettext("sms", "Pay a part or promise another day: dial %(late)s. No reminders: send STOP.")
    if "skip" in ways:
        return pgettext("sms", "Pay a part or skip one payment: dial %(late)s. No reminders: send STOP.")
    return pgettext("sms", "You can pay a part: dial %(late)s. No reminders: send STOP.")


def _bureau_notice(payload: Payload, at: datetime) -> Notice | None:
    notice = BureauNotice.objects.select_related("loan__borrower").get(id=payload["notice_id"])
    on = calendar.business_date(at, settings.TIME_ZONE)
    law = products.country_rules(settings.COUNTRY, on).bureau
    if law is None or not bureau.still_holds(notice):
        return None
    by = on + timedelta(days=law.notice_days)
    return Notice(
        f"bureau_notice:{notice.id}", notice.loan.borrower, lambda: bureau_words(notice.loan, by), by_law=True
    )


def bureau_words(loan: Loan, by: date) -> str:
    """Warn of a record at the credit bureau, with the day until which paying prevents it."""
    return pgettext(
        "sms",
        "Jirani: %(amount)s, ref %(ref)s, is late. If you do not pay by %(day)s, a credit bureau (CRB) will "
        "know. Dial %(code)s to pay all or a part.",
    ) % {
        "amount": words.amount(loan.outstanding_cents, loan.currency),
        "ref": loan.reference,
        "day": words.day(by),
        "code": settings.USSD_CODE,
    }


def _savings_terms_change(payload: Payload, at: datetime) -> Notice | None:
    account = SavingsAccount.objects.select_related("product_version").get(id=payload["account_id"])
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    change = savings_versions.change_to(account, payload["version_id"])
    if account.closing_at or borrower.state == Borrower.State.DECEASED or change is None:
        return None
    return Notice(
        f"savings_terms_change:{payload['version_id']}:{account.id}:{borrower.id}",
        borrower,
        lambda: saving_words.terms_change_words(change, account.currency),
        by_law=True,
    )


def _deposit_received(payload: Payload, at: datetime) -> Notice | None:
    receipt = Receipt.objects.select_related("borrower").get(id=payload["receipt_id"])
    saving = SavingsInstruction.objects.select_related("account__group").filter(receipt=receipt).first()
    if receipt.borrower is None or saving is None or saving.state == SavingsInstruction.State.REJECTED:
        return None  # it is not saved any more, which has an SMS of its own
    # Thanked for like any payment: should it be taken back, that is told like any payment, too.
    return Notice(_thanks(payload), receipt.borrower, lambda: saving_words.deposit_words(receipt, saving))


def _deposit_kept(payload: Payload, at: datetime) -> Notice | None:
    receipt = Receipt.objects.select_related("borrower").get(id=payload["receipt_id"])
    if receipt.borrower is None or not receipt.over_cents:
        return None
    return Notice(f"deposit_kept:{receipt.id}", receipt.borrower, lambda: saving_words.kept_words(receipt))


def _savings_paid_out(payload: Payload, at: datetime) -> Notice | None:
    asked = SavingsInstruction.objects.select_related(
        "account__group", "account__borrower", "member__borrower"
    ).get(id=payload["instruction_id"])
    whose = asked.member.borrower if asked.member else asked.account.borrower
    assert whose is not None, "money leaves a group for a member"
    is_paid = asked.state == SavingsInstruction.State.CONFIRMED
    say = saving_words.paid_out_words if is_paid else saving_words.not_paid_out_words
    return Notice(f"savings_paid_out:{asked.id}", whose, lambda: say(asked))


def _group_joined(payload: Payload, at: datetime) -> Notice | None:
    member = GroupMember.objects.select_related("group__savings_account").get(id=payload["member_id"])
    account = member.group.savings_account
    is_of_now = member.left_at is None and member.joined_at == datetime.fromisoformat(payload["joined_at"])
    if not is_of_now or account.state == SavingsAccount.State.CLOSED:
        return None
    return Notice(
        f"group_joined:{member.id}:{payload['joined_at']}",
        Borrower.objects.get(id=payload["borrower_id"]),
        lambda: saving_words.joined_words(account),
    )


def _group_asked(payload: Payload, at: datetime) -> Notice | None:
    asked = GroupWithdrawal.objects.select_related("account__group", "asked_by__borrower").get(
        id=payload["withdrawal_id"]
    )
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    is_waiting = asked.state == GroupWithdrawal.State.ASKED
    if is_waiting != (payload["said"] == "asked"):
        return None  # it is decided by now, which has an SMS of its own
    say = saving_words.asked_words if is_waiting else saving_words.decided_words
    return Notice(f"group_{payload['said']}:{asked.id}:{borrower.id}", borrower, lambda: say(asked))


def _limit_raise_offered(payload: Payload, at: datetime) -> Notice | None:
    offered = LimitRaise.objects.select_related("borrower", "earned_by").get(id=payload["raise_id"])
    if offered.state != LimitRaise.State.OFFERED:
        return None
    return Notice(
        f"limit_raise_offered:{offered.id}",
        offered.borrower,
        lambda: raise_words(offered.limit_cents, offered.earned_by.currency),
        unasked=True,
        purpose=Preference.Purpose.OFFERS,
    )


def raise_words(limit_cents: int, currency: str) -> str:
    """Offer a higher limit without a push: more credit is not a gift."""
    return pgettext(
        "sms",
        "Jirani: you repaid on time. Your limit can be %(limit)s if you want it; you do not have to. "
        "Dial %(code)s, Loan. No offers: send STOP.",
    ) % {"limit": words.amount(limit_cents, currency), "code": settings.USSD_CODE}


def _pin_locked(payload: Payload, at: datetime) -> Notice | None:
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    if borrower.pin_locked_at is None:
        return None
    reference = f"pin_locked:{borrower.id}:{borrower.pin_locked_at.isoformat()}"
    return Notice(reference, borrower, lambda: pin_locked_words(borrower))


def pin_locked_words(borrower: Borrower) -> str:
    """Say what the screen says, when the lock opens by itself included, and the way to a person."""
    way = pgettext("sms", "Forgot it? Send HELP.")
    return f"Jirani: {locked_words(borrower)} {way}"


def _pin_reset(payload: Payload, at: datetime) -> Notice | None:
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    done = AuditEvent.objects.filter(action="pin_reset", borrower=borrower).order_by("-id").first()
    return Notice(f"pin_reset:{borrower.id}:{done.id if done else 0}", borrower, pin_reset_words)


def pin_reset_words() -> str:
    return pgettext(
        "sms",
        "An officer reset your Jirani PIN. Dial %(code)s and choose a new one. If you did not ask for this, "
        "send HELP at once.",
    ) % {"code": settings.USSD_CODE}


# --- requests -----------------------------------------------------------------------------------------------
def _request_taken(payload: Payload, at: datetime) -> Notice | None:
    case = Case.objects.select_related("borrower").get(id=payload["case_id"])
    if case.closed_at is not None or case.kind not in TAKEN:
        return None
    return _about(case, f"taken:{case.details.get('from', '')}", TAKEN[Case.Kind(case.kind)])


def _request_taken_up(payload: Payload, at: datetime) -> Notice | None:
    case = Case.objects.select_related("borrower").get(id=payload["case_id"])
    return None if case.closed_at else _about(case, "taken_up", taken_up_words)


def _request_answered(payload: Payload, at: datetime) -> Notice | None:
    case = Case.objects.select_related("borrower").get(id=payload["case_id"])
    say = ANSWERED.get(Case.Kind(case.kind))
    return _about(case, "answered", say) if say and case.closed_at else None


def _about(case: Case, what: str, say: Callable[[Case], str]) -> Notice:
    """Tell whoever asked, on the phone from which they asked."""
    return Notice(
        f"request:{case.id}:{what}", case.borrower, lambda: say(case), msisdn=case.msisdn, language=case.language
    )


def call_back_words(case: Case) -> str:
    """Say when an officer calls."""
    begins, ends = (datetime.fromisoformat(case.details[name]) for name in ("from", "to"))
    return pgettext(
        "sms",
        "Jirani: an officer calls you on %(day)s between %(from)s and %(to)s, ref %(ref)s. "
        "Nobody at Jirani asks for your PIN.",
    ) % {
        "day": words.day(calendar.business_date(begins, settings.TIME_ZONE)),
        "from": words.clock(begins),
        "to": words.clock(ends),
        "ref": case.reference,
    }


def _answer_day(case: Case) -> str:
    """Return until when a request is answered, as a clause of a sentence; empty where nothing names a time."""
    if case.answer_by is None:
        return ""
    return pgettext("sms", "We answer by %(day)s.") % {
        "day": words.day(calendar.business_date(case.answer_by, settings.TIME_ZONE))
    }


def complaint_taken_words(case: Case) -> str:
    """Confirm a complaint, with its reference and the day of the answer."""
    said = pgettext("sms", "Jirani has your complaint, ref %(ref)s.") % {"ref": case.reference}
    how = pgettext("sms", "To ask after it, dial %(code)s, More, Help.") % {"code": settings.USSD_CODE}
    return " ".join(part for part in (said, _answer_day(case), how) if part)


def taken_up_words(case: Case) -> str:
    """Say that a person has begun."""
    said = pgettext("sms", "Jirani: an officer looks into your complaint now, ref %(ref)s.") % {
        "ref": case.reference
    }
    return " ".join(part for part in (said, _answer_day(case)) if part)


def complaint_answered_words(case: Case) -> str:
    """Say what came of a complaint; when it is not what was hoped for, also who else hears it."""
    if case.outcome == Case.Outcome.PUT_RIGHT:
        said = pgettext("sms", "Complaint %(ref)s: you were right, and we put it right.") % {"ref": case.reference}
        return f"{said} {case.answer}"
    said = pgettext("sms", "Complaint %(ref)s: we found no mistake.") % {"ref": case.reference}
    return " ".join(part for part in (said, case.answer, _elsewhere_words(case)) if part)


def _elsewhere_words(case: Case) -> str:
    if not case.details.get("escalate_to"):
        return ""
    return pgettext("sms", "Not content? %(who)s") % {"who": case.details["escalate_to"]}


def taken_words(case: Case) -> str:
    """Confirm any other request, with its reference; what it is about is not for everybody who holds the phone."""
    said = pgettext("sms", "Jirani has your request, ref %(ref)s.") % {"ref": case.reference}
    return " ".join(part for part in (said, _answer_day(case)) if part)


def officer_calls_words(case: Case) -> str:
    """Say that a person calls about a lost phone or a PIN."""
    return pgettext(
        "sms", "Jirani has your request, ref %(ref)s. An officer calls you by tomorrow and never asks for your PIN."
    ) % {"ref": case.reference}


def correction_words(case: Case) -> str:
    """Say what came of a wish to correct."""
    if case.outcome == Case.Outcome.PUT_RIGHT:
        return pgettext("sms", "Request %(ref)s: your data at Jirani are corrected.") % {"ref": case.reference}
    return pgettext(
        "sms",
        "Request %(ref)s: we could not correct your data like that. Bring your ID card to an officer, "
        "or send HELP.",
    ) % {"ref": case.reference}


def condolence_words(case: Case) -> str:
    """Tell the next of kin that a death is recorded and that nobody is asked for money."""
    return pgettext(
        "sms",
        "Jirani: we are sorry for your loss. We will not write or call again, and ask nothing of the family. "
        "Ref %(ref)s.",
    ) % {"ref": case.reference}


TAKEN: dict[str, Callable[[Case], str]] = {
    Case.Kind.CALL_BACK: call_back_words,
    Case.Kind.COMPLAINT: complaint_taken_words,
    Case.Kind.CORRECTION: taken_words,
    Case.Kind.DATA_COPY: taken_words,
    Case.Kind.NEW_PIN: officer_calls_words,
    Case.Kind.LOST_PHONE: officer_calls_words,
}
ANSWERED: dict[str, Callable[[Case], str]] = {
    Case.Kind.COMPLAINT: complaint_answered_words,
    Case.Kind.CORRECTION: correction_words,
    Case.Kind.DEATH: condolence_words,
}


# --- people -------------------------------------------------------------------------------------------------
def _kin_asked(payload: Payload, at: datetime) -> Notice | None:
    kin = NextOfKin.objects.select_related("borrower").get(id=payload["kin_id"])
    if kin.ended_at is not None or kin.agreed_at is not None:
        return None
    return Notice(
        f"kin_asked:{kin.id}",
        None,
        lambda: kin_asked_words(kin.borrower),
        msisdn=kin.msisdn,
        language=kin.borrower.language,
    )


def kin_asked_words(borrower: Borrower) -> str:
    """Ask somebody whether they will speak for a customer who has died; nothing is said of any loan."""
    return pgettext(
        "sms",
        "%(name)s names you at Jirani as the person who tells us should they die. It costs nothing and you owe "
        "nothing. Reply YES or NO.",
    ) % {"name": words.first_name(borrower.full_name)}


def _newcomer_invited(payload: Payload, at: datetime) -> Notice | None:
    invitation = Invitation.objects.get(id=payload["invitation_id"])
    if not invitation.msisdn:
        return None  # it ended meanwhile
    return Notice(
        f"newcomer_invited:{invitation.id}",
        None,
        invitation_words,
        msisdn=invitation.msisdn,
        language=invitation.language,
    )


def invitation_words() -> str:
    """Ask a newcomer to dial, on the phone that an agent named; the agent sees no answer."""
    return pgettext(
        "sms",
        "An agent helps you to register with Jirani. Dial %(code)s, agree or refuse, and choose a PIN. "
        "Show your PIN to nobody, not to the agent.",
    ) % {"code": settings.USSD_CODE}


def _agent_decided(payload: Payload, at: datetime) -> Notice | None:
    agent = Agent.objects.select_related("borrower").get(id=payload["agent_id"])
    if agent.decided_at is None:
        return None
    return Notice(
        f"agent_decided:{agent.id}:{agent.decided_at.isoformat()}", agent.borrower, lambda: agent_words(agent)
    )


def agent_words(agent: Agent) -> str:
    """Tell a customer whether they may help others to register."""
    if agent.state == Agent.State.APPROVED:
        return pgettext(
            "sms", "You may now help others to register with Jirani. Dial %(code)s, More, Help, Agent."
        ) % {"code": settings.USSD_CODE}
    return pgettext("sms", "You can no longer help others to register with Jirani. Your own account is as before.")


def _data_copy(payload: Payload, at: datetime) -> Notice | None:
    """One of the messages of a copy. An account that was closed meanwhile gets none."""
    borrower = Borrower.objects.get(id=payload["borrower_id"])
    if borrower.state == Borrower.State.CLOSED:
        return None
    say = COPY[payload["part"]]
    held = personal_data.held(borrower)
    return Notice(f"data_copy:{payload['origin']}:{payload['part']}", borrower, lambda: say(held))


def copy_person_words(held: personal_data.Held) -> str:
    """Say who somebody is for us; the ID and the number are masked, since others may hold the phone."""
    return pgettext(
        "sms",
        "Your data 1/3: %(name)s, ID ending %(id)s, this number, since %(day)s %(year)d. Next of kin: %(kin)s.",
    ) % {
        "name": alphabet.active().clip(held.name, 40),
        "id": held.id_ending,
        "day": words.day(held.since),
        "year": held.since.year,
        "kin": alphabet.active().clip(held.next_of_kin, 20) or "-",
    }


def copy_money_words(held: personal_data.Held) -> str:
    """Say what is kept of somebody's money, in counts."""
    return pgettext(
        "sms",
        "Your data 2/3: loans %(loans)d, payments %(receipts)d, owed %(owed)s, saved %(saved)s, "
        "%(wallet)s lines %(lines)d.",
    ) % {
        "loans": held.loans,
        "receipts": held.receipts,
        "owed": words.amount(held.owed_cents),
        "saved": words.amount(held.saved_cents),
        "wallet": words.wallet(),
        "lines": held.wallet_movements,
    }


def copy_rest_words(held: personal_data.Held) -> str:
    """Say what somebody agreed to, who looked, and how to have everything on paper."""
    agreed = sum(held.consents.values())
    return pgettext(
        "sms",
        "Your data 3/3: agreed to %(agreed)d of %(asked)d purposes; officers looked %(looks)d times. "
        "All of it on paper: ask an officer, or send HELP.",
    ) % {"agreed": agreed, "asked": len(held.consents), "looks": held.looks}


COPY: dict[str, Callable[[personal_data.Held], str]] = {
    "person": copy_person_words,
    "money": copy_money_words,
    "rest": copy_rest_words,
}


NOTICES: dict[str, Callable[[Payload, datetime], Notice | None]] = {
    "application_decided": _application_decided,
    "loan_disbursed": _loan_disbursed,
    "disbursement_failed": _disbursement_failed,
    "repayment_received": _repayment_received,
    "paid_for_another": _paid_for_another,
    "savings_did_not_pay": _savings_did_not_pay,
    "promise_made": _promise_made,
    "loan_changed": _loan_changed,
    "plan_wish": _plan_wish,
    "dates_stay": _dates_stay,
    "refund_given": _refund_given,
    "refund_failed": _refund_failed,
    "repayment_undone": _repayment_undone,
    "repayment_not_made": _repayment_not_made,
    "bureau_notice": _bureau_notice,
    "savings_terms_change": _savings_terms_change,
    "repayment_reminder": _repayment_reminder,
    "campaign": _campaign,
    "limit_raise_offered": _limit_raise_offered,
    "deposit_received": _deposit_received,
    "deposit_kept": _deposit_kept,
    "savings_paid_out": _savings_paid_out,
    "savings_not_paid_out": _savings_paid_out,
    "group_joined": _group_joined,
    "group_asked": _group_asked,
    "group_decided": _group_asked,
    "pin_locked": _pin_locked,
    "pin_reset": _pin_reset,
    "request_taken": _request_taken,
    "request_taken_up": _request_taken_up,
    "request_answered": _request_answered,
    "kin_asked": _kin_asked,
    "newcomer_invited": _newcomer_invited,
    "agent_decided": _agent_decided,
    "data_copy": _data_copy,
}


# Sent without having been asked for: only in contact hours, only so many a day, and not after STOP.
UNASKED = ("repayment_reminder", "limit_raise_offered", "campaign")


def longest() -> Iterator[tuple[str, str]]:
    """Yield every message in the active language with its longest values, for measuring."""
    loan = samples.loan(borrower=samples.borrower())
    for sample in (samples.approved(), samples.declined(), samples.referred()):
        decision: Decision = sample.facts.decision(1)
        yield f"decision {decision.outcome}", decision_words(decision)
        yield "line opened", line_words(decision.application)
    asked = samples.decision().application
    yield "review approved", reviewed_words(asked, Review(approved=True))
    for code, step in applications.DECLINES.items():
        yield f"review {code}", reviewed_words(asked, Review(approved=False, code=code, next_step=step))
    yield from campaigns.longest()
    for standing in (samples.one_sum(), samples.parts()):
        yield "loan_disbursed", disbursed_words(loan, standing=standing)
    yield "disbursement_failed", not_disbursed_words(loan)
    yield "draw failed", not_disbursed_words(loan, Draw(principal_cents=samples.MOST_CENTS))
    lost = samples.loan(state=Loan.State.WRITTEN_OFF)
    tomorrow = samples.DAY + timedelta(days=1)
    for over_cents, owed in ((samples.MOST_CENTS, None), (0, loan), (samples.MOST_CENTS, lost)):
        for standing in (samples.one_sum(), samples.parts()):
            for today in (samples.DAY, tomorrow):
                receipt = samples.receipt(over_cents=over_cents)
                yield "repayment_received", received_words(receipt, owed, True, standing, today)
    for state in (Receipt.State.REVERSED, Receipt.State.SUSPENSE):
        for owed in (None, lost, loan):
            for today in (samples.DAY, tomorrow):
                receipt = samples.receipt(state=state)
                yield f"repayment_undone {state}", undone_words(receipt, owed, samples.one_sum(), today)
    for way in (Refund.Way.WALLET, Refund.Way.SAVINGS):
        yield f"refund_given {way}", given_back_words(samples.refund(way=way), samples.RECEIPT_NO)
    yield "refund_failed", not_given_back_words(samples.refund())
    yield "repayment_not_made", not_made_words(samples.intent())
    yield "repayment_not_made", unanswered_words(samples.intent())
    yield from _longest_of_plans(loan)
    yield "paid_for_another", paid_for_words(samples.receipt(), words.masked_name(samples.NAME))
    yield "savings_did_not_pay", not_from_savings_words(samples.MOST_CENTS, "KES")
    yield "bureau_notice", bureau_words(loan, samples.DAY)
    for change in samples.terms_changes():
        yield "savings_terms_change", saving_words.terms_change_words(change, "KES")
    yield from saving_samples.longest_messages()
    yield "limit_raise_offered", raise_words(samples.MOST_CENTS, "KES")
    yield "pin_locked", pin_locked_words(samples.borrower(pin_locked_at=samples.AT, pin_locks=1))
    yield "pin_reset", pin_reset_words()
    for say in {*TAKEN.values(), *ANSWERED.values(), taken_up_words}:
        for outcome in ("", *Case.Outcome):
            yield f"{say.__name__} {outcome}", say(samples.request(outcome=outcome))
    yield "kin_asked", kin_asked_words(samples.borrower())
    yield "newcomer_invited", invitation_words()
    for stands in (Agent.State.APPROVED, Agent.State.ENDED):
        yield f"agent {stands}", agent_words(Agent(state=stands))
    for part, tell in COPY.items():
        yield f"data_copy {part}", tell(samples.held())


def _longest_of_plans(loan: Loan) -> Iterator[tuple[str, str]]:
    """Yield what is said of when a loan is paid: what is late, promised, wished, changed."""
    for ways in (frozenset[str](), frozenset({"day"}), frozenset({"skip"}), frozenset({"day", "skip"})):
        for late in (*LADDER, 2, 6, 13, 27, 365):
            today = samples.DAY + timedelta(days=late)
            reminder = reminder_words(loan, samples.MOST_CENTS - 1, samples.DAY, today, ways)
            yield f"repayment_reminder {late} {sorted(ways)}", reminder
    yield "promise_made", promise_words(samples.promise())
    yield "plan_wish", wish_words()
    for standing in (samples.one_sum(), samples.parts()):
        for today in (samples.DAY, samples.DAY + timedelta(days=1)):
            yield "dates_stay", dates_stay_words(loan, standing, today)
            for kind in ("extend", "skip", "cancel", "reschedule"):
                yield f"loan_changed {kind}", changed_words(kind, loan, standing, today)
