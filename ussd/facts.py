"""What a conversation reads about one customer, each thing at most once a hop."""

from datetime import date, datetime, timedelta
from functools import cached_property

from django.conf import settings

from lending.models import Agent, Application, Borrower, Case, Decision, Invitation, LimitRaise, Loan, NextOfKin
from lending.rules import calendar
from lending.rules.country import Country
from lending.rules.pricing import KeyFacts
from lending.selectors import (
    agents,
    erasing,
    limits,
    loans,
    offers,
    people,
    personal_data,
    preferences,
    products,
    requests,
)
from lending.selectors.loans import StatementLine
from lending.selectors.offers import Offer
from lending.selectors.personal_data import Held, Look
from ussd.saver import Saver
from ussd.trader import Trader

# "Did it go through?" is answered on the first screen for this long.
RECENT = timedelta(hours=1)


class Facts:
    """Reads through selectors. A subclass may put worst values in their place to measure screens."""

    def __init__(self, msisdn: str, at: datetime) -> None:
        self.msisdn, self.at = msisdn, at

    @property
    def today(self) -> date:
        return calendar.business_date(self.at, settings.TIME_ZONE)

    @cached_property
    def country(self) -> Country:
        return products.country_rules(settings.COUNTRY, self.today)

    @cached_property
    def borrower(self) -> Borrower | None:
        return people.find_borrower(self.msisdn)

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

    @cached_property
    def open_loan(self) -> Loan | None:
        return loans.open_loan(self.known.id)

    @cached_property
    def offer(self) -> Offer:
        return offers.offer(self.known, self.today, settings.COUNTRY)

    @cached_property
    def offered_raise(self) -> LimitRaise | None:
        return limits.offered_raise(self.known.id)

    @cached_property
    def statement(self) -> list[StatementLine]:
        return loans.statement(self.known.id)

    @cached_property
    def last_event(self) -> StatementLine | None:
        return loans.last_event(self.known.id, self.at - RECENT)

    @cached_property
    def undecided(self) -> Application | None:
        return loans.undecided_application(self.known.id)

    def quote(self, principal_cents: int) -> KeyFacts:
        """Price an amount, paid out today, with the one calculator."""
        return offers.quote(self.offer.product_version, principal_cents, self.today)

    def days_past_due(self, loan: Loan) -> int:
        """Count the days late of a loan from its dues."""
        return loans.days_past_due(loan, self.today)

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
        for name in set(self.__dict__) - {"msisdn", "at", "country"}:
            del self.__dict__[name]
