"""The account of a decision: what spoke against and for it, what would turn it, and what became of others like it.

It is worked out when a person asks for it, from what was stored with the decision and from the model that decided,
in plain NumPy: the web process never loads TensorFlow. Only the past cases depend on when it is asked.
Source: docs/domain/decisions.md, "The account of a decision".
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import QuerySet

from lending.models import Consent, Decision, Loan
from lending.ports import Account, Counted, PastCase, Reason, Way
from ml import features as feature_list
from ml import forward, recourse, similar
from ml.calibrate import log_odds
from ml.events import KIND, Events
from ml.explain import WORTH_SAYING, Contribution, Told, explain, reasons
from ml.recourse import DAYS, Means, Plan
from scoring import features, policy, registry, scorecard
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


@dataclass(frozen=True)
class Behind:
    """What stands behind a decision: its inputs, and the model that decided, asked in NumPy."""

    decision: Decision
    weights: Weights
    vector: Vector
    happened: Events

    @classmethod
    def of(cls, decision: Decision) -> "Behind":
        """Bring back what a scored decision saw and who scored it; raises as `account_of` says."""
        return cls(decision, _weights_of(decision.model_version), *features.told(decision.inputs))

    @property
    def facts(self) -> Facts:
        return Facts(**self.decision.inputs["facts"])

    @property
    def rules(self) -> Policy:
        return Policy(**self.decision.inputs["policy"])

    def score(self, rows: Vector) -> Vector:
        """Return the chance of default (m,) of others to whom the same has happened, rows (m, n_features)."""
        return forward.scores(self.weights, rows, self.happened[None])


def account_of(application_id: int, at: datetime) -> Account | None:
    """Give account of the decision about an application; lending.ports.DecisionAccount.

    Raises:
        scoring.registry.UnknownModel, ml.artifact.ArtifactRefused: that model is no longer what it was.
        ml.features.InvalidFeature: it was decided by other features than those of today.
    """
    about = ("application__borrower", "application__product_version")
    decision = Decision.objects.select_related(*about).get(application_id=application_id)
    if decision.model_version in scorecard.NO_MODEL or "facts" not in decision.inputs:
        return None
    behind = Behind.of(decision)
    usual = behind.weights["encode/reference"]
    contributions = explain(behind.score, behind.vector, usual)
    against, in_favour = reasons(contributions, usual, most=MOST_REASONS)
    story = what_happened(behind)
    return Account(
        against=_strongest([*map(_counted, against), *([story] if story.log_odds > WORTH_SAYING else [])]),
        in_favour=_strongest([*map(_counted, in_favour), *([story] if story.log_odds < -WORTH_SAYING else [])]),
        ways=ways_to_yes(behind),
        similar=similar_cases(behind, contributions, at),
    )


@lru_cache(maxsize=2)
def _weights_of(name: str) -> Weights:
    return registry.open_artifact(name).weights


def _counted(told: Told) -> Counted:
    return Counted(told.name, _known(told.value), _known(told.usual), told.log_odds, told.words)


def what_happened(behind: Behind) -> Counted:
    """Return what the events before the decision did together, beside a person to whom nothing has happened."""
    row = behind.vector[None]
    with_them, without = behind.score(row), forward.scores(behind.weights, row)
    effect = float((log_odds(with_them) - log_odds(without))[0])
    return Counted("last_events", int((behind.happened[:, KIND] > 0).sum()), None, effect, "")


def _strongest(counted: list[Counted]) -> tuple[Counted, ...]:
    return tuple(sorted(counted, key=lambda one: -abs(one.log_odds))[:MOST_REASONS])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- what would turn it -------------------------------------------------------------------------------------
def ways_to_yes(behind: Behind) -> tuple[Way, ...]:
    """Return the smallest change after which the policy would have approved, and where that is another amount, the
    smallest for the amount asked for. Nothing where it approved, or where lending held its approval back."""
    decision = behind.decision
    if decision.outcome == Decision.Outcome.APPROVE or decision.inputs.get("held_back"):
        return ()
    means = means_of(behind)
    found = turning(behind, means)
    shown = found[:1]
    if shown and shown[0].plan.asks_cents:
        shown += [way for way in found if way.plan.asks_cents is None][:1]
    return tuple(Way(tuple(steps_of(way.plan, behind.vector, means)), way.chance) for way in shown)


def turning(behind: Behind, means: Means) -> list[recourse.Way]:
    """Return the ways after which the policy that decided would have approved, the smallest change first."""
    facts, rules = behind.facts, behind.rules
    found = recourse.ways(behind.score, behind.weights, behind.vector, means, rules.approve_below)
    if not found:
        return []
    rows = np.array([way.row for way in found])
    shares = forward.forward(behind.weights, rows, behind.happened[None])["repaid_share"]
    return [way for way, share in zip(found, shares, strict=True) if _approves(way, float(share), facts, rules)]


def _approves(way: recourse.Way, repaid_share: float, facts: Facts, rules: Policy) -> bool:
    after = facts_after(facts, way.plan)
    judged = policy.judge(features.to_json(way.row), way.chance, after, rules, repaid_share=repaid_share)
    return judged.outcome == policy.APPROVE


def facts_after(facts: Facts, plan: Plan) -> Facts:
    """Return what the policy would know of a person who has done what a plan says, and asks again without a lot."""
    asks = plan.asks_cents or facts.requested_cents
    total_cents = facts.total_cents * asks // facts.requested_cents
    changed = replace(facts, requested_cents=asks, total_cents=total_cents, draw=1.0)
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


def means_of(behind: Behind) -> Means:
    """Return what is within the reach of whoever was refused.

    Who said that their savings shall not count is not told to save; a loan that they could repay first is one that
    they would get now.
    """
    facts, step = behind.facts, behind.rules.offer_step_cents
    less = Means(amounts_cents=policy.smaller_amounts(facts.requested_cents, facts.min_cents, step))
    at_once = [way.plan.asks_cents for way in turning(behind, less) if is_only_less(way.plan)]
    most = MOST_SAVED * (facts.monthly_inflow_cents or 0) / recourse.WEEKS
    weekly = [step * n for n in WEEKLY_STEPS if n == 1 or step * n <= most]
    refused = Consent.objects.filter(
        borrower=behind.decision.application.borrower,
        purpose=Consent.Purpose.SAVINGS,
        granted=False,
        withdrawn_at=None,
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
def similar_cases(behind: Behind, contributions: Sequence[Contribution], at: datetime) -> tuple[PastCase, ...]:
    """Return the past cases that are most like this one in what counted here, the likest first."""
    rows = list(past_decisions(behind.decision, at))
    did = {one.name: one.log_odds for one in contributions}
    log_odds = np.array([did[name] for name in feature_list.NAMES])
    others = np.full((len(rows), len(feature_list.NAMES)), np.nan, np.float32)
    for column in similar.telling(log_odds):
        name = feature_list.NAMES[column]
        others[:, column] = np.array([row["inputs__features"][name] for row in rows], np.float32)
    likest = similar.nearest(behind.weights, behind.vector, others, log_odds, k=MOST_SIMILAR)
    return tuple(_past_case(rows[place]) for place in likest)


def past_decisions(decision: Decision, at: datetime) -> "QuerySet[Decision, Any]":
    """Return earlier decisions about other people in the same currency, scored on the same features, whose loans
    had 30 days after the due date to come back; not those that were given back at once or paid off by another."""
    application = decision.application
    ripe = Decision.objects.filter(
        id__lt=decision.id,
        feature_version=decision.feature_version,
        score__isnull=False,
        application__loan__currency=application.product_version.currency,
        application__loan__disbursed_at__isnull=False,
        application__loan__due_on__lt=local_day(at) - timedelta(days=DEFAULT_DAYS),
        application__loan__credit_limit_cents__isnull=True,
    )
    others = (
        ripe.exclude(application__loan__state=Loan.State.CANCELLED)
        .exclude(application__loan__refinanced_by__isnull=False)
        .exclude(application__borrower__identity_index=application.borrower.identity_index)
    )
    return others.order_by("-id").values(
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
