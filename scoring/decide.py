"""The credit scorer that lending asks: features, model, policy, and a verdict that can be replayed.

Nothing here imports TensorFlow; only asking a model for a score does (scoring.worker).
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lending.models import Application, Decision
from lending.ports import Reason, Verdict
from lending.services.applications import hold_back, verdict_of
from ml import events as event_list
from ml import features as feature_list
from ml.data import OFFERS
from ml.events import Events
from ml.explain import WORTH_SAYING, explain
from ml.features import InvalidFeature
from scoring import events, features, policy, worker
from scoring.facts import facts_of
from scoring.features import Asked
from scoring.policy import Facts, Policy
from scoring.worker import Served

logger = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]
Ask = Callable[[Vector], Vector]


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model said of one vector, and what of it hurt. `safer_cents`: see policy.Asking."""

    chance: float
    offer: Mapping[str, float]
    against: tuple[str, ...] = ()
    safer_cents: int | None = None


class NotOurs(LookupError):
    """A decision of a policy that came before this one, such as those of the demo portfolio."""


class KerasScorer:
    """lending.ports.CreditScorer by the network in this process."""

    def assess(self, application_id: int, at: datetime) -> Verdict:
        """Judge an application by what was known when it was submitted; `at` decides nothing.

        Never raises for want of a model or of a believable row: then a person decides.
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
        except Exception:  # whatever went wrong inside the model, it must not approve, and a person can
            logger.exception("application %s could not be scored", application_id)
            return verdict(inputs, None)


def scorer() -> KerasScorer:
    """Return the scorer that settings.CREDIT_SCORER names."""
    return KerasScorer()


def verdict(inputs: Mapping[str, Any], served: Served | None) -> Verdict:
    """Return the judgement that these inputs and this model give; no clock, no database."""
    facts, rules = Facts(**inputs["facts"]), Policy(**inputs["policy"])
    values = inputs["features"]
    scored = _score(served, *features.told(inputs), facts, rules) if served and values else None
    judged = policy.judge(
        values or {},
        scored.chance if scored else None,
        facts,
        rules,
        against=scored.against if scored else (),
        safer_cents=scored.safer_cents if scored else None,
    )
    return Verdict(
        outcome=judged.outcome,
        score=scored.chance if scored else None,
        offer=scored.offer if scored else {},
        limit_cents=judged.limit_cents,
        inputs=inputs,
        reasons=tuple(Reason(code, dict(said)) for code, said in judged.reasons),
        next_step=judged.next_step,
        model_version=served.name if served and scored else "",
        feature_version=feature_list.VERSION,
        policy_version=rules.version,
    )


def replay(decision: Decision) -> Verdict:
    """Judge again from what was stored with a decision and the model version that it names.

    Raises:
        NotOurs: it was not made here, so its inputs are another policy's.
        scoring.registry.UnknownModel, ml.artifact.ArtifactRefused: that model is no longer what it was.
    """
    if "facts" not in decision.inputs:
        raise NotOurs(f"policy {decision.policy_version} kept no facts to judge again")
    # Two paths differ in the last digits, and a replay has to give every one.
    path = decision.inputs.get("path")
    served = _load_for_replay(decision.model_version, path) if decision.model_version else None
    judged = verdict(decision.inputs, served)
    why = decision.inputs.get("held_back")
    return hold_back(judged, why) if why else judged


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
    said = served.scorer.predict(vector[None], happened[None])
    chance = float(said.default[0])
    offer = {name: float(weight) for name, weight in zip(OFFERS, said.offer[0], strict=True)}
    if chance < rules.approve_below:
        return Scored(chance, offer)

    def ask(x: Vector) -> Vector:
        # Whatever else had been true, the same has happened.
        return served.scorer.predict(x, happened[None]).default

    return Scored(chance, offer, against(ask, served, vector), safer_amount(ask, vector, facts, rules))


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


def safer_amount(ask: Ask, vector: Vector, facts: Facts, rules: Policy) -> int | None:
    """Return the largest smaller amount that the model would have approved, None for no such amount.

    Eighths of what was asked, rounded down to amounts that people say; all asked in one batch.
    """
    step = rules.offer_step_cents
    eighths = {facts.requested_cents * n // 8 // step * step for n in range(1, 8)}
    amounts = sorted({cents for cents in eighths if cents >= facts.min_cents}, reverse=True)
    if not amounts:
        return None
    chances = ask(np.array([_asking_for(vector, cents) for cents in amounts]))
    return next((c for c, chance in zip(amounts, chances, strict=True) if chance < rules.approve_below), None)


def _asking_for(vector: Vector, cents: int) -> Vector:
    """Return the same applicant asking for another amount."""
    at = feature_list.NAMES.index
    changed = vector.copy()
    changed[at("requested_cents")] = cents
    # The ratios scale with the amount; a missing one stays missing.
    for name in (name for name in feature_list.NAMES if name.startswith("requested_to_")):
        changed[at(name)] = vector[at(name)] * np.float32(cents) / vector[at("requested_cents")]
    return changed
