"""The account of a decision as an officer reads it: what counted, what would turn it, and what became of others."""

import logging
import math
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from lending import ports
from lending.admin import cells, words
from lending.models import Application, Decision

logger = logging.getLogger(__name__)

# The longest bar, in pixels.
BAR = 120


def shown(row: Application) -> SafeString | str:
    """Return the account of an application's decision for its page; a sentence where there is none.

    Whatever keeps the model from being asked, the page opens without it.
    """
    try:
        given = ports.decision_account()(row.pk, timezone.now())
    except Exception:  # a model that is gone or damaged must not keep an officer from deciding
        logger.exception("no account of application %s", row.pk)
        return "It cannot be worked out now. What the decision kept is below."
    if given is None:
        return "No score stands behind this decision."
    return render_to_string("lending/account.html", _context(given, row))  # type: ignore[return-value]


def _context(given: ports.Account, row: Application) -> dict[str, Any]:
    currency = row.product_version.currency
    counted = (*given.against, *given.in_favour)
    strongest = max((abs(one.log_odds) for one in counted), default=1.0)
    ways = [
        {
            "what": words.way(((step.code, step.values) for step in way.steps), currency),
            "chance": words.chance(way.chance),
        }
        for way in given.ways
    ]
    return {
        "sides": (
            ("Against", [_line(one, strongest, currency) for one in given.against]),
            ("For", [_line(one, strongest, currency) for one in given.in_favour]),
        ),
        "ways": ways,
        "is_refused": row.decision.outcome != Decision.Outcome.APPROVE,
        "held_back": words.held_back(row.decision.inputs.get("held_back", "")),
        "headers": CASE,
        "similar": [_case(one, currency) for one in given.similar],
        "repaid": sum(one.repaid for one in given.similar),
    }


def _line(one: ports.Counted, strongest: float, currency: str) -> dict[str, Any]:
    sign = "×" if one.log_odds > 0 else "÷"
    return {
        "name": words.input_name(one.name),
        "words": one.words,
        "value": words.input_value(one.name, one.value, currency),
        "usual": "none" if one.usual is None else words.input_value(one.name, one.usual, currency),
        "odds": f"{sign} {math.exp(abs(one.log_odds)):.2f}",
        "bar": max(2, round(BAR * abs(one.log_odds) / strongest)),
    }


CASE = ("Case", "Asked for", "Chance of default", "Approved by", "What became of it")


def _case(one: ports.PastCase, currency: str) -> tuple[str, ...]:
    """Return a past case without a name: whoever opens its page is written down as having looked."""
    by_computer = one.outcome == Decision.Outcome.APPROVE
    return (
        cells.link(Application(pk=one.application_id), cells.masked_reference(one.reference)),
        cells.shown(one.principal_cents, currency),
        f"{one.score:.1%}",
        "the computer" if by_computer else "an officer",
        _became(one.days_late),
    )


def _became(days_late: int | None) -> str:
    if days_late is None:
        return "Not repaid"
    return f"Repaid {days_late} days late" if days_late > 0 else "Repaid in time"
