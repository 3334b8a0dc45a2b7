"""Another policy or model on past applications: `manage.py replay_policy --policy new.json --from 2026-01-01`."""

import json
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.utils import timezone

from ml.artifact import ArtifactRefused
from scoring import registry, replaying


class Command(BaseCommand):
    help = "Judge past applications by another policy or model and show approvals, losses, profit and fairness."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--policy", default="", help="a version, or a JSON file of changed numbers")
        parser.add_argument("--model", default="", help="a version or champion; left out: each decision's own")
        parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="DATE")
        parser.add_argument("--to", dest="last", type=date.fromisoformat, default=None, metavar="DATE")
        parser.add_argument("--seed", type=int, default=0, help="of the resamples")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, first: date, last: date | None, **options: Any) -> None:
        model = options["model"]
        if model == registry.CHAMPION:
            model = registry.champion_name() or ""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                # PostgreSQL itself refuses whatever would be written.
                cursor.execute("SET TRANSACTION READ ONLY")
                rules = replaying.policy_named(options["policy"])
                last = last or timezone.localdate()
                found = replaying.replayed(first, last, rules, model=model, at=timezone.now(), seed=options["seed"])
        except (replaying.PolicyRefused, registry.UnknownModel, ArtifactRefused) as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(json.dumps(found, allow_nan=False) if options["json"] else in_words(found))


def in_words(found: dict[str, Any]) -> str:
    """Return a report for people, a line a figure."""
    known, by = found["known"], found["model"] or "the model of each"
    lines = [
        f"{found['decisions']} decisions of {found['people']} people, {found['from']} to {found['to']}, by policy"
        f" {found['policy']['version']} and {by}; {found['cannot_be_judged_again']} cannot be judged again",
        f"of the {known['expected_loans']:.1f} loans that it would make the outcome is known of"
        f" {known['known_share']:.0%}, not ripe yet of {known['not_ripe_share']:.0%}, and unknown of"
        f" {known['never_lent_share']:.0%}: the computer lent to nobody like them",
        f"what follows about outcomes rests on {known['known_loans']} loans, worth {known['effective_loans']:.1f}"
        f" that count alike; {known['cut_weights']} weights were cut",
    ]
    width = max(map(len, found["figures"]), default=0)
    for name, said in found["figures"].items():
        words = "not known" if said is None else "{} ({} to {})".format(*(figure(name, one) for one in said))
        lines.append(f"{name.replace('_', ' '):{width}}  {words}")
    return "\n".join(lines)


def figure(name: str, value: float) -> str:
    """Return money whole and everything else as a share."""
    return f"{value:,.0f}" if name.startswith("lent_") else f"{value:.1%}"
