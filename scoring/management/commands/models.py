"""List the model versions, let one serve, propose one to a second person, roll back, or write a model card."""

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lending.services.proposals import AlreadyPending
from ml.artifact import ArtifactRefused
from scoring import cards, promotion, registry
from scoring.models import ModelVersion, Promotion

REFUSALS = (
    registry.UnknownModel,
    registry.NothingToRollBackTo,
    ArtifactRefused,
    promotion.TwoPeopleNeeded,
    AlreadyPending,
    ValueError,
)


class Command(BaseCommand):
    help = "Show the models and what each is for; promote or propose one by name, write its card, or roll back."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = ["list", "history", "promote", "propose", "shelve", "rollback", "card"]
        parser.add_argument("action", nargs="?", default="list", choices=actions)
        parser.add_argument(
            "name", nargs="?", help="of the version to promote, propose, shelve or write the card of"
        )
        parser.add_argument("--reason", default="by command", help="for the audit trail")
        parser.add_argument("--out", type=Path, default=Path(), help="directory for the card; otherwise this one")
        parser.add_argument("--by", help="user name of whoever proposes; somebody else approves in the admin")

    def handle(self, *args: Any, **options: Any) -> None:
        action, name, reason = options["action"], options["name"] or "", options["reason"]
        if action in ("promote", "propose", "shelve", "card") and not name:
            raise CommandError(f"{action} needs the name of a version; `manage.py models` lists them")
        try:
            match action:
                case "list":
                    self.show()
                case "history":
                    self.show_history()
                case "promote":
                    self.promote(name, reason)
                case "propose":
                    self.propose(name, reason, options["by"])
                case "shelve":
                    self.shelve(name)
                case "rollback":
                    self.roll_back(reason)
                case "card":
                    self.write_card(name, options["out"])
        except REFUSALS as error:
            raise CommandError(f"{error}; nothing changed") from error

    def show(self) -> None:
        versions = list(ModelVersion.objects.prefetch_related("aliases", "promotions"))
        if not versions:
            self.stdout.write("no model yet; `manage.py retrain --first` makes one")
        for version in versions:
            judged = version.metrics.get("test") or {}
            measures = "  ".join(
                f"{name} {judged[name]:.4f}"
                for name in ("auc", "log_loss", "brier")
                if judged.get(name) is not None
            )
            now = registry.state(version)
            self.stdout.write(f"{version.name}  {now:<13}  {version.loans:>7,} loans  {measures}")

    def show_history(self) -> None:
        for row in Promotion.objects.select_related("version", "actor"):
            by = row.actor or "the system"
            self.stdout.write(f"{row.promoted_at:%Y-%m-%d %H:%M}  {row.version.name}  {by}  {row.reason}")

    def promote(self, name: str, reason: str) -> None:
        version = promotion.promote_alone(name, at=timezone.now(), reason=reason)
        self.stdout.write(f"{version.name} serves; workers follow within a second")

    def propose(self, name: str, reason: str, by: str | None) -> None:
        maker = User.objects.filter(username=by, is_active=True).first()
        if maker is None or not maker.has_perm("lending.add_proposal"):
            raise CommandError("propose needs --by and the name of an officer who may propose; nothing changed")
        promotion.propose(registry.find(name), maker=maker, reason=reason, at=timezone.now())
        self.stdout.write(f"{name} waits for a second person, who approves it in the admin")

    def shelve(self, name: str) -> None:
        registry.step_back(registry.find(name), registry.CHALLENGER, registry.SHADOW)
        self.stdout.write(f"{name} is neither challenger nor shadow; its run ends with the next call")

    def roll_back(self, reason: str) -> None:
        version = registry.rollback(at=timezone.now(), reason=f"rollback {reason}")
        self.stdout.write(f"{version.name} serves; workers follow within a second")

    def write_card(self, name: str, directory: Path) -> None:
        for path in cards.write(registry.find(name), directory):
            self.stdout.write(str(path))
