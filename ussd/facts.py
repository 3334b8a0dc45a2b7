"""What a conversation reads about one customer, each thing at most once a hop."""

from datetime import date, datetime, timedelta
from functools import cached_property

from django.conf import settings

from lending.models import Application, Borrower, Decision, LimitRaise, Loan
from lending.rules import calendar
from lending.rules.country import Country
from lending.rules.pricing import KeyFacts
from lending.selectors import limits, loans, offers, people, products
from lending.selectors.loans import StatementLine
from lending.selectors.offers import Offer
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

    def forget(self) -> None:
        """Read anew from here on: something was changed."""
        for name in ("borrower", "open_loan", "offer", "offered_raise", "statement", "last_event", "undecided"):
            self.__dict__.pop(name, None)
