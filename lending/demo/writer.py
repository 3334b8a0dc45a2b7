"""Puts the story into the books: what the services would have written, worked out in memory and loaded by COPY.

Every figure comes from the same pure rules that the services use (accounting, allocation, pricing, limits,
arrears); tests/lending/demo plays a story through both and compares all rows. What a service does beside the
books (audit trail, messages) is left out: nobody is told today about a loan of last year.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache, singledispatchmethod
from random import Random
from typing import Any

import numpy as np
from django.db import connection, models, transaction

from lending import chain, copying
from lending.closing import JOB, Work
from lending.demo import income, story
from lending.demo.economy import Portfolio
from lending.demo.story import Verdict
from lending.models import (
    Allocation,
    Application,
    Borrower,
    Case,
    Checkpoint,
    Consent,
    CountryPack,
    Decision,
    Entry,
    Installment,
    JobRun,
    Loan,
    LoanEvent,
    PaymentAttempt,
    PaymentIntent,
    Posting,
    ProductVersion,
    Receipt,
    Repayment,
    SavingsAccount,
    SavingsMovement,
    SavingsProductVersion,
    WalletMovement,
)
from lending.payments.attempts import reference_of
from lending.rules import accounting, arrears, calendar, limits, money
from lending.rules.accounting import Line
from lending.rules.allocation import KINDS, Due, allocate
from lending.rules.pricing import KeyFacts
from lending.rules.reminders import CALL_DAYS, LADDER
from lending.selectors import offers, products, savings
from lending.services import lateness
from lending.services.people import choose_pin_after_reset, identity_index
from lending.services.repayments import AFTER_SESSION

PROVIDER = "daraja"
SAVINGS_PRODUCT = "jirani-save"
TEXT_VERSION = "demo-1"
POLICY_VERSION = "starter"
DAY = timedelta(days=1)
BRIANS_PIN = "2580"
WRITE_OFF_REASON = "180 days late, not reached"
# The letters and digits of which lending.services.loans makes a code; asking PostgreSQL each time whether one
# is free, as it does there, would double the time of a load.
SPOKEN = "23456789ACDEFHJKMNPRTWXY"
# Children after parents, so that nothing is loaded before what it points to.
LOADED: tuple[type[models.Model], ...] = (
    Borrower, Consent, Application, Decision, Loan, LoanEvent, Installment, PaymentIntent, PaymentAttempt, Receipt,
    Repayment, Allocation, SavingsAccount, SavingsMovement, Posting, Entry, Case, Checkpoint, JobRun,
    WalletMovement,
)  # fmt: skip


class Rows:
    """Rows for one table, in the order in which they come to be; ids go on from where the table stands."""

    def __init__(self, model: type[models.Model], first_id: int, columns: str) -> None:
        self.model = model
        self.first_id = first_id
        self.columns = ("id", *columns.split())
        self.place = {column: place for place, column in enumerate(self.columns)}
        self.rows: list[list[Any]] = []

    def add(self, *values: Any) -> list[Any]:
        """Append a row and return it; its first value is its id."""
        row = [self.first_id + len(self.rows), *values]
        assert len(row) == len(self.columns), f"{self.model.__name__}: {len(row)} values"
        self.rows.append(row)
        return row

    def change(self, row: list[Any], **values: Any) -> None:
        """Change a row that is not loaded yet."""
        for column, value in values.items():
            row[self.place[column]] = value

    @property
    def last_id(self) -> int:
        return self.first_id + len(self.rows) - 1


@dataclass(slots=True)
class OpenLoan:
    """A loan while it is being played. `covered` is what allocations covered of its one installment."""

    row: list[Any]
    due: Due
    reservation: int
    reserved: list[Line]
    intent: list[Any]
    total_cents: int
    installment: int = 0
    disbursed_on: date | None = None
    due_on: date | None = None
    aged_on: date = date.min
    worst: int = 0
    is_written_off: bool = False
    covered: Due = field(default_factory=Due)

    @property
    def id(self) -> int:
        return int(self.row[0])

    @property
    def left(self) -> Due:
        return self.due.minus(self.covered)

    @property
    def is_live(self) -> bool:
        return self.left.total > 0 and not self.is_written_off


@dataclass(slots=True)
class Customer:
    """A borrower while the story is played."""

    row: list[Any]
    id: int
    rung: int = 0
    loan: OpenLoan | None = None
    savings: list[Any] | None = None


class Books:
    """Plays events in order and collects rows. One method for each kind of event, named after nothing else."""

    def __init__(
        self,
        portfolio: Portfolio,
        product: ProductVersion,
        savings_product: SavingsProductVersion,
        pack: CountryPack,
        first_ids: dict[type[models.Model], int],
        moved: dict[tuple[str, date], list[int]],
        closed: set[date],
        references: set[str],
    ) -> None:
        self.portfolio, self.product, self.pack = portfolio, product, pack
        self.savings_product = savings_product
        self.zone = portfolio.setting.zone
        self.customers: dict[int, Customer] = {}
        # What each account moved on each business date since the last checkpoint.
        self.moved = moved
        self.closed, self.references = closed, references
        self.live_due: Counter[date | None] = Counter()
        self.falling_due: dict[date, list[OpenLoan]] = defaultdict(list)
        self.late: dict[int, OpenLoan] = {}
        # The calls about what is late that nobody has made, by loan.
        self.calls: dict[int, list[Any]] = {}
        self.terms = products.terms_of(product)
        self._prices: dict[int, KeyFacts] = {}
        self.luck = Random(portfolio.setting.seed)  # noqa: S311 - codes of a story that repeats
        self._scratch_intent = PaymentIntent()

        def rows(model: type[models.Model], columns: str) -> Rows:
            return Rows(model, first_ids[model], columns)

        self.borrowers = rows(
            Borrower,
            "msisdn msisdn_sha256 full_name national_id identity_index language limit_cents rung registered_at",
        )
        self.consents = rows(Consent, "borrower_id purpose granted text_version language given_at")
        self.applications = rows(
            Application,
            "borrower_id product_version_id country_pack_id origin reference principal_cents fee_cents tax_cents"
            " apr key_facts_text key_facts_language key_facts_version key_facts_shown_at terms_read state"
            " submitted_at",
        )
        self.decisions = rows(
            Decision,
            "application_id outcome offer limit_cents inputs reasons next_step step_values policy_version"
            " decided_at",
        )
        self.loans = rows(
            Loan,
            "borrower_id application_id product_version_id country_pack_id reference identity_index currency"
            " principal_cents fee_cents tax_cents outstanding_cents state approved_at disbursed_at due_on"
            " written_off_cents settled_at written_off_at unpaid_since days_past_due worst_days_past_due aged_on"
            " next_action_on classification stopped_on",
        )
        self.events = rows(LoanEvent, "loan_id key kind business_date happened_at details reason booked_at")
        self.installments = rows(
            Installment, "loan_id number event_key starts_on due_on principal_cents fee_cents tax_cents"
        )
        self.intents = rows(
            PaymentIntent,
            "purpose business_key provider borrower_id loan_id msisdn amount_cents currency state due_at"
            " created_at",
        )
        self.attempts = rows(
            PaymentAttempt,
            "intent_id number provider provider_ref request_id state result_code result_text receipt_no"
            " created_at submitted_at completed_at settled_at",
        )
        self.receipts = rows(
            Receipt,
            "provider receipt_no amount_cents currency party account_reference paid_at source borrower_id"
            " attempt_id state over_cents recorded_at",
        )
        self.repayments = rows(Repayment, "loan_id receipt_id event_id amount_cents received_at")
        self.allocations = rows(
            Allocation, "installment_id event_key kind business_date " + " ".join(f"{kind}_cents" for kind in KINDS)
        )
        self.savings = rows(
            SavingsAccount,
            "borrower_id product_version_id partner currency balance_cents accrued_on period_on earns_from used_on"
            " opened_at",
        )
        self.movements = rows(SavingsMovement, "account_id kind amount_cents reference moved_at value_on")
        self.postings = rows(
            Posting, "kind reference borrower_id loan_id event_key reverses_id occurred_at business_date booked_at"
        )
        self.entries = rows(Entry, "posting_id account_id currency debit_cents credit_cents")
        self.cases = rows(
            Case,
            "kind subject_key borrower_id receipt_id attempt_id note answer_by opened_at closed_at resolution",
        )
        self.checkpoints = rows(
            Checkpoint, "account_id currency business_date last_entry_id debit_cents credit_cents made_at"
        )
        self.job_runs = rows(JobRun, "job business_date started_at finished_at result")

    def tables(self) -> list[Rows]:
        """Return the rows of every table but the wallet's."""
        return [value for value in vars(self).values() if isinstance(value, Rows)]

    # -- the ledger --------------------------------------------------------------------------------------
    def post(
        self,
        kind: str,
        reference: str,
        occurred_at: datetime,
        lines: Iterable[Line],
        *,
        booked_at: datetime,
        borrower: int | None = None,
        loan: int | None = None,
        event_key: str = "",
        reverses: int | None = None,
    ) -> int:
        """Add a posting with its entries, as lending.ledger.post does; return its id."""
        on = calendar.business_date(occurred_at, self.zone)
        posting = self.postings.add(
            kind, reference, borrower, loan, event_key, reverses, occurred_at, on, booked_at
        )[0]
        currency = self.product.currency
        for line in lines:
            self.entries.add(posting, line.account, currency, line.debit_cents, line.credit_cents)
            moved = self.moved.setdefault((line.account, on), [0, 0])
            moved[0] += line.debit_cents
            moved[1] += line.credit_cents
        return int(posting)

    def price(self, principal_cents: int) -> KeyFacts:
        """Price a loan; on which day it is paid out changes nothing for a term in days."""
        if principal_cents not in self._prices:
            self._prices[principal_cents] = offers.quote(self.product, principal_cents, self.product.effective_on)
        return self._prices[principal_cents]

    def due_on(self, paid_out_on: date) -> date:
        """Return when a loan that is paid out on a day falls due."""
        return calendar.add(paid_out_on, self.terms.term.every, self.terms.term.unit)

    def event(
        self,
        loan: "OpenLoan",
        key: str,
        kind: str,
        at: datetime,
        booked_at: datetime,
        reason: str = "",
        **details: Any,
    ) -> int:
        """Add a fact of a loan, as lending.services.life does; return its id."""
        on = calendar.business_date(at, self.zone)
        return int(self.events.add(loan.id, key, kind, on, at, json.dumps(details), reason, booked_at)[0])

    # -- events ------------------------------------------------------------------------------------------
    @singledispatchmethod
    def play(self, event: Any) -> None:
        """Do what the services would do about one event."""
        raise TypeError(f"no story holds a {type(event).__name__}")

    @play.register
    def _(self, event: story.Funded) -> None:
        lines = accounting.capital(event.amount_cents)
        self.post("capital", event.reference, event.at, lines, booked_at=event.at)

    @play.register
    def _(self, event: story.Registered) -> None:
        person = self.portfolio.population.people[event.who]
        row = self.borrowers.add(
            person.msisdn,
            hashlib.sha256(person.msisdn.encode()).hexdigest(),
            person.full_name,
            Borrower._meta.get_field("national_id").get_prep_value(person.national_id),
            identity_index(person.national_id),
            person.language,
            limits.limit_at(0, self.product.ladder_cents),
            0,
            event.at,
        )
        self.customers[event.who] = Customer(row, row[0])
        for purpose, granted in person.consents.items():
            self.consents.add(row[0], purpose, granted, TEXT_VERSION, person.language, event.at)

    @play.register
    def _(self, event: story.Asked) -> None:
        customer, priced = self.customers[event.who], self.price(event.principal_cents)
        application = self.applications.add(
            customer.id,
            self.product.id,
            self.pack.id,
            event.origin,
            self._reference(),
            event.principal_cents,
            priced.fee_cents,
            priced.tax_cents,
            priced.apr,
            key_facts(priced, self.due_on(calendar.business_date(event.at, self.zone))),
            self.portfolio.population.people[event.who].language,
            TEXT_VERSION,
            event.shown_at,
            event.terms_read,
            STATE_AFTER[event.verdict.outcome],
            event.at,
        )
        verdict = event.verdict
        self.decisions.add(
            application[0],
            verdict.outcome,
            "{}",
            verdict.limit_cents,
            json.dumps(verdict.inputs),
            json.dumps(reasons_of(verdict)),
            verdict.next_step,
            "{}",
            POLICY_VERSION,
            event.decided_at,
        )
        if verdict.outcome == Decision.Outcome.APPROVE:
            self._approve(customer, application, priced, event.decided_at)

    def _reference(self) -> str:
        while (reference := "".join(self.luck.choices(SPOKEN, k=6))) in self.references:
            pass
        self.references.add(reference)
        return reference

    def _approve(self, customer: Customer, application: list[Any], priced: KeyFacts, at: datetime) -> None:
        assert customer.loan is None, "one open loan for one person"
        reference = application[self.applications.place["reference"]]
        row = self.loans.add(
            customer.id,
            application[0],
            self.product.id,
            self.pack.id,
            reference,
            customer.row[self.borrowers.place["identity_index"]],
            self.product.currency,
            priced.principal_cents,
            priced.fee_cents,
            priced.tax_cents,
            priced.total_cents,
            Loan.State.APPROVED.value,
            at,
            *[None] * 2,
            0,
            *[None] * 3,
            0,
            0,
            None,
            None,
            arrears.classify(0),
            None,
        )
        lines = accounting.reservation(priced.principal_cents)
        reservation = self.post(
            "reservation", f"reserve:loan:{row[0]}", at, lines, booked_at=at, borrower=customer.id, loan=row[0]
        )
        intent = self._intent(
            "disburse", f"disburse:loan:{row[0]}", customer, row[0], priced.principal_cents, at, at
        )
        due = Due(fee=priced.fee_cents, tax=priced.tax_cents, principal=priced.principal_cents)
        customer.loan = OpenLoan(row, due, reservation, lines, intent, priced.total_cents)

    def _intent(
        self,
        purpose: str,
        business_key: str,
        customer: Customer,
        loan: int,
        cents: int,
        at: datetime,
        due_at: datetime,
    ) -> list[Any]:
        msisdn = customer.row[self.borrowers.place["msisdn"]]
        return self.intents.add(
            purpose,
            business_key,
            PROVIDER,
            customer.id,
            loan,
            msisdn,
            cents,
            self.product.currency,
            "open",
            due_at,
            at,
        )

    def _attempt(self, intent: list[Any], event: Any, sent_at: datetime, **outcome: Any) -> int:
        """Add the one try at an intent and settle both."""
        scratch = self._scratch_intent
        scratch.business_key = intent[self.intents.place["business_key"]]
        scratch.created_at = intent[self.intents.place["created_at"]]
        row = self.attempts.add(
            intent[0],
            1,
            PROVIDER,
            reference_of(scratch, 1),
            event.request_id,
            outcome["state"],
            outcome["code"],
            outcome.get("text", ""),
            outcome.get("receipt_no", ""),
            sent_at,
            sent_at,
            outcome.get("completed_at"),
            event.settled_at,
        )
        self.intents.change(intent, state=outcome["state"])
        return int(row[0])

    @play.register
    def _(self, event: story.PaidOut) -> None:
        customer = self.customers[event.who]
        loan = customer.loan
        assert loan is not None
        self._attempt(
            loan.intent, event, event.at, state="succeeded", code="0",
            receipt_no=event.receipt_no, completed_at=event.completed_at,
        )  # fmt: skip
        loan.disbursed_on = calendar.business_date(event.completed_at, self.zone)
        loan.due_on = self.due_on(loan.disbursed_on)
        self.loans.change(
            loan.row,
            state="live",
            disbursed_at=event.completed_at,
            due_on=loan.due_on,
            unpaid_since=loan.due_on,
            aged_on=loan.disbursed_on - timedelta(days=1),
            next_action_on=loan.due_on + timedelta(days=1),
        )
        loan.aged_on = loan.disbursed_on - timedelta(days=1)
        due, key = loan.due, f"disburse:{event.receipt_no}"
        accepted: dict[str, Any] = {"amount_cents": due.principal, "most_interest_cents": due.interest}
        self.event(loan, key, "disburse", event.completed_at, event.settled_at, **accepted)
        loan.installment = self.installments.add(
            loan.id, 1, key, loan.disbursed_on, loan.due_on, due.principal, due.fee, due.tax
        )[0]
        self.post(
            "disbursement",
            f"{key}:disbursement",
            event.completed_at,
            accounting.disbursement(due.principal, due.fee, due.tax),
            booked_at=event.settled_at,
            borrower=customer.id,
            loan=loan.id,
            event_key=key,
        )
        self.live_due[loan.due_on] += 1
        self.falling_due[loan.due_on].append(loan)

    @play.register
    def _(self, event: story.PayoutFailed) -> None:
        customer = self.customers[event.who]
        loan, customer.loan = customer.loan, None
        assert loan is not None
        self._attempt(loan.intent, event, event.at, state="failed", code=event.code, text=event.text)
        self.loans.change(loan.row, state="not_paid_out", outstanding_cents=0)
        self.post(
            "reversal",
            f"release:loan:{loan.id}",
            event.settled_at,
            [Line(line.account, line.credit_cents, line.debit_cents) for line in loan.reserved],
            booked_at=event.settled_at,
            borrower=customer.id,
            loan=loan.id,
            reverses=loan.reservation,
        )

    def _prompt(self, event: Any) -> list[Any]:
        customer = self.customers[event.who]
        assert customer.loan is not None
        return self._intent(
            "collect",
            f"collect:{event.origin}",
            customer,
            customer.loan.id,
            event.amount_cents,
            event.at,
            event.at + AFTER_SESSION,
        )

    @play.register
    def _(self, event: story.PromptFailed) -> None:
        self._attempt(self._prompt(event), event, event.sent_at, state="failed", code=event.code, text=event.text)

    @play.register
    def _(self, event: story.PromptPaid) -> None:
        customer = self.customers[event.who]
        intent = self._prompt(event)
        attempt = self._attempt(
            intent, event, event.sent_at, state="succeeded", code="0",
            receipt_no=event.receipt_no, completed_at=event.paid_at,
        )  # fmt: skip
        assert customer.loan is not None
        self._receive(
            event,
            customer,
            event.settled_at,
            party=intent[self.intents.place["msisdn"]],
            account=customer.loan.row[self.loans.place["reference"]],
            source="stk",
            attempt=attempt,
        )

    @play.register
    def _(self, event: story.PaybillPaid) -> None:
        if event.who is None:
            self._hold(event)
            return
        customer = self.customers[event.who]
        self._receive(event, customer, event.at, party=event.party, account=event.account, source="c2b")

    def _hold(self, event: story.PaybillPaid) -> None:
        receipt = self.receipts.add(
            PROVIDER, event.receipt_no, event.amount_cents, self.product.currency, event.party, event.account,
            event.paid_at, "c2b", None, None, "suspense", 0, event.at,
        )[0]  # fmt: skip
        lines = accounting.suspense(event.amount_cents)
        key = f"receipt:{PROVIDER}:{event.receipt_no}"
        self.post("suspense", f"{key}:suspense", event.paid_at, lines, booked_at=event.at, event_key=key)
        note = f"{event.receipt_no}: account {event.account!r} is nobody's"
        self.cases.add(
            "unmatched_receipt", f"receipt:{receipt}", None, receipt, None, note, None, event.at, None, ""
        )

    def _receive(
        self,
        event: story.PromptPaid | story.PaybillPaid,
        customer: Customer,
        at: datetime,
        *,
        party: str,
        account: str,
        source: str,
        attempt: int | None = None,
    ) -> None:
        """Count a receipt and allocate it to the live loan, as lending.services.receipts does."""
        loan = customer.loan if customer.loan and customer.loan.due_on else None
        dues = [loan.left] if loan else []
        covered, over_cents = allocate(event.amount_cents, dues, self.terms.allocation.past_due)
        total = covered[0] if covered else Due()
        receipt = self.receipts.add(
            PROVIDER, event.receipt_no, event.amount_cents, self.product.currency, party, account,
            event.paid_at, source, customer.id, attempt, "allocated", over_cents, at,
        )[0]  # fmt: skip
        key = f"receipt:{PROVIDER}:{event.receipt_no}"
        self.post(
            "repayment",
            f"{key}:{'repayment' if loan else 'kept'}",
            event.paid_at,
            accounting.repayment(total, over_cents),
            booked_at=at,
            borrower=customer.id,
            loan=loan.id if loan else None,
            event_key=key,
        )
        if loan is not None:
            fact = self.event(
                loan, key, "pay", event.paid_at, at, amount_cents=event.amount_cents, account="mpesa_paybill"
            )
            self.repayments.add(loan.id, receipt, fact, total.total, event.paid_at)
            self._repay(customer, loan, key, total, event.paid_at)

    def _repay(self, customer: Customer, loan: OpenLoan, key: str, paid: Due, paid_at: datetime) -> None:
        on = calendar.business_date(paid_at, self.zone)
        self.allocations.add(loan.installment, key, "paid", on, *(getattr(paid, kind) for kind in KINDS))
        loan.covered = Due(*(getattr(loan.covered, kind) + getattr(paid, kind) for kind in KINDS))
        self._bring_up(loan, on)
        self.loans.change(loan.row, outstanding_cents=loan.left.total)
        if loan.left.total:
            return
        self._leave(customer, loan)
        self.loans.change(loan.row, state="settled", settled_at=paid_at)
        ladder = self.product.ladder_cents
        customer.rung = limits.next_rung(customer.rung, loan.worst, top=len(ladder) - 1)
        self.borrowers.change(customer.row, rung=customer.rung, limit_cents=limits.limit_at(customer.rung, ladder))

    def _bring_up(self, loan: OpenLoan, on: date) -> None:
        """Note how late a loan is when something happens to it: the days before have ended."""
        assert loan.due_on is not None
        self._age(loan, max(loan.aged_on, on - timedelta(days=1)), arrears.days_past_due([loan.due_on], on))

    def _age(self, loan: OpenLoan, closed_on: date, late_now: int = 0) -> None:
        assert loan.due_on is not None
        late = arrears.days_past_due([loan.due_on], closed_on)
        loan.aged_on, loan.worst = closed_on, max(loan.worst, late, late_now)
        tomorrow = closed_on + timedelta(days=1)
        self.loans.change(
            loan.row,
            aged_on=closed_on,
            days_past_due=late,
            worst_days_past_due=loan.worst,
            classification=arrears.classify(late),
            next_action_on=max(tomorrow, loan.due_on + timedelta(days=1)),
        )

    def _leave(self, customer: Customer, loan: OpenLoan) -> None:
        """The loan owes nothing any more and is no longer live."""
        self.loans.change(
            loan.row, unpaid_since=None, days_past_due=0, classification=arrears.classify(0), next_action_on=None
        )
        self.live_due[loan.due_on] -= 1
        self.late.pop(loan.id, None)
        customer.loan = None

    @play.register
    def _(self, event: story.WrittenOff) -> None:
        customer = self.customers[event.who]
        loan = customer.loan
        assert loan is not None
        on, key, left = calendar.business_date(event.at, self.zone), f"write_off:loan:{loan.id}", loan.left
        self.event(loan, key, "write_off", event.at, event.at, WRITE_OFF_REASON)
        self._bring_up(loan, on)
        self.post(
            "write_off",
            f"{key}:write_off",
            event.at,
            accounting.write_off(left),
            booked_at=event.at,
            borrower=customer.id,
            loan=loan.id,
            event_key=key,
        )
        self.allocations.add(loan.installment, key, "written_off", on, *(getattr(left, kind) for kind in KINDS))
        self._leave(customer, loan)
        loan.is_written_off = True
        self.loans.change(
            loan.row,
            state="written_off",
            written_off_at=event.at,
            outstanding_cents=0,
            written_off_cents=left.total,
            stopped_on=on,
        )

    @play.register
    def _(self, event: story.SavingsMoved) -> None:
        customer, saving = self.customers[event.who], self.savings_product
        on = calendar.business_date(event.at, self.zone)
        if customer.savings is None:
            customer.savings = self.savings.add(
                customer.id, saving.id, saving.partner, saving.currency, 0, on - DAY, on, on, on, event.at
            )
        account = customer.savings
        deposit = event.kind == "deposit"
        self.movements.add(account[0], event.kind, event.amount_cents, event.reference, event.at, on)
        account[self.savings.place["balance_cents"]] += event.amount_cents if deposit else -event.amount_cents
        self.savings.change(account, used_on=on)
        legs = accounting.savings_deposit if deposit else accounting.savings_withdrawal
        self.post(
            "savings",
            f"savings:{event.reference}",
            event.at,
            legs(event.amount_cents, saving.partner),
            booked_at=event.at,
            borrower=customer.id,
        )

    @play.register
    def _(self, event: story.DayClosed) -> None:
        if event.on in self.closed:
            return
        today = event.on + timedelta(days=1)
        for due_on in [due_on for due_on in self.falling_due if due_on < event.on]:
            self.late |= {loan.id: loan for loan in self.falling_due.pop(due_on) if loan.is_live}
        aged = [loan for loan in self.late.values() if loan.aged_on < event.on]
        for loan in aged:
            self._age(loan, event.on)
        self._queue_calls(today, event.at)
        reminders = sum(self.live_due[today - timedelta(days=days)] for days in LADDER)
        work = asdict(Work(aged=len(aged)))
        # No brake is pulled in the story: its lender looks at the losses and goes on. Nobody is warned of a bureau
        # either: that would be a message about last year.
        closed = {
            "reminders": reminders,
            "bureau_notices": 0,
            "sweeps": 0,
            "promises": 0,
            "paused": [],
            "checkpoints": self._checkpoint(event.at),
        }
        result = work | closed
        self.job_runs.add(JOB, event.on, event.at, event.at, json.dumps(result))

    def _queue_calls(self, today: date, at: datetime) -> None:
        """Close the calls that are needless now and queue those of the day, as lending.services.lateness does."""
        for loan_id in [loan_id for loan_id in self.calls if loan_id not in self.late]:
            self.cases.change(self.calls.pop(loan_id), closed_at=at, resolution=lateness.NEEDLESS)
        days = [today - timedelta(days=late) for late in CALL_DAYS]
        uncalled = (loan for loan in self.late.values() if loan.id not in self.calls)
        for loan in sorted(uncalled, key=lambda one: one.id):
            if (due_on := loan.due_on) is None or due_on not in days:
                continue
            note = lateness.call_note(loan.left.total, self.product.currency, due_on)
            borrower = loan.row[self.loans.place["borrower_id"]]
            self.calls[loan.id] = self.cases.add(
                "late_call", f"loan:{loan.id}", borrower, None, None, note, at + lateness.CALL_WITHIN, at, None, ""
            )

    def _checkpoint(self, at: datetime) -> int:
        moved, self.moved = self.moved, {}
        for (account, on), (debits, credits) in moved.items():
            self.checkpoints.add(account, self.product.currency, on, self.entries.last_id, debits, credits, at)
        return len(moved)


