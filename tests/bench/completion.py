"""How many customers come to the end of borrowing again over a network that drops them, with and without resuming.

python -m tests.bench.completion            (part of make bench)
"""

import argparse
from random import Random

from tests.bench import database

DATABASE = "jirani_completion"
SERVER = database.point_to(DATABASE)

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

import config.celery  # noqa: F401 - what is woken is woken through our application
from lending import outbox
from tests.bench.report import report
from tests.simulation import completion
from ussd import sessions


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--journeys", type=int, default=2000)
    parser.add_argument("--drop", type=float, default=0.03, help="chance that a hop is lost")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with database.own(SERVER, DATABASE):
        call_command("migrate", verbosity=0)
        call_command("load_fixtures", verbosity=0)
        settings.CREDIT_SCORER = "tests.factories.FixedScorer"
        settings.ALLOWED_HOSTS = ["testserver"]
        sessions.pause = lambda _: outbox.drain(timezone.now(), queue="scoring") and None
        outcome = completion.run(list(completion.registered(asked.journeys)), asked.drop, Random(asked.seed))
    report(
        "repeat_loan_journeys_completed", round(outcome.completed / outcome.journeys, 4), "share",
        "the same journeys when who is dropped gives up",
        round(outcome.completed_without_resume / outcome.journeys, 4),
        drop=asked.drop, seed=asked.seed, journeys=outcome.journeys, hops=outcome.hops, dropped=outcome.dropped,
        applications=outcome.applications, borrowers_with_two_loans=outcome.borrowers_with_two,
    )  # fmt: skip


if __name__ == "__main__":
    main()
