"""Compile the catalogues of the conversation and say what is wrong with them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ussd import catalogue


class Command(BaseCommand):
    help = "Compile ussd/text/*/LC_MESSAGES/django.po and check every sentence in every language."

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        for po in catalogue.catalogues():
            po.with_suffix(".mo").write_bytes(catalogue.compiled(po))
            found += [f"{po.parts[-3]}: {problem}" for problem in catalogue.problems(po)]
        if found:
            raise CommandError("\n".join(found))
        self.stdout.write("every sentence is translated and fits a phone's alphabet")