STATE_AFTER = {"approve": "approved", "decline": "declined", "refer": "referred"}


def reasons_of(verdict: Verdict) -> list[dict[str, Any]]:
    """Return a verdict's reasons in the shape in which a decision keeps them."""
    return [{"code": code, "values": dict(values)} for code, values in verdict.reasons]


@lru_cache(maxsize=8192)
def key_facts(priced: KeyFacts, due_on: date) -> str:
    """Return the key facts as they stood on the screen, a line each."""

    def show(cents: int) -> str:
        return money.show(cents, priced.currency)

    return (
        f"You get {show(priced.principal_cents)}\nFee {show(priced.fee_cents)}\nTax {show(priced.tax_cents)}\n"
        f"You repay {show(priced.total_cents)}\nBy {due_on:%d %b %Y}\nAPR {priced.apr:.1%}"
    )


# -- loading -------------------------------------------------------------------------------------------------
def play(portfolio: Portfolio, product: ProductVersion, pack: CountryPack) -> Books:
    """Return the books after the whole story; ids go on from where the tables stand. Loads nothing."""
    with connection.cursor() as cursor:
        first_ids = {model: _next_id(cursor, model) for model in LOADED}
        cursor.execute(SINCE_CHECKPOINT, [product.currency])
        moved = {(account, on): [debits, credits] for account, on, debits, credits in cursor.fetchall()}
    closed = set(JobRun.objects.filter(job=JOB).values_list("business_date", flat=True))
    references = set(Application.objects.values_list("reference", flat=True))
    first_on = portfolio.started_at.date()
    saving = savings.product_in_force(product.country, SAVINGS_PRODUCT, first_on)
    assert saving.terms["interest"] is None, "the partner of the story reports interest as a deposit"
    books = Books(portfolio, product, saving, pack, first_ids, moved, closed, references)
    for event in portfolio.events:
        books.play(event)
    return books


