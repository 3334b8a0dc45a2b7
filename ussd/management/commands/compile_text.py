"""Compile the catalogues of the conversation and say what is wrong with them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ussd import catalogue


class Command(BaseCommand):
    help = "Compile ussd/text/*/*.po and check every sentence in every language."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--update", action="store_true", help="first add what is new, drop what is gone")

    def handle(self, *args: Any, update: bool, **options: Any) -> None:
        found = []
        for language in catalogue.languages():
            if update:
                catalogue.update(language)
            catalogue.mo(language).parent.mkdir(exist_ok=True)
            catalogue.mo(language).write_bytes(catalogue.compiled(language))
            found += [f"{language}: {problem}" for problem in catalogue.problems(language)]
        if found:
            raise CommandError("\n".join(found))
        self.stdout.write("every sentence is translated and in its phone's alphabet")
