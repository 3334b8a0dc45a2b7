"""The portfolio and the model that figures are taken on: made at the first run, and kept."""

import sys

from django.core.management import call_command

from lending.models import Loan
from scoring import registry

# Enough that the latest tenth of their loans, on which the first model is judged, holds losses in any season.
BORROWERS = 2000


def set_up() -> None:
    """Make tables, law, portfolio and a first model, unless they are there.

    Without a model every decision would be an officer's, and the figures those of something else.
    """
    call_command("migrate", verbosity=0)
    call_command("load_fixtures", stdout=sys.stderr)
    if not Loan.objects.exists():
        call_command("demo_portfolio", borrowers=BORROWERS, stdout=sys.stderr)
    if registry.champion() is None:
        call_command("retrain", first=True, stdout=sys.stderr)
    if registry.champion() is None:
        raise SystemExit("bench: the first model stays shelved, so nothing scores; remove var/bench, try again")
