"""Plays a story through the real services, the payment engine included; only the rail's answers are the story's."""

from functools import singledispatchmethod
from typing import Any

from lending import closing, ledger, ports
from lending.demo import story, writer
from lending.demo.economy import Portfolio
from lending.models import Application, Borrower, CountryPack, Loan, PaymentAttempt, ProductVersion
from lending.payments import engine, settling
from lending.ports import Accepted, Answer, Failed, PaymentOrder, Succeeded
from lending.rules import accounting, calendar
from lending.selectors import offers
from lending.services import applications, people, receipts, repayments, savings
from tests import factories

PIN = "8642"


class StoryScorer:
    """Says what the story says."""

    verdict: ports.Verdict

    def assess(self, application_id: int, at: Any) -> ports.Verdict:
        return StoryScorer.verdict


class StoryRail:
    """Takes every request under the number that the story gives it."""

    request_id = ""

    def disburse(self, order: PaymentOrder) -> Answer:
        return Accepted(StoryRail.request_id)

    request_payment = disburse
    query = disburse


class Player:
    """One story, played by those who would write it in life."""

    def __init__(self, portfolio: Portfolio, product: ProductVersion, pack: CountryPack) -> None:
        self.portfolio, self.product, self.pack = portfolio, product, pack
        self.zone = portfolio.setting.zone
        self.ids: dict[int, int] = {}

    def play_all(self) -> None:
        for event in self.portfolio.events:
            self.play(event)

    def _borrower(self, who: int) -> Borrower:
        return Borrower.objects.get(id=self.ids[who])

    @singledispatchmethod
    def play(self, event: Any) -> None:
        raise TypeError(type(event).__name__)

    @play.register
    def _(self, event: story.Funded) -> None:
        ledger.post(
            kind="capital",
            reference=event.reference,
            occurred_at=event.at,
            currency=self.product.currency,
            lines=accounting.capital(event.amount_cents),
        )

    @play.register
    def _(self, event: story.Registered) -> None:
        person = self.portfolio.population.people[event.who]
        self.ids[event.who] = people.register_borrower(
            msisdn=person.msisdn,
            full_name=person.full_name,
            national_id=person.national_id,
            pin=PIN,
            language=person.language,
            consents=person.consents,
            text_version=writer.TEXT_VERSION,
            origin="story",
            at=event.at,
        ).id

    @play.register
    def _(self, event: story.Asked) -> None:
        borrower = self._borrower(event.who)
        on = calendar.business_date(event.at, self.zone)
        priced = offers.quote(self.product, event.principal_cents, on)
        application = applications.submit(
            borrower_id=borrower.id,
            principal_cents=event.principal_cents,
            product_version_id=self.product.id,
            shown=applications.KeyFactsShown(
                writer.key_facts(priced, priced.due_on),
                borrower.language,
                writer.TEXT_VERSION,
                event.shown_at,
                event.terms_read,
            ),
            origin=event.origin,
            at=event.at,
        )
        said = event.verdict
        StoryScorer.verdict = ports.Verdict(
            outcome=said.outcome,
            score=None,
            offer={},
            limit_cents=said.limit_cents,
            inputs=said.inputs,
            reasons=tuple(ports.Reason(code, values) for code, values in said.reasons),
            next_step=said.next_step,
            model_version="",
            feature_version="",
            policy_version=writer.POLICY_VERSION,
        )
        applications.decide(application.id, event.decided_at)

    def _send(self, event: Any, at: Any, purpose: str) -> PaymentAttempt:
        """Let the engine submit what is due, and return the attempt that came of it."""
        StoryRail.request_id = event.request_id
        engine.run_due(at)
        return PaymentAttempt.objects.get(request_id=event.request_id, intent__purpose=purpose)

    @play.register
    def _(self, event: story.PaidOut) -> None:
        attempt = self._send(event, event.at, "disburse")
        answer = Succeeded(event.receipt_no, attempt.intent.amount_cents, attempt.intent.msisdn, event.completed_at)
        assert settling.settle_success(attempt.id, answer, at=event.settled_at, source="b2c") == "succeeded"

    @play.register
    def _(self, event: story.PayoutFailed) -> None:
        attempt = self._send(event, event.at, "disburse")
        settling.settle_failure(attempt.id, Failed(event.code, event.text), at=event.settled_at)

    def _prompt(self, event: Any) -> PaymentAttempt:
        repayments.request_repayment(
            borrower_id=self.ids[event.who], amount_cents=event.amount_cents, origin=event.origin, at=event.at
        )
        return self._send(event, event.sent_at, "collect")

    @play.register
    def _(self, event: story.PromptFailed) -> None:
        settling.settle_failure(self._prompt(event).id, Failed(event.code, event.text), at=event.settled_at)

    @play.register
    def _(self, event: story.PromptPaid) -> None:
        attempt = self._prompt(event)
        answer = Succeeded(event.receipt_no, event.amount_cents, attempt.intent.msisdn, event.paid_at)
        assert settling.settle_success(attempt.id, answer, at=event.settled_at, source="stk") == "succeeded"

    @play.register
    def _(self, event: story.PaybillPaid) -> None:
        receipts.record_receipt(
            provider="daraja",
            receipt_no=event.receipt_no,
            amount_cents=event.amount_cents,
            currency=self.product.currency,
            party=event.party,
            account_reference=event.account,
            paid_at=event.paid_at,
            source="c2b",
            at=event.at,
        )

    @play.register
    def _(self, event: story.WrittenOff) -> None:
        loan = Loan.objects.get(borrower_id=self.ids[event.who], state=Loan.State.LIVE)
        factories.write_off(loan, reason=event.reason, at=event.at)

    @play.register
    def _(self, event: story.SavingsMoved) -> None:
        savings.mirror_movement(
            borrower_id=self.ids[event.who],
            kind=event.kind,
            amount_cents=event.amount_cents,
            reference=event.reference,
            moved_at=event.at,
        )

    @play.register
    def _(self, event: story.DayClosed) -> None:
        closing.close_business(event.on, event.at)


def references() -> dict[str, int]:
    """Return the place of each application by the code that its customer was told."""
    told = Application.objects.order_by("id").values_list("reference", flat=True)
    return {reference: place for place, reference in enumerate(told)}
