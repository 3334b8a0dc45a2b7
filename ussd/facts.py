"""What a conversation reads about one customer, each thing at most once a hop."""

from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings

from lending.models import (
    Agent,
    Application,
    AuditEvent,
    Borrower,
    Case,
    Decision,
    Invitation,
    LimitRaise,
    Loan,
    NextOfKin,
    PaymentIntent,
    ProductVersion,
    Promise,
    SavingsAccount,
)
from lending.rules import calendar
from lending.rules.country import Country
from lending.rules.pricing import KeyFacts
from lending.rules.standing import Standing
from lending.selectors import (
    agents,
    contracts,
    erasing,
    limits,
    loans,
    offers,
    payoffs,
    personal_data,
    preferences,
    products,
    promises,
    requests,
)
from lending.selectors.glance import Glance, glance
from lending.selectors.loans import StatementLine
from lending.selectors.offers import Offer
from lending.selectors.payoffs import PayOff
from lending.selectors.personal_data import Held, Look
from lending.services import changes, repayments
from ussd.saver import Saver
from ussd.trader import Trader

# "Did it go through?" is answered on the first screen for this long.
RECENT = timedelta(hours=1)
# Prompts that took nothing are told for this long.
LATELY = timedelta(days=1)


class Facts:
    """Reads through selectors. A subclass may put worst values in their place to measure screens."""

    def __init__(self, msisdn: str, at: datetime) -> None:
        self.msisdn, self.at = msisdn, at
        self._standings: dict[int, Standing | None] = {}

    @cached_property
    def today(self) -> date:
        return calendar.business_date(self.at, settings.TIME_ZONE)

    @cached_property
    def country(self) -> Country:
        return products.country_rules(settings.COUNTRY, self.today)

    @cached_property
    def seen(self) -> Glance | None:
        return glance(self.msisdn, self.at - RECENT)

    @cached_property
    def borrower(self) -> Borrower | None:
        return self.seen.borrower if self.seen else None

    @property
    def known(self) -> Borrower:
        """Return the borrower on screens that only a borrower can reach."""
        assert self.borrower is not None, "this screen is for registered customers"
        return self.borrower

    @cached_property
    def saver(self) -> Saver:
        return Saver(self.known, self.at, self.today, settings.COUNTRY)

    @cached_property
    def trader(self) -> Trader:
        return Trader(self.known.id, self.at, self.today, self.country.currency)

    @property
    def known_seen(self) -> Glance:
        assert self.seen is not None, "this screen is for registered customers"
        return self.seen

    @cached_property
    def loan(self) -> Loan | None:
        return loans.loan_of_person(self.known.identity_index) if self.known_seen.has_loan else None

    @cached_property
    def open_loan(self) -> Loan | None:
        """What is on its way to this number, or owed by it."""
        mine = self.loan if self.loan and self.loan.borrower_id == self.known.id else None
        return mine if mine and mine.state in Loan.OPEN else None

    @cached_property
    def owed_loan(self) -> Loan | None:
        """What this person's money goes to: also a loan on another number of theirs, or one that was lost."""
        if self.loan is None or self.loan.state != Loan.State.APPROVED:
            return self.loan
        return loans.loan_to_repay(self.known.identity_index)

    @cached_property
    def pay_off(self) -> PayOff:
        assert self.owed_loan is not None, "this screen is for who owes"
        return payoffs.pay_off(self.owed_loan, self.today)

    @cached_property
    def savings_to_pay_from(self) -> list[tuple[SavingsAccount, int]]:
        return payoffs.savings_to_pay_from(self.known.identity_index, self.today)

    @cached_property
    def promise(self) -> Promise | None:
        return promises.open_promise(self.owed_loan.id) if self.owed_loan else None

    @cached_property
    def broken_promises(self) -> int:
        return promises.broken(self.owed_loan.id) if self.owed_loan else 0

    @cached_property
    def last_prompt(self) -> PaymentIntent | None:
        return loans.last_prompt(self.msisdn, self.at - LATELY)

    @property
    def largest_loan_cents(self) -> int:
        """The most that can be paid for somebody else at once."""
        return repayments.most_for_another(self.at)

    @cached_property
    def offer(self) -> Offer:
        seen = self.known_seen
        found = seen.products(settings.COUNTRY, self.today)
        usual = next((version for version in found if not seen.is_paused(version.code)), found[0])
        return offers.as_offer(
            self.known,
            usual,
            open_loan=self.loan if self.loan and self.loan.state in Loan.OPEN else None,
            is_undecided=seen.is_undecided,
            is_paused=seen.is_paused(usual.code),
            raise_waits=seen.raise_waits,
        )

    @cached_property
    def offered_raise(self) -> LimitRaise | None:
        return limits.offered_raise(self.known.id) if self.known_seen.raise_waits else None

    @cached_property
    def last_limit_move(self) -> AuditEvent | None:
        return limits.last_move(self.known.id)

    @cached_property
    def statement(self) -> list[StatementLine]:
        return loans.statement(self.known.id)

    @cached_property
    def last_event(self) -> StatementLine | None:
        return loans.last_event(self.known.id, self.at - RECENT) if self.known_seen.moved else None

    @cached_property
    def undecided(self) -> Application | None:
        return loans.undecided_application(self.known.id) if self.known_seen.is_undecided else None

    def quote(self, principal_cents: int, version: ProductVersion) -> KeyFacts:
        """Price an amount, paid out today, with the one calculator."""
        return offers.quote(version, principal_cents, self.today)

    def on_offer(self, principal_cents: int) -> list[ProductVersion]:
        """Return the products of which this amount can be had."""
        seen = self.known_seen
        return [
            version
            for version in seen.products(settings.COUNTRY, self.today)
            if not seen.is_paused(version.code) and offers.fits(self.known, principal_cents, version)
        ]

    @cached_property
    def last_choice(self) -> tuple[str, str]:
        return self.known_seen.last_choice

    def standing(self, loan: Loan) -> Standing | None:
        """Return what is to be paid next of a loan, and what in all."""
        if loan.id not in self._standings:
            self._standings[loan.id] = loans.standing(loan, self.today)
        return self._standings[loan.id]

    def granted(self, loan: Loan) -> list[str]:
        """Return which changes of a loan its product grants today."""
        return changes.granted(loan, self.today)

    def preview(self, loan: Loan, kind: str) -> dict[str, Any]:
        """Return what a change of a loan would do.

        Raises:
            FactRefused, NotALoanToChange: as `changes.preview` says.
        """
        return changes.preview(contracts.with_contract().get(id=loan.id), kind, {}, self.today)

    def decision(self, application_id: int) -> Decision:
        """Return the decision on an application of this customer."""
        return Decision.objects.select_related("application__product_version").get(application_id=application_id)

    @cached_property
    def held(self) -> Held:
        return personal_data.held(self.known)

    @cached_property
    def looks(self) -> list[Look]:
        return personal_data.looks(self.known.id)

    @cached_property
    def kin(self) -> NextOfKin | None:
        return personal_data.kin_of(self.known.id)

    @cached_property
    def complaints(self) -> list[Case]:
        return list(requests.complaints_of(self.msisdn, self.borrower))

    @cached_property
    def appealable(self) -> Application | None:
        """Return the refusal that a person can still be asked to look at."""
        return requests.appealable(self.known, self.at)

    @cached_property
    def obstacle(self) -> str:
        """Return what has to end before this customer can be forgotten."""
        return erasing.obstacle(self.known.identity_index)

    @cached_property
    def kept_until(self) -> date | None:
        """Return until when the law would keep this customer's records."""
        return erasing.kept_until(self.known.identity_index, self.at)

    @cached_property
    def known_kept_until(self) -> date | None:
        """Return the same for somebody who asked to be forgotten: as it was when they asked."""
        return erasing.asked_kept_until(self.known.id)

    @cached_property
    def agent(self) -> Agent | None:
        return agents.agent_of(self.known.id)

    @cached_property
    def agent_counts(self) -> agents.Counts:
        assert self.agent is not None, "this screen is for agents"
        return agents.counts(self.agent.id, self.at)

    @cached_property
    def invitation(self) -> Invitation | None:
        """Return what an agent typed of whoever holds this phone."""
        return agents.invitation_of(self.msisdn, self.at)

    @cached_property
    def stopped(self) -> list[str]:
        """Return the purposes for which this number wants no messages."""
        return preferences.stopped(self.msisdn)

    def forget(self) -> None:
        """Read anew from here on: something was changed."""
        self._standings.clear()
        for name, kind in vars(Facts).items():
            if isinstance(kind, cached_property) and name not in ("country", "today"):
                self.__dict__.pop(name, None)
