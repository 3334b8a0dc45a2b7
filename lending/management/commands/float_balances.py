"""`manage.py float_balances --json`: what the operator's accounts must hold by our books."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from lending.ledger import balance_cents
from lending.rules import calendar, money
from lending.selectors import products

ACCOUNTS = ("mpesa_payout", "mpesa_paybill")


class Command(BaseCommand):
    help = "Print the book balances of the accounts that we hold with the operator."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object, in cents")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        if json:
            self.stdout.write(as_json())
            return
        for account, cents in balances().items():
            self.stdout.write(f"{account:<16} {money.show(cents, currency())}")


def currency() -> str:
    """Return the currency of the country's product in force today."""
    today = calendar.business_date(timezone.now(), settings.TIME_ZONE)
    return products.product_in_force(settings.COUNTRY, today).currency


def balances() -> dict[str, int]:
    """Return the cents of each account by our books."""
    return {account: balance_cents(account, currency()) for account in ACCOUNTS}


def as_json() -> str:
    """Return the balances as one JSON object."""
    return json.dumps(balances())
