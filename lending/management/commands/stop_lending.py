"""The emergency brake: `manage.py stop_lending computer --by amos --why "scores look wrong"`, and `--go-on`."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lending.selectors import limits
from lending.services import brakes


class Command(BaseCommand):
    help = "Stop the computer's approvals or all lending from the next decision on, or let it go on (--go-on)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", nargs="?", choices=sorted(brakes.STOPS), help="left out: say what is stopped")
        parser.add_argument("--by", default="", help="who says so: the name an officer signs in with")
        parser.add_argument("--why", default="", help="the reason in words, which stays on record")
        parser.add_argument("--go-on", action="store_true", help="end the stop")

    def handle(self, *args: Any, what: str | None, by: str, why: str, go_on: bool, **options: Any) -> None:
        if what:
            self._act(what, by, why, go_on)
        stops = limits.stops()
        for case in stops:
            self.stdout.write(f"stopped since {case.opened_at:%Y-%m-%d %H:%M %Z}: {case.note}")
        if not stops:
            self.stdout.write("nothing is stopped by a person")

    def _act(self, what: str, by: str, why: str, go_on: bool) -> None:
        officer = get_user_model().objects.filter(username=by, is_active=True, is_staff=True).first()
        if officer is None:
            raise CommandError(f"--by must name an officer, got {by!r}")
        act = brakes.let_go if go_on else brakes.stop
        try:
            act(what=what, officer=officer, reason=why, at=timezone.now())
        except ValueError as error:
            raise CommandError(f"{error}: --why") from None
