"""`manage.py demo_portfolio`: fill the books with the seeded story of some thousand borrowers."""

import time
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from lending.demo import economy, writer
from lending.demo.economy import Setting
from lending.management.commands import float_balances
from lending.models import Borrower, Posting
from lending.rules import calendar
from lending.selectors import products


class Command(BaseCommand):
    """Loads once: a second run says so and changes nothing."""

    help = "Load the demo portfolio: 18 months of loans, repayments, savings and wallet flow."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--borrowers", type=int, default=3000)
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--as-of", type=date.fromisoformat, help="the story ends the day before; today")
        parser.add_argument("--days", type=int, default=548, help="how long the story is")

    def handle(self, *args: Any, borrowers: int, seed: int, as_of: date | None, days: int, **options: Any) -> None:
        if Posting.objects.filter(reference__startswith="capital:demo:").exists():
            self.stdout.write("The demo portfolio is in the books already; nothing is changed.")
            return
        if borrowers < 1 or days < 120:
            raise CommandError(f"needs 1 borrower and 120 days or more, got {borrowers} and {days}")
        self.started = time.monotonic()
        today = as_of or calendar.business_date(timezone.now(), settings.TIME_ZONE)
        self._load(borrowers, seed, today, days)
        self.stdout.write(float_balances.as_json())

    def _load(self, borrowers: int, seed: int, today: date, days: int) -> None:
        self.say(f"telling the story of {borrowers:,} borrowers over {days} days until {today} (seed {seed})")
        setting = setting_of(borrowers, seed, today, days)
        portfolio = economy.tell(setting)
        self.say(f"{len(portfolio.events):,} events, {len(portfolio.wallet):,} wallet movements")
        self._refuse_taken_numbers(portfolio)
        product = products.product_in_force(settings.COUNTRY, setting.first_day)
        pack = products.country_pack(settings.COUNTRY, setting.first_day)
        writer.load(portfolio, product, pack, self.say)
        with connection.cursor() as cursor:
            # Statistics of empty tables would let the first decisions read whole tables.
            cursor.execute("ANALYZE")
        self.say("the demo portfolio is in the books")

    def _refuse_taken_numbers(self, portfolio: economy.Portfolio) -> None:
        numbers = [person.msisdn for person in portfolio.population.people]
        if taken := Borrower.objects.filter(msisdn__in=numbers).first():
            raise CommandError(f"{taken.masked_msisdn} is registered already; choose another --seed")

    def say(self, text: str) -> None:
        """Print progress with the seconds since the start."""
        self.stdout.write(f"{time.monotonic() - self.started:6.1f} s  {text}")
        self.stdout.flush()


def setting_of(borrowers: int, seed: int, as_of: date, days: int) -> Setting:
    """Return the setting of a story under the product and the law in force when it begins.

    Raises:
        CommandError: no product or country pack was in force so early.
    """
    first_day = Setting.first_day_of(as_of, days)
    try:
        version = products.product_in_force(settings.COUNTRY, first_day)
        pack = products.country_pack(settings.COUNTRY, first_day)
    except products.NothingInForce as error:
        raise CommandError(str(error)) from None
    return Setting(
        as_of=as_of,
        zone=settings.TIME_ZONE,
        terms=products.terms_of(version),
        ladder_cents=tuple(version.ladder_cents),
        max_share_of_inflow=float(Decimal(pack.rules["affordability"]["max_share_of_monthly_inflow"])),
        borrowers=borrowers,
        days=days,
        seed=seed,
    )
