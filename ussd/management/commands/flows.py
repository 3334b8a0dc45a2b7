"""Prove the conversation, or draw it."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ussd import catalogue, proof
from ussd.engine import SCREENS, VERSION

DRAWN = settings.BASE_DIR / "docs" / "journeys.md"
HEAD = """# The journeys

Every screen and every way between two, drawn from the code by `python manage.py flows graph`; a test keeps it
current. Slanted: a question. Round: the end. Double border: money moves. Dotted: into another journey.
"""


def page() -> str:
    """Return docs/journeys.md as the code has it."""
    return f"{HEAD}\nVersion {VERSION} of the conversation, {len(SCREENS)} screens.\n\n{proof.drawn()}"


class Command(BaseCommand):
    help = "check: name all that is wrong with the conversation, with its place. graph: draw the journeys."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("check", "graph"))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if what == "graph":
            DRAWN.write_text(page())
            self.stdout.write(f"drawn: {DRAWN.relative_to(settings.BASE_DIR)}")
            return
        for language in catalogue.languages():
            for sentence in catalogue.uncertain(language):
                self.stdout.write(f"said in English until somebody is sure of it: {language}: {sentence}")
        found = proof.faults()
        if found:
            raise CommandError("\n".join(map(str, found)))
        self.stdout.write(f"{len(SCREENS)} screens in {len(settings.SPOKEN_LANGUAGES)} languages: nothing is wrong")