SINCE_CHECKPOINT = """
    SELECT account_id, business_date, sum(debit_cents)::bigint, sum(credit_cents)::bigint
      FROM lending_entry entry JOIN lending_posting posting ON posting.id = entry.posting_id
     WHERE entry.id > (SELECT coalesce(max(last_entry_id), 0) FROM lending_checkpoint) AND currency = %s
     GROUP BY account_id, business_date
"""


@transaction.atomic
def load(
    portfolio: Portfolio, product: ProductVersion, pack: CountryPack, say: Callable[[str], None] = print
) -> Books:
    """Write a story into the database in one transaction. Rows that are there already are not touched."""
    with copying.collector_at_rest(), connection.cursor() as cursor:
        # Whoever inserts meanwhile would take ids of ours; readers go on.
        names = ", ".join(model._meta.db_table for model in LOADED)
        cursor.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        books = play(portfolio, product, pack)
        say(f"{len(portfolio.events):,} events are played")
        tables = {table.model: table for table in books.tables()}
        tables[WalletMovement] = _wallet(portfolio, books, _next_id(cursor, WalletMovement))
        with _entries_counted_at_once(cursor):
            _copy_all(cursor, [tables[model] for model in LOADED], say)
        say(f"{chain.extend():>9,} postings chained")
    _give_brian_his_pin(portfolio)
    return books


