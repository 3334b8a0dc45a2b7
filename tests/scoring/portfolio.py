"""A small portfolio of loans that ended, with a known story: the more somebody asked for, the more was lost."""

from datetime import datetime, timedelta

import numpy as np

from lending.models import Application, CountryPack, Loan
from ml.train import Plan
from tests import factories
from tests.ml.conftest import SMALL
from tests.scoring.history import at_noon, local_date, number

# Learns from 40 %, so that a few hundred loans leave enough later ones to judge by.
PLAN = Plan(shares=(0.4, 0.1, 0.1, 0.4), recipe=SMALL.recipe)
HOURS = timedelta(hours=1)


def lend(loans: int, until: datetime, *, people: int = 6, seed: int = 5, lost: float = 0.5) -> None:
    """Write so many loans whose outcomes are known at `until`, the oldest first."""
    rng = np.random.default_rng(seed)
    borrowers = [
        factories.register(f"Borrower {n}", f"2547112{n:05d}", f"2345{n:04d}", at=until - timedelta(days=200))
        for n in range(people)
    ]
    product, pack = factories.usual_product(), CountryPack.objects.get(country="KE")
    applications, made = [], []
    for place in range(loans):
        paid_out_at = until - timedelta(days=100) - (loans - place) * HOURS
        place_of_amount = rng.random()
        principal_cents = 20_000 + int(place_of_amount * 480) * 1_000
        days_late = 45 if rng.random() < lost * place_of_amount else 0
        common = {
            "borrower": borrowers[place % people], "product_version": product, "country_pack": pack,
            "principal_cents": principal_cents, "fee_cents": principal_cents // 20,
            "tax_cents": principal_cents // 100, "reference": number(),
        }  # fmt: skip
        application = Application(
            **common, origin=number(), apr=1, key_facts_text="", key_facts_language="en", key_facts_version="1",
            key_facts_shown_at=paid_out_at, state="approved", submitted_at=paid_out_at - timedelta(minutes=1),
        )  # fmt: skip
        due_on = local_date(paid_out_at) + timedelta(days=30)
        applications.append(application)
        made.append(
            Loan(
                **common, application=application, identity_index=common["borrower"].identity_index, currency="KES",
                outstanding_cents=0, state="settled", approved_at=paid_out_at, disbursed_at=paid_out_at,
                due_on=due_on, settled_at=at_noon(due_on + timedelta(days=days_late)),
            )
        )  # fmt: skip
    Application.objects.bulk_create(applications)
    Loan.objects.bulk_create(made)
