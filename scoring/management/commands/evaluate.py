"""Judge the network beside what the field uses, on any table of past loans."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml import evaluate
from ml.tables import InvalidTable


class Command(BaseCommand):
    help = "Train and judge the network and its peers on the folds of a table; the same as python -m ml.evaluate."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        evaluate.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            evaluate.run(argparse.Namespace(**options), show=self.stdout.write, say=self.stderr.write)
        except InvalidTable as error:
            raise CommandError(str(error)) from None
