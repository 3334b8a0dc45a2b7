"""`manage.py import_history DIR`: bring in borrowers, past loans and repayments of another lender.

Columns, rules and a worked example: docs/domain/history.md.
"""

import re
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.rules import calendar
from lending.rules.history import Clock, Problem
from lending.selectors import products
from lending.services import history, history_files

EVERY_SECONDS = 5.0


class Command(BaseCommand):
    """What does not add up goes to standard output, one line for each; progress to standard error."""

    help = "Bring in borrowers, past loans and repayments of another lender from CSV or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, metavar="DIR")
        parser.add_argument("--source", default="history", help="name of the other system, part of every key")
        parser.add_argument(
            "--keep-differences",
            action="store_true",
            help="also bring in borrowers whose closing figures are not ours; ours stand",
        )

    def handle(self, *args: Any, directory: Path, source: str, keep_differences: bool, **options: Any) -> None:
        if not re.fullmatch(r"[a-z0-9_-]{1,16}", source):
            raise CommandError(f"--source must be 1 to 16 of a-z, 0-9, '_', '-', got {source[:40]!r}")
        self.started = self.said = time.monotonic()
        try:
            found = self._stage(directory)
            done = self._bring_in(history.setting_of(source, timezone.now(), keep_differences), found.problems)
        except (history_files.FilesRefused, history_files.RowsOfNobody, products.NothingInForce) as error:
            raise CommandError(f"nothing was brought in: {error}") from None
        if found.problems or done["held back"]:
            raise CommandError("not all of it adds up; nothing was brought in of the borrowers who were held back")

    def _stage(self, directory: Path) -> history_files.Found:
        paths = history_files.paths_in(directory)
        now = timezone.now()
        country = products.country_rules(settings.COUNTRY, calendar.business_date(now, settings.TIME_ZONE))
        clock = Clock(settings.TIME_ZONE, now)
        found = history_files.Found()
        for found in history_files.stage(paths, clock, country.national_id.pattern, self._report):
            self._progress(f"{found.rows:,} rows read", found.rows)
        for name, columns in found.ignored.items():
            if columns:
                self._say(f"{name}: not read: {', '.join(columns)}")
        self._say(f"{found.rows:,} rows read, {found.problems:,} problems")
        return found

    def _bring_in(self, setting: history.Setting, problems: int) -> dict[str, int]:
        done = {"brought in": 0, "unchanged": 0, "held back": history_files.held()}
        loans = 0
        for told in history_files.borrowers():
            outcome: str = "held back"
            try:
                outcome, differences = history.bring_in(told, setting)
            except history.DoesNotAddUp as error:
                differences = list(error.problems)
            done[outcome] += 1
            problems += len(differences)
            loans += len(told.loans)
            for problem in differences:
                self._report(problem)
            self._progress(f"{sum(done.values()):,} borrowers, {loans:,} loans", loans)
        said = ", ".join(f"{count:,} {what}" for what, count in done.items())
        self.stdout.write(f"borrowers: {said}; {problems:,} problems")
        return done

    def _report(self, problem: Problem) -> None:
        self.stdout.write(str(problem))

    def _progress(self, text: str, count: int) -> None:
        if time.monotonic() - self.said > EVERY_SECONDS:
            self.said = time.monotonic()
            self._say(text)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", file=sys.stderr, flush=True)
