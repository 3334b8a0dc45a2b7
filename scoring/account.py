"""The account of a decision: what spoke against and for it, what would turn it, and what became of others like it.

It is worked out when a person asks for it, from what was stored with the decision and from the model that decided,
in plain NumPy: the web process never loads TensorFlow. Only the past cases depend on when it is asked.
Source: docs/domain/decisions.md, "The account of a decision".
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import QuerySet

from lending.models import Consent, Decision, Loan
from lending.ports import Account, Counted, PastCase, Reason, Way
from ml import features as feature_list
from ml import forward, recourse, similar
from ml.explain import Contribution, Told, explain, reasons
from ml.recourse import DAYS, Means, Plan
from scoring import features, policy, registry
from scoring.decide import smaller_amounts
from scoring.facts import DEFAULT_DAYS, local_day
from scoring.policy import Facts, Policy

Vector = npt.NDArray[np.float32]
Weights = dict[str, Vector]

MOST_REASONS = 5
MOST_SIMILAR = 5
# Past cases are looked for among so many of the latest whose outcome is known.
LATEST = 2_000
# A weekly saving that we name is a multiple of the amounts that we name, and no more than this share of the inflow.
WEEKLY_STEPS, MOST_SAVED = (1, 2, 4), 0.1


def account_of(application_id: int, at: datetime) -> Account | None:
    """Give account of the decision about an application; lending.ports.DecisionAccount.

    Raises:
        scoring.registry.UnknownModel, ml.artifact.ArtifactRefused: that model is no longer what it was.
        ml.features.InvalidFeature: it was decided by other features than those of today.
    """
    decision = Decision.objects.select_related("application__borrower", "application__product_version").get(
        application_id=application_id
    )
    values = decision.inputs.get("features")
    if decision.score is None or not values or not decision.model_version or "facts" not in decision.inputs:
        return None
    weights, vector = _weights_of(decision.model_version), features.from_json(values)
    usual = weights["encode/reference"]
    contributions = explain(partial(forward.scores, weights), vector, usual)
    against, in_favour = reasons(contributions, usual, most=MOST_REASONS)
    return Account(
        against=tuple(map(_counted, against)),
        in_favour=tuple(map(_counted, in_favour)),
        ways=tuple(ways_to_yes(decision, weights, vector)),
        similar=tuple(similar_cases(decision, weights, vector, contributions, at)),
    )


@lru_cache(maxsize=2)
def _weights_of(name: str) -> Weights:
    return registry.open_artifact(name).weights


def _counted(told: Told) -> Counted:
    return Counted(told.name, _known(told.value), _known(told.usual), told.log_odds, told.words)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- what would turn it -------------------------------------------------------------------------------------
def ways_to_yes(decision: Decision, weights: Weights, vector: Vector) -> tuple[Way, ...]:
    """Return the smallest change after which the policy would have approved, and where that is another amount, the
    smallest for the amount asked for. Nothing where it approved, or where lending held its approval back."""
    if decision.outcome == Decision.Outcome.APPROVE or decision.inputs.get("held_back"):
        return ()
    means = means_of(decision, weights, vector)
    found = turning(decision, weights, vector, means)
    shown = found[:1]
    if shown and shown[0].plan.asks_cents:
        shown += [way for way in found if way.plan.asks_cents is None][:1]
    return tuple(Way(tuple(steps_of(way.plan, vector, means)), way.chance) for way in shown)


def turning(decision: Decision, weights: Weights, vector: Vector, means: Means) -> list[recourse.Way]:
    """Return the ways after which the policy that decided would have approved, the smallest change first."""
    facts, rules = Facts(**decision.inputs["facts"]), Policy(**decision.inputs["policy"])
    found = recourse.ways(partial(forward.scores, weights), weights, vector, means, rules.approve_below)
    return [way for way in found if _approves(way, facts, rules)]


def _approves(way: recourse.Way, facts: Facts, rules: Policy) -> bool:
    judged = policy.judge(features.to_json(way.row), way.chance, facts_after(facts, way.plan), rules)
    return judged.outcome == policy.APPROVE


def facts_after(facts: Facts, plan: Plan) -> Facts:
    """Return what the policy would know of a person who has done what a plan says, and asks again."""
    asks = plan.asks_cents or facts.requested_cents
    changed = replace(facts, requested_cents=asks, total_cents=facts.total_cents * asks // facts.requested_cents)
    if not plan.months:
        return changed
    inflow, since = facts.monthly_inflow_cents, facts.days_since_default
    return replace(
        changed,
        monthly_inflow_cents=None if inflow is None else int(inflow * (1 + plan.more_inflow)),
        days_since_default=None if since is None else since + plan.months * DAYS,
        has_open_loan=facts.has_open_loan and not plan.repaid,
        applications_in_day=0,
        applications_in_week=0,
        payouts_in_day=0,
        payouts_in_week=0,
    )


def means_of(decision: Decision, weights: Weights, vector: Vector) -> Means:
    """Return what is within the reach of whoever was refused.

    Who said that their savings shall not count is not told to save; a loan that they could repay first is one that
    they would get now.
    """
    facts, rules = Facts(**decision.inputs["facts"]), Policy(**decision.inputs["policy"])
    less = Means(amounts_cents=smaller_amounts(facts, rules))
    at_once = [way.plan.asks_cents for way in turning(decision, weights, vector, less) if is_only_less(way.plan)]
    most = MOST_SAVED * (facts.monthly_inflow_cents or 0) / recourse.WEEKS
    weekly = [rules.offer_step_cents * n for n in WEEKLY_STEPS if n == 1 or rules.offer_step_cents * n <= most]
    refused = Consent.objects.filter(
        borrower=decision.application.borrower, purpose=Consent.Purpose.SAVINGS, granted=False, withdrawn_at=None
    )
    return replace(
        less,
        weekly_cents=[] if refused.exists() else weekly,
        loan_cents=max(filter(None, at_once), default=None),
    )


def is_only_less(plan: Plan) -> bool:
    return plan == Plan(asks_cents=plan.asks_cents)


def steps_of(plan: Plan, vector: Vector, means: Means) -> Iterator[Reason]:
    """Yield a plan as codes with values, in the order in which it is done."""
    months = {"months": plan.months}
    if plan.weekly_cents:
        yield Reason("save_weekly", {"amount_cents": plan.weekly_cents} | months)
    if plan.more_inflow:
        inflow = float(vector[feature_list.NAMES.index("wallet_in_30d_cents")])
        yield Reason("use_wallet", {"amount_cents": round(inflow * plan.more_inflow)} | months)
    if plan.repaid:
        has_open = vector[feature_list.NAMES.index("loans_open")] >= 1
        lent = {} if has_open else {"amount_cents": means.loan_cents}
        yield Reason("repay_in_time", {"loans": plan.repaid} | lent)
    if plan.months and not plan.takes_time:
        yield Reason("wait", months)
    if plan.reads_terms:
        yield Reason("read_terms")
    if plan.asks_cents:
        yield Reason("ask_less", {"amount_cents": plan.asks_cents})


# --- what became of others ----------------------------------------------------------------------------------
def similar_cases(
    decision: Decision, weights: Weights, vector: Vector, contributions: Sequence[Contribution], at: datetime
) -> list[PastCase]:
    """Return the past cases that are most like this one in what counted here, the likest first."""
    rows = list(past_decisions(decision, at))
    did = {one.name: one.log_odds for one in contributions}
    log_odds = np.array([did[name] for name in feature_list.NAMES])
    others = np.full((len(rows), len(feature_list.NAMES)), np.nan, np.float32)
    for column in similar.telling(log_odds):
        name = feature_list.NAMES[column]
        others[:, column] = np.array([row["inputs__features"][name] for row in rows], np.float32)
    likest = similar.nearest(weights, vector, others, log_odds, k=MOST_SIMILAR)
    return [_past_case(rows[place]) for place in likest]


def past_decisions(decision: Decision, at: datetime) -> "QuerySet[Decision, Any]":
    """Return earlier decisions about other people in the same currency, by the same features, whose loans had 30
    days after the due date to come back; not those that were given back at once or paid off by another loan."""
    application = decision.application
    ripe = Loan.objects.filter(
        disbursed_at__isnull=False,
        due_on__lt=local_day(at) - timedelta(days=DEFAULT_DAYS),
        credit_limit_cents__isnull=True,
        currency=application.product_version.currency,
    ).exclude(state=Loan.State.CANCELLED)
    earlier = Decision.objects.filter(
        id__lt=decision.id,
        feature_version=decision.feature_version,
        inputs__features__isnull=False,
        application__loan__in=ripe,
    )
    others = earlier.exclude(application__borrower__identity_index=application.borrower.identity_index)
    return (
        others.exclude(application__loan__refinanced_by__isnull=False)
        .order_by("-id")
        .values(
            "application_id",
            "application__reference",
            "application__principal_cents",
            "outcome",
            "score",
            "inputs__features",
            "application__loan__due_on",
            "application__loan__settled_at",
            "application__loan__written_off_at",
        )[:LATEST]
    )


def _past_case(row: Mapping[str, Any]) -> PastCase:
    settled_at, due_on = row["application__loan__settled_at"], row["application__loan__due_on"]
    days_late = (local_day(settled_at) - due_on).days if settled_at else None
    return PastCase(
        application_id=row["application_id"],
        reference=row["application__reference"],
        outcome=row["outcome"],
        score=row["score"],
        principal_cents=row["application__principal_cents"],
        days_late=days_late,
        repaid=days_late is not None and days_late <= DEFAULT_DAYS and not row["application__loan__written_off_at"],
    )
