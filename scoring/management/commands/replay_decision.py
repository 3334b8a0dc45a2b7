"""Judge decisions again from what was stored with them, and compare byte for byte."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lending.models import Decision
from lending.services.applications import verdict_of
from ml.artifact import ArtifactRefused
from scoring import decide, registry


class Command(BaseCommand):
    help = "Replay one decision by the id of its application, or the latest N with --all N."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("application", nargs="?", type=int, help="id of the application")
        parser.add_argument("--all", type=int, dest="latest", metavar="N", help="the latest N decisions")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["application"] is None) == (options["latest"] is None):
            raise CommandError("name an application, or --all N")
        if options["latest"] is not None:
            decisions: Iterable[Decision] = Decision.objects.order_by("-id")[: options["latest"]]
        else:
            decisions = Decision.objects.filter(application_id=options["application"])
            if not decisions:
                raise CommandError(f"application {options['application']} has no decision")
        outcomes = [self.replay(decision) for decision in decisions]
        self.stdout.write(f"{sum(outcomes)} of {len(outcomes)} replayed to the same bytes")
        if not all(outcomes):
            sys.exit(1)

    def replay(self, decision: Decision) -> bool:
        """Print one line, and where the two differ both sides of each difference."""
        try:
            now, then = asdict(decide.replay(decision)), verdict_of(decision)
        except (decide.NotOurs, registry.UnknownModel, ArtifactRefused) as error:
            self.stdout.write(f"application {decision.application_id}: cannot be replayed: {error}")
            return False
        same = decide.as_bytes(now) == decide.as_bytes(then)
        self.stdout.write(
            f"application {decision.application_id}: {decision.outcome}, score {decision.score}, "
            f"model {decision.model_version or 'none'}: {'same' if same else 'DIFFERS'}"
        )
        for name in () if same else then:
            if decide.as_bytes({name: now[name]}) != decide.as_bytes({name: then[name]}):
                self.stdout.write(f"  {name}: {json.dumps(then[name])} became {json.dumps(now[name])}")
        return same