# What posting_has_entries asks of each posting, asked of all at once.
TOO_FEW_ENTRIES = """
    SELECT posting.id FROM lending_posting posting LEFT JOIN lending_entry entry ON entry.posting_id = posting.id
     GROUP BY posting.id HAVING count(entry.id) < 2 LIMIT 1
"""


class BadBooks(AssertionError):
    """A posting of the story has fewer than two entries."""


@contextmanager
def _entries_counted_at_once(cursor: Any) -> Iterator[None]:
    """Count the entries of all postings after the block; row by row, the trigger takes longer than all the rest.

    That trigger alone is off, within this transaction, whose lock keeps everybody else from posting meanwhile. The
    others of the books look at each COPY once.

    Raises:
        BadBooks: nothing of the story is loaded.
    """
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks pending cannot be altered
    cursor.execute("ALTER TABLE lending_posting DISABLE TRIGGER posting_has_entries")
    yield
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute(TOO_FEW_ENTRIES)
    if found := cursor.fetchone():
        raise BadBooks(f"posting {found[0]} has fewer than two entries")
    cursor.execute("ALTER TABLE lending_posting ENABLE TRIGGER posting_has_entries")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _next_id(cursor: Any, model: type[models.Model]) -> int:
    cursor.execute(f"SELECT last_value + is_called::int FROM {model._meta.db_table}_id_seq")  # noqa: S608
    return int(cursor.fetchone()[0])


