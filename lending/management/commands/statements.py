"""`manage.py statements WHICH`: trial balance, balance sheet or income statement, to read or as CSV."""

import csv
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from lending.rules import calendar, money
from lending.selectors import books, products


class Command(BaseCommand):
    help = "Print a statement of the books for any business date and currency."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", choices=("trial_balance", "balance_sheet", "income_statement"))
        parser.add_argument("--on", type=date.fromisoformat, help="the last business date; today")
        parser.add_argument("--since", type=date.fromisoformat, help="income statement: the first; New Year")
        parser.add_argument("--currency", help="the country's own, if not given")
        parser.add_argument("--csv", action="store_true", help="amounts in cents, with account codes")

    def handle(self, *args: Any, which: str, **asked: Any) -> None:
        on = asked["on"] or calendar.business_date(timezone.now(), settings.TIME_ZONE)
        currency = asked["currency"] or products.country_rules(settings.COUNTRY, on).currency
        if which == "income_statement":
            statement = books.income_statement(asked["since"] or date(on.year, 1, 1), on, currency)
        else:
            statement = getattr(books, which)(on, currency)
        if asked["csv"]:
            self._as_csv(statement)
        else:
            self._to_read(statement)

    def _as_csv(self, statement: books.Statement) -> None:
        rows = statement.rows()
        writer = csv.DictWriter(self.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    def _to_read(self, statement: books.Statement) -> None:
        self.stdout.write(f"{statement.title}\n{statement.definition}\n\n")
        for row in statement.rows():
            cents = [value for name, value in row.items() if name.endswith("_cents")]
            amounts = [money.show(value, statement.currency) if value else "" for value in cents]
            amounts_text = "".join(f"{text:>20}" for text in amounts)
            self.stdout.write(f"{row['section']:<12}{row['name']:<46}{amounts_text}".rstrip())
