"""`manage.py report NAME --on DATE`: any report of the metrics layer, as of any business date."""

from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.rules import calendar
from lending.selectors.metrics import REPORTS, Report, files
from lending.selectors.metrics.snapshots import Counted, as_counted
from lending.selectors.products import NothingInForce

FORMATS = ("csv", "json", "parquet")


class Command(BaseCommand):
    """Reads only. A file appears whole or not at all, and one that names people only its owner may read."""

    help = "Write a report; without NAME, say which reports there are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", choices=sorted(REPORTS), metavar="NAME")
        parser.add_argument(
            "--on", type=_day, help="end of which business date, YYYY-MM-DD; today as it stands now"
        )
        parser.add_argument(
            "--recount", action="store_true", help="count a closed date again: what was told later is in it, too"
        )
        parser.add_argument("--format", choices=FORMATS, default="csv")
        parser.add_argument("--out", type=Path, help="file to write; a Parquet file needs one")

    def handle(self, *args: Any, name: str | None, on: date | None, **options: Any) -> None:
        if name is None:
            for report in REPORTS.values():
                self.stdout.write(f"{report.name:<22} {report.words}")
            return
        today = calendar.business_date(timezone.now(), settings.TIME_ZONE)
        if on and on > today:
            raise CommandError(f"a report is about the past: --on must be {today} or before, got {on}")
        try:
            report, day = REPORTS[name], on or today
            counted = Counted(report) if options["recount"] else as_counted(report, day)
            self._write(counted.report, day, options["format"], options["out"])
            if late := counted.facts_since(day):
                self.stderr.write(
                    f"counted at {counted.taken_at:%Y-%m-%d %H:%M}; {late} facts came later: --recount"
                )
        except (NothingInForce, ValueError, OSError) as error:
            raise CommandError(str(error)) from error

    def _write(self, report: Report, on: date, form: str, out: Path | None) -> None:
        if out is None:
            if form == "parquet":
                raise CommandError("a Parquet file needs --out FILE")
            for piece in _text(report, on, form):
                self.stdout.write(piece, ending="")
            return
        part = out.with_name(out.name + ".part")
        try:
            part.touch(0o600 if report.personal else 0o666)
            if form == "parquet":
                files.write_parquet(report, on, part)
            else:
                with part.open("w", newline="") as file:
                    file.writelines(_text(report, on, form))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _text(report: Report, on: date, form: str) -> Iterator[str]:
    return files.as_json(report, on) if form == "json" else files.as_csv(report, on)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"a date is YYYY-MM-DD, got {text!r}") from None
