"""`manage.py settle_savings PARTNER`: our file for who holds savings, or with `--answers FILE` take in his.

Repeats safely: a file that was taken in before changes nothing. Source: docs/domain/savings.md, "Settlement file".
"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.rules.settlement_file import FileRefused
from lending.services import partner_files


class Command(BaseCommand):
    help = "Print what a partner is asked, or take in the file of what he did."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("partner", help="as the savings products name him")
        parser.add_argument("--answers", type=Path, help="his file, CSV in UTF-8")

    def handle(self, *args: Any, partner: str, answers: Path | None, **options: Any) -> None:
        if answers is None:
            self.stdout.write(partner_files.file_of_asked(partner), ending="")
            return
        try:
            file = partner_files.take_file(
                partner=partner, name=answers.name, text=answers.read_text(), actor=None, at=timezone.now()
            )
        except (FileRefused, OSError, UnicodeDecodeError) as refused:
            raise CommandError(f"{answers}: {refused}") from refused
        self.stdout.write(", ".join(f"{count} {what}" for what, count in sorted(file.result.items())) or "no lines")
