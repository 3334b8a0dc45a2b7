"""Try a model's behaviour on real applicants, by hand."""

import sys
from datetime import datetime
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.models import Decision
from ml import features as feature_list
from ml.artifact import ArtifactRefused
from ml.behaviour import MOST_VECTORS
from scoring import features, judging, registry, training


class Command(BaseCommand):
    help = "Try a registered version, or the champion, on the latest applicants; the gate tries the same."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="of the version; the champion's if there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"] or registry.champion_name()
        if name is None:
            raise CommandError("nobody serves; name a version, `manage.py models` lists them")
        try:
            model = registry.open_artifact(name)
        except (registry.UnknownModel, ArtifactRefused) as error:
            raise CommandError(str(error)) from error
        people, whose = latest_applicants(timezone.now())
        if not len(people):
            raise CommandError("there is no decision and no ended loan yet to try it on")
        checks = judging.how_it_behaves(model, people)
        self.stdout.write(f"{name} on {len(people):,} {whose}")
        for check in checks:
            self.stdout.write(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.words}")
        if not all(check.passed for check in checks):
            sys.exit(1)


def latest_applicants(until: datetime) -> tuple[judging.Rows, str]:
    """Return up to 1,000 vectors and whose they are: of the latest decisions; before any, of ended loans."""
    decided = Decision.objects.filter(feature_version=feature_list.VERSION, decided_at__lt=until).order_by("-id")
    kept = decided.values_list("inputs__features", flat=True)[:MOST_VECTORS]
    vectors = [features.from_json(values) for values in kept if values]
    if vectors:
        return np.array(vectors), "applicants as their decisions saw them"
    return training.training_set(until).in_time_order().x[-MOST_VECTORS:], "applicants whose loans have ended"
