"""`manage.py past_loans`: past loans as scenarios, to try other terms on them. Reads only.

python manage.py past_loans --since 2026-01-01 | python manage.py whatif --together
python manage.py past_loans --since 2026-01-01 --terms next.json | python manage.py whatif --together
"""

import json
from argparse import ArgumentTypeError
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.rules import calendar
from lending.selectors import past_loans


class Command(BaseCommand):
    help = "Write past loans as scenarios for whatif, under their own or other terms."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=_day, help="paid out from this business date; a year ago")
        parser.add_argument(
            "--until", type=_day, help="paid out until, and played to the end of, this one; yesterday"
        )
        parser.add_argument("--product", default="", help="code of the product; all of them")
        parser.add_argument("--terms", type=Path, help="JSON file with other terms, as a product file has them")

    def handle(self, *args: Any, **asked: Any) -> None:
        yesterday = calendar.business_date(timezone.now(), settings.TIME_ZONE) - timedelta(days=1)
        until = asked["until"] or yesterday
        since = asked["since"] or until - timedelta(days=365)
        if since > until:
            raise CommandError(f"--since must be {until} or before, got {since}")
        terms = None if asked["terms"] is None else _terms(asked["terms"])
        written = left_out = 0
        self.stdout.write('{"scenarios": [', ending="")
        for loan in past_loans.paid_out(since, until, asked["product"]):
            try:
                scenario = past_loans.scenario_of(loan, until, terms)
            except past_loans.LeftOut as why:
                left_out += 1
                self.stderr.write(f"{loan.reference} left out: {why}")
                continue
            self.stdout.write((",\n" if written else "\n") + json.dumps(scenario), ending="")
            written += 1
        self.stdout.write("\n]}")
        self.stderr.write(f"{written} loans paid out from {since} to {until}, {left_out} left out")


def _terms(path: Path) -> Any:
    try:
        return past_loans.terms_from(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise CommandError(f"--terms {path.name}: {error}") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"needs a date like 2026-03-31, got {text!r}") from None
