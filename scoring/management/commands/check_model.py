"""Try a model's behaviour on real applicants, by hand."""

import sys
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
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
        told, whose = latest_applicants(timezone.now())
        if not len(told[0]):
            raise CommandError("there is no decision and no ended loan yet to try it on")
        checks = judging.how_it_behaves(model, *told)
        self.stdout.write(f"{name} on {len(told[0]):,} {whose}")
        for check in checks:
            self.stdout.write(f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.words}")
        if not all(check.passed for check in checks):
            sys.exit(1)


def latest_applicants(until: datetime) -> tuple[tuple[npt.NDArray[Any], ...], str]:
    """Return vectors and events of up to 1,000 people, and whose: of the latest decisions; before any, of loans."""
    decided = Decision.objects.filter(feature_version=feature_list.VERSION, decided_at__lt=until).order_by("-id")
    kept = decided.values_list("inputs", flat=True)[:MOST_VECTORS]
    told = [features.told(inputs) for inputs in kept if inputs.get("features")]
    if told:
        return tuple(map(np.array, zip(*told, strict=True))), "applicants as their decisions saw them"
    ended = training.training_set(until).in_time_order()
    return ended.take(np.arange(len(ended))[-MOST_VECTORS:]).told, "applicants whose loans have ended"
