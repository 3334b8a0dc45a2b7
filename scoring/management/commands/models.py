"""List the model versions, promote one, or roll back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ml.artifact import ArtifactRefused
from scoring import registry
from scoring.models import ModelVersion

REFUSALS = (registry.UnknownModel, registry.NothingToRollBackTo, ArtifactRefused)


class Command(BaseCommand):
    help = "Show which models there are and which one serves; promote one by name, or roll back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", default="list", choices=["list", "promote", "rollback"])
        parser.add_argument("name", nargs="?", help="of the version to promote")
        parser.add_argument("--reason", default="by command", help="for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            self.show()
        else:
            self.act(options)

    def show(self) -> None:
        versions = list(ModelVersion.objects.all())
        if not versions:
            self.stdout.write("no model yet; `manage.py retrain --first` makes one")
        for version in versions:
            judged = version.metrics.get("test") or {}
            measures = "  ".join(
                f"{name} {judged[name]:.4f}"
                for name in ("auc", "log_loss", "brier")
                if judged.get(name) is not None
            )
            self.stdout.write(
                f"{version.name}  {version.get_state_display():<13}  {version.loans:>7,} loans  {measures}"
            )

    def act(self, options: dict[str, Any]) -> None:
        at, reason = timezone.now(), options["reason"]
        if options["action"] == "promote" and not options["name"]:
            raise CommandError("promote needs the name of a version; `manage.py models` lists them")
        try:
            if options["action"] == "promote":
                version = registry.promote(options["name"], at=at, reason=reason)
            else:
                version = registry.rollback(at=at, reason=f"rollback {reason}")
        except REFUSALS as error:
            raise CommandError(f"{error}; nothing changed") from error
        self.stdout.write(f"{version.name} serves; workers follow within a second")
