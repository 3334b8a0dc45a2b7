"""A crowd of applicants with the decisions of a model about them, and what became of their loans."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from lending.models import Application, Borrower, CountryPack, Decision, Loan
from ml import features as feature_list
from scoring import features
from tests import factories
from tests.scoring.history import local_date, number

PRICE = {"principal_cents": 50_000, "fee_cents": 2_500, "tax_cents": 500}
REFUSED = {"outcome": "decline", "reasons": [{"code": "score_low", "values": {}}], "next_step": "try_later"}
_people = count(1)


def decide(
    moments: Sequence[datetime],
    x: npt.NDArray[np.float32],
    scores: Sequence[float | None],
    *,
    version: str = "",
    languages: Sequence[str] = ("en",),
    approved: Sequence[bool] = (True,),
    seconds: float = 1.0,
    **changes: Any,
) -> list[Decision]:
    """Write an applicant, an application and a decision a row; languages and approvals go round.

    seconds: from the application to its decision. changes: of the decisions.
    """
    product, pack = factories.usual_product(), CountryPack.objects.get(country="KE")
    people = Borrower.objects.bulk_create(
        Borrower(
            msisdn=f"2547{place:08d}", msisdn_sha256="", full_name="Somebody", national_id=str(place),
            identity_index=f"watched {place}", registered_at=moments[0] - timedelta(days=900),
        )
        for place, _ in zip(_people, moments, strict=False)
    )  # fmt: skip
    goes = [approved[row % len(approved)] for row in range(len(moments))]
    asked = Application.objects.bulk_create(
        Application(
            borrower=who, product_version=product, country_pack=pack, origin=number(), reference=number(), **PRICE,
            apr=1, key_facts_text="", key_facts_language=languages[row % len(languages)], key_facts_version="1",
            key_facts_shown_at=moments[row], state="approved" if goes[row] else "declined",
            submitted_at=moments[row] - timedelta(seconds=seconds),
        )
        for row, who in enumerate(people)
    )  # fmt: skip
    made = []
    for row, application in enumerate(asked):
        kept = {"features": features.to_json(x[row]), "facts": {"may_score": True}, "invalid_feature": ""}
        usual = {
            "outcome": "approve", "score": scores[row], "limit_cents": 0, "inputs": kept, "reasons": [],
            "model_version": version, "feature_version": feature_list.VERSION, "policy_version": "1",
        }  # fmt: skip
        said = usual | ({} if goes[row] else REFUSED) | changes
        made.append(Decision(application=application, decided_at=moments[row], **said))
    return Decision.objects.bulk_create(made)


def lend(decisions: Sequence[Decision], lost: Sequence[bool], due_on: Any = None) -> list[Loan]:
    """Write the loan of each decision: 30 days, repaid on the day or 45 days late."""
    made = []
    for decision, is_lost in zip(decisions, lost, strict=True):
        asked = decision.application
        paid_out_at = asked.submitted_at
        due = due_on or local_date(paid_out_at) + timedelta(days=30)
        made.append(
            Loan(
                borrower=asked.borrower, application=asked, product_version=asked.product_version,
                country_pack=asked.country_pack, reference=asked.reference, currency="KES", **PRICE,
                identity_index=asked.borrower.identity_index, outstanding_cents=0, state="settled",
                approved_at=paid_out_at, disbursed_at=paid_out_at, due_on=due,
                settled_at=paid_out_at + timedelta(days=75 if is_lost else 29),
            )
        )  # fmt: skip
    return Loan.objects.bulk_create(made)


def spread(first: datetime, days: float, n: int) -> list[datetime]:
    """Return n moments, evenly over so many days."""
    return [first + timedelta(days=days * row / n) for row in range(n)]