def _wallet(portfolio: Portfolio, books: Books, first_id: int) -> Rows:
    """Return the movements that the wallets show, most of the rows by far, so without a loop over each."""
    rows = Rows(WalletMovement, first_id, "borrower_id kind amount_cents moved_at")
    wallet = portfolio.wallet
    ids = np.array([books.customers[who].id for who in range(len(portfolio.population))])
    kinds = np.array(income.KINDS)[wallet.kind]
    started = np.datetime64(portfolio.started_at.replace(tzinfo=None), "s")
    moments = np.datetime_as_string(started + wallet.second.astype("timedelta64[s]"), timezone="UTC")
    columns = (ids[wallet.who].tolist(), kinds.tolist(), wallet.cents.tolist(), moments.tolist())
    rows.rows = [[first_id + number, *values] for number, values in enumerate(zip(*columns, strict=True))]
    return rows


def _copy_all(cursor: Any, tables: Sequence[Rows], say: Callable[[str], None]) -> None:
    """COPY the tables in their order; while PostgreSQL takes one, the text of the next is made ready."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        ready = [beside.submit(_as_csv, table) for table in tables]
        for table, text in zip(tables, ready, strict=True):
            _copy(cursor, table, text.result())
            say(f"{len(table.rows):>9,} {table.model.__name__}")


def _columns(table: Rows) -> list[str]:
    """Return the table's columns, those first of which the rows speak."""
    every = [str(field.column) for field in table.model._meta.concrete_fields]
    return [*table.columns, *(column for column in every if column not in table.place)]


def _as_csv(table: Rows) -> io.BytesIO:
    """Return the rows as COPY reads them; a column that no event speaks of gets the model's default."""
    fields = {str(field.column): field for field in table.model._meta.concrete_fields}
    defaults = [fields[column].get_default() for column in _columns(table)[len(table.columns) :]]
    return copying.as_csv([*row, *defaults] for row in table.rows)


def _copy(cursor: Any, table: Rows, text: io.BytesIO) -> None:
    """COPY rows into their table and move its sequence on."""
    if not table.rows:
        return
    copying.copy(cursor, table.model, _columns(table), text)
    cursor.execute(f"SELECT setval('{table.model._meta.db_table}_id_seq', %s)", [table.last_id])


def _give_brian_his_pin(portfolio: Portfolio) -> None:
    """Let the one named customer choose a PIN; everybody else would first have to prove who they are."""
    brian = portfolio.population.people[0]
    choose_pin_after_reset(
        borrower_id=Borrower.objects.get(msisdn=brian.msisdn).id,
        national_id=brian.national_id,
        new_pin=BRIANS_PIN,
        at=portfolio.started_at + timedelta(days=portfolio.setting.days),
    )
