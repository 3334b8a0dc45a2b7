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

from lending import chain
from lending.ledger import make_checkpoints
from lending.rules import calendar
from lending.rules.history import Clock, Problem
from lending.selectors import products
from lending.services import history, history_batches, history_files

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
        parser.add_argument(
            "--processes", type=int, default=1, help="how many play loans side by side; as many as there are cores"
        )

    def handle(
        self, *args: Any, directory: Path, source: str, keep_differences: bool, processes: int, **options: Any
    ) -> None:
        if not re.fullmatch(r"[a-z0-9_-]{1,16}", source):
            raise CommandError(f"--source must be 1 to 16 of a-z, 0-9, '_', '-', got {source[:40]!r}")
        self.started = self.said = time.monotonic()
        try:
            found = self._stage(directory)
            setting = history.setting_of(source, timezone.now(), keep_differences)
            done = self._bring_in(setting, found.problems, processes)
            self._close_up()
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

    def _bring_in(self, setting: history.Setting, problems: int, processes: int) -> dict[str, int]:
        done = {"brought in": 0, "unchanged": 0, "held back": history_files.held()}
        for count, brought in enumerate(history_batches.bring_in(setting, processes), start=1):
            done[brought.outcome] += 1
            problems += len(brought.problems)
            for problem in brought.problems:
                self._report(problem)
            self._progress(f"{count:,} borrowers", count)
        said = ", ".join(f"{count:,} {what}" for what, count in done.items())
        self.stdout.write(f"borrowers: {said}; {problems:,} problems")
        return done

    def _close_up(self) -> None:
        """Sum up and chain what was booked, so that neither the next reader nor the next night has to."""
        make_checkpoints(timezone.now())
        self._say(f"{chain.extend():,} postings chained")

    def _report(self, problem: Problem) -> None:
        self.stdout.write(str(problem))

    def _progress(self, text: str, count: int) -> None:
        if time.monotonic() - self.said > EVERY_SECONDS:
            self.said = time.monotonic()
            self._say(text)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", file=sys.stderr, flush=True)
