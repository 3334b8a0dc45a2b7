"""The credit scorer that lending asks: features, model, policy, and a verdict that can be replayed.

Nothing here imports TensorFlow; only asking a model for a score does (scoring.worker).
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lending.models import Application, Decision
from lending.ports import Exploration, Reason, Verdict
from lending.services.applications import hold_back, verdict_of
from ml import events as event_list
from ml import features as feature_list
from ml.data import OFFERS
from ml.events import Events
from ml.explain import WORTH_SAYING, explain
from ml.features import InvalidFeature
from ml.predict import Prediction
from ml.recourse import asking_for
from scoring import events, features, policy, scorecard, worker
from scoring.facts import facts_of
from scoring.features import Asked
from scoring.policy import Facts, Judgement, Policy
from scoring.worker import Served

logger = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]
Ask = Callable[[Vector], Vector]
Predict = Callable[[Vector], Prediction]


@dataclass(frozen=True, slots=True)
class Scored:
    """What `by`, a model or the scorecard, said of one vector, and what of it hurt. The rest: see policy.Asking."""

    by: str
    chance: float
    offer: Mapping[str, float]
    repaid_share: float | None = None
    against: tuple[str, ...] = ()
    safer_cents: int | None = None


class NotAChance(ValueError):
    """A model answered with what cannot be a chance."""


class NotOurs(LookupError):
    """A decision of a policy that came before this one, such as those of the demo portfolio."""


class KerasScorer:
    """lending.ports.CreditScorer by the network in this process."""

    def assess(self, application_id: int, at: datetime) -> Verdict:
        """Judge an application by what was known when it was submitted; `at` decides nothing.

        Never raises for want of a model, for which the scorecard stands in, or of a believable row: then a person
        decides.
        """
        application = Application.objects.select_related("borrower", "product_version", "country_pack").get(
            id=application_id
        )
        facts = facts_of(application, policy.IN_FORCE)
        values, invalid = _features_of(application) if facts.may_score else (None, "")
        happened = event_list.to_json(events.build_one(Asked.of(application))) if values else []
        inputs = {
            "as_of": application.submitted_at.isoformat(),
            "features": values,
            "events": happened,
            "invalid_feature": invalid,
            "facts": asdict(facts),
            "policy": asdict(policy.IN_FORCE),
        }
        served = _model_if_any() if values is not None else None
        inputs["path"] = served.scorer.path if served else ""
        try:
            return verdict(inputs, served)
        except Exception:  # whatever went wrong inside the model, it decides nothing; the scorecard may
            logger.exception("application %s could not be scored", application_id)
            return verdict(inputs, None)


def scorer() -> KerasScorer:
    """Return the scorer that settings.CREDIT_SCORER names."""
    return KerasScorer()


def verdict(inputs: Mapping[str, Any], served: Served | None) -> Verdict:
    """Return the judgement that these inputs and this model give; no clock, no database.

    Without a model the scorecard is asked, where the policy wants it.
    """
    facts, rules = Facts(**inputs["facts"]), Policy(**inputs["policy"])
    values = inputs["features"]
    scored = None
    if values and served:
        scored = _score(served, *features.told(inputs), facts, rules)
    elif values and rules.scorecard_below:
        scored = Scored(scorecard.VERSION, scorecard.chance(values), {})
    judged = policy.judge(
        values or {},
        scored.chance if scored else None,
        facts,
        rules,
        against=scored.against if scored else (),
        safer_cents=scored.safer_cents if scored else None,
        repaid_share=scored.repaid_share if scored else None,
        offer=scored.offer if scored else {},
        by_scorecard=scored is not None and scored.by == scorecard.VERSION,
    )
    return _as_verdict(judged, inputs, scored, rules)


def _as_verdict(judged: Judgement, inputs: Mapping[str, Any], scored: Scored | None, rules: Policy) -> Verdict:
    exploration = None
    if judged.otherwise is not None:
        otherwise = _as_verdict(judged.otherwise, inputs, scored, rules)
        exploration = Exploration(rules.explore_loans_per_day, rules.explore_cents_per_day, otherwise)
    return Verdict(
        outcome=judged.outcome,
        score=scored.chance if scored else None,
        offer=scored.offer if scored else {},
        limit_cents=judged.limit_cents,
        inputs=inputs,
        reasons=tuple(Reason(code, dict(said)) for code, said in judged.reasons),
        next_step=judged.next_step,
        step_values=dict(judged.step_values),
        model_version=scored.by if scored else "",
        feature_version=feature_list.VERSION,
        policy_version=rules.version,
        propensity=judged.propensity,
        exploration=exploration,
    )


def replay(decision: Decision) -> Verdict:
    """Judge again from what was stored with a decision and the model version that it names.

    Raises:
        NotOurs: it was not made here, so its inputs are another policy's.
        scoring.registry.UnknownModel, ml.artifact.ArtifactRefused: that model is no longer what it was.
    """
    if "facts" not in decision.inputs:
        raise NotOurs(f"policy {decision.policy_version} kept no facts to judge again")
    served = None
    if decision.model_version not in scorecard.NO_MODEL:
        # Two paths differ in the last digits, and a replay has to give every one.
        served = _load_for_replay(decision.model_version, decision.inputs.get("path"))
    judged = verdict(decision.inputs, served)
    why = decision.inputs.get("held_back") or decision.inputs.get("lot_void")
    return hold_back(judged, why) if why else replace(judged, exploration=None)


def as_bytes(judged: Mapping[str, Any]) -> bytes:
    """Return a verdict, as `dataclasses.asdict` or `applications.verdict_of` gives it, in one canonical form."""
    return json.dumps(judged, sort_keys=True, allow_nan=False).encode()


def replays(decision: Decision) -> bool:
    """Say whether judging again gives the very bytes of the decision on record."""
    return as_bytes(asdict(replay(decision))) == as_bytes(verdict_of(decision))


# Replaying many decisions asks few models; the cache keeps the latest ones ready.
@lru_cache(maxsize=4)
def _load_for_replay(name: str, path: str | None) -> Served:
    return worker.load(name, path)


def _features_of(application: Application) -> tuple[dict[str, float | None] | None, str]:
    """Return the features by name, or None and the name of the one that cannot be true."""
    try:
        vector = features.build_one(Asked.of(application))
    except InvalidFeature as error:
        logger.error("application %s: %s", application.id, error)
        return None, error.name
    return features.to_json(vector), ""


def _model_if_any() -> Served | None:
    """Return the champion of this process; a failure to load it is no reason to fail the application."""
    try:
        return worker.serving()
    except worker.NotAScoringProcess:
        raise
    except Exception:
        logger.exception("no model could be loaded")
        return None


def _score(served: Served, vector: Vector, happened: Events, facts: Facts, rules: Policy) -> Scored:
    def predict(x: Vector) -> Prediction:
        # Whatever else were true, the same has happened.
        return served.scorer.predict(x, happened[None])

    said = predict(vector[None])
    chance, share = float(said.default[0]), float(said.repaid_share[0])
    if not 0 <= chance <= 1:
        raise NotAChance(f"{served.name} answered {chance}")
    offer = {name: float(weight) for name, weight in zip(OFFERS, said.offer[0], strict=True)}
    if policy.would_lend(facts.requested_cents, chance, share, facts, rules) is not None:
        return Scored(served.name, chance, offer, share)

    hurt = against(lambda x: predict(x).default, served, vector)
    return Scored(served.name, chance, offer, share, hurt, safer_amount(predict, vector, facts, rules))


def against(ask: Ask, served: Served, vector: Vector) -> tuple[str, ...]:
    """Return the features that raised the chance of default, worst first, where their sentence would be true."""
    reference = served.scorer.model.reference
    value, usual = features.to_json(vector), features.to_json(reference)
    return tuple(
        effect.name
        for effect in explain(ask, vector, reference)
        if effect.log_odds > WORTH_SAYING
        and policy.speaks_truly(effect.name, value[effect.name], usual[effect.name])
    )


def safer_amount(predict: Predict, vector: Vector, facts: Facts, rules: Policy) -> int | None:
    """Return the smaller amount that is expected to earn most of those that would be lent by the score, None where
    none would; all are asked in one batch."""
    amounts = policy.smaller_amounts(facts.requested_cents, facts.min_cents, rules.offer_step_cents)
    if not amounts:
        return None
    said = predict(np.array([asking_for(vector, cents) for cents in amounts]))
    return policy.best_amount(amounts, said.default.tolist(), said.repaid_share.tolist(), facts, rules)
