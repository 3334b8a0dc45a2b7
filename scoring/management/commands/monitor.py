"""Check by hand how the model stood at the end of a business date."""

import sys
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from scoring.models import HealthFigure
from scoring.monitor import night


class Command(BaseCommand):
    help = "Check the model's health on a business date, or show what was found; status 1 if anything rings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=date.fromisoformat, help="YYYY-MM-DD; yesterday if none is given")
        parser.add_argument("--all", action="store_true", help="show also what is well, figure by figure")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            made = night.check(options["date"] or night.yesterday(now), now)
        except night.NotOver as error:
            raise CommandError(str(error)) from error
        rows = list(made.figures.all())
        alarms = sum(row.state == HealthFigure.State.ALARM for row in rows)
        for row in rows:
            if options["all"] or row.state in (HealthFigure.State.ALARM, HealthFigure.State.WARN):
                line = f"{row.get_state_display():<15}  {row.measure}: {row.words}  {row.version}"
                self.stdout.write(line.rstrip())
        self.stdout.write(f"{made.business_date}: {len(rows)} figures, {alarms} alarms")
        if alarms:
            sys.exit(1)
