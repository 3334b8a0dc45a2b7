"""Say where people leave the conversation, how long they wait and what it costs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from ussd import reports

HEAD = ("screen", "network", "shown", "left", "resumed", "drop-off", "p50 ms", "p99 ms", "cost")


class Command(BaseCommand):
    help = "Print drop-off, latency and cost of each screen and network over the last days, tab by tab."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=7)

    def handle(self, *args: Any, days: int, **options: Any) -> None:
        self.stdout.write("\t".join(HEAD))
        for one in reports.last_days(days, timezone.now()):
            cells = (
                one.screen, one.network, one.shown, one.left, one.resumed, f"{one.drop_off:.1%}",
                round(one.p50_ms), round(one.p99_ms), f"{one.currency} {one.cost:.4f}".strip(),
            )  # fmt: skip
            self.stdout.write("\t".join(map(str, cells)))
