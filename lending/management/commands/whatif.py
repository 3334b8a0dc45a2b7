"""Terms and dated events in, everything that follows out: nothing is stored, and no server is needed.

    python manage.py whatif < scenario.json > result.json
    python manage.py past_loans --terms next.json | python manage.py whatif --together

The format, with worked examples: docs/domain/whatif.md.
"""

import json
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from lending.rules import whatif


class Command(BaseCommand):
    help = "Play a scenario (JSON on standard input): schedule, splits, balances and postings, nothing is stored."
    requires_system_checks: list[str] = []  # a check may ask for a database, and there need be none

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--together", action="store_true", help="only what a list of scenarios comes to")

    def handle(self, *args: Any, together: bool, **options: Any) -> None:
        try:
            found = whatif.together(self._read()) if together else whatif.run(self._read())
        except whatif.ScenarioRefused as refused:
            self._refuse(str(refused))
        self.stdout.write(json.dumps(found, indent=2))

    def _read(self) -> object:
        try:
            return json.loads(
                sys.stdin.buffer.read().decode(), parse_constant=_no_constant, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as error:
            self._refuse(f"(whole): must be JSON in UTF-8: {error}")

    def _refuse(self, why: str) -> NoReturn:
        self.stderr.write(why)
        sys.exit(2)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a field that is there twice: which one counts would be a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found
