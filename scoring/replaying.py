"""Another policy or another model over the decisions of the past: what it would have approved, lost and earned.

A loan that was never made has no outcome. What became of the loans that the computer made is weighed by the chance
that the other policy gives them over the chance that they had (inverse propensity weighting, self-normalised: Owen
2013, "Monte Carlo", chapter 9), and how much of what it would lend cannot be known that way is told beside.
Intervals come from resamples of whole borrowers. Nothing is written. Source: docs/domain/decisions.md, "Another
policy over the past".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings

from lending.models import Decision, Loan
from lending.rules import calendar
from ml import features as feature_list
from ml.data import OFFERS
from ml.gate import INTERVAL, MOST_WEIGHT, Groups, resamples
from scoring import features, policy, scorecard, training, worker
from scoring.policy import Facts, Judgement, Policy

Numbers = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]
# How often each of n decisions counts (n,) -> a figure of them; NaN where there is nothing to go by.
Figure = Callable[[Numbers], float]

BATCH = 2_000
# What held a decision back and would not bind another policy; an open loan for example would.
NOT_BOUNDS = (None, "computer_stopped", "pot_empty")


class PolicyRefused(ValueError):
    """There is no such policy, or its numbers are not those of a policy."""


@dataclass(frozen=True)
class Past:
    """What was decided and became of it, a decision a row; (n,) each.

    approved: by the computer. possible: the chance that it would be, before the lot. known: a loan of the computer
    whose outcome is ripe; of the others, defaulted, lent, lost and earned are 0. Money is in cents: lent arrived,
    lost is what of it never came back, earned is what came back less what was lent and the tax.
    """

    people: Groups
    languages: Groups
    currencies: Groups
    asked: Numbers
    approved: Flags
    possible: Numbers
    known: Flags
    defaulted: Flags
    lent: Numbers
    lost: Numbers
    earned: Numbers

    def __len__(self) -> int:
        """Return the number of decisions."""
        return len(self.approved)


@dataclass(frozen=True)
class Again:
    """What the other policy says of the same decisions: the chance of each answer; (n,) each."""

    approve: Numbers
    refer: Numbers
    decline: Numbers


# --- which policy -------------------------------------------------------------------------------------------
def policy_named(given: str) -> Policy:
    """Return a policy by its version, or the one in force with the numbers that a JSON file changes.

    Raises:
        PolicyRefused: nobody decided by this version, or the file names what no policy has.
    """
    if given in ("", policy.IN_FORCE.version):
        return policy.IN_FORCE
    if given.endswith(".json"):
        return _changed(Path(given))
    kept = Decision.objects.filter(policy_version=given, inputs__has_key="policy")
    if found := kept.values_list("inputs__policy", flat=True).first():
        try:
            return Policy(**found)
        except TypeError as error:
            raise PolicyRefused(f"policy {given} had other numbers than those of today: {error}") from None
    raise PolicyRefused(f"no decision was made by a policy {given}, and it is no .json file")


def _changed(path: Path) -> Policy:
    try:
        changes = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PolicyRefused(f"{path}: {error}") from None
    if not isinstance(changes, dict):
        raise PolicyRefused(f"{path}: needs an object of changed numbers, got {type(changes).__name__}")
    numbers: dict[str, Any] = {"version": f"{policy.IN_FORCE.version} with {path.name}"} | changes
    for name, value in changes.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        off = name == "least_profit_cents" and value is None
        if name not in KINDS or (name != "version" and not is_number and not off):
            raise PolicyRefused(f"{path}: {name} = {value!r} is no number of a policy")
        if wrong := _out_of_range(name, value):
            raise PolicyRefused(f"{path}: {name} {wrong}, got {value!r}")
    return replace(policy.IN_FORCE, **numbers)


KINDS = {one.name: one.type for one in fields(Policy)}
# An amount is named in multiples of these.
STEPS = {"offer_step_cents", "save_step_cents"}


def _out_of_range(name: str, value: Any) -> str:
    """Return in words what a changed number has to be, "" where it is that: what is no whole number is a share."""
    if name == "version" or value is None:
        return ""
    if KINDS[name] is float:
        return "" if 0 <= value <= 1 else "must be from 0 to 1"
    if not isinstance(value, int):
        return "must be a whole number"
    least = 1 if name in STEPS else 0
    return "" if value >= least or name == "least_profit_cents" else f"must be at least {least}"


# --- judging again --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Scored:
    """What a model says of n applicants; NaN where nothing was scored. by_scorecard: for want of a model."""

    chance: Numbers
    repaid_share: Numbers
    offers: Sequence[Mapping[str, float]]
    by_scorecard: Flags


def judge_again(decisions: Sequence[Decision], rules: Policy, model: str = "") -> Again:
    """Judge stored inputs by another policy and, where one is named, by another model.

    Facts stay as they were stored, also those that another policy would have counted otherwise: the explained rung,
    the rungs that only a person lends, and what the pot held.
    """
    said = _scores(decisions, model)
    chances = np.zeros((len(decisions), 3))
    for row, decision in enumerate(decisions):
        chances[row] = _chances(decision, rules, said, row)
    return Again(*chances.T)


def _chances(decision: Decision, rules: Policy, said: Scored, row: int) -> list[float]:
    """Return the chance of approve, refer and decline: of a lot that is drawn, and of one that is not."""
    kept, chance, share = Facts(**decision.inputs["facts"]), said.chance[row], said.repaid_share[row]

    def judged(draw: float) -> Judgement:
        return policy.judge(
            decision.inputs["features"] or {},
            None if np.isnan(chance) else float(chance),
            replace(kept, draw=draw),
            rules,
            repaid_share=None if np.isnan(share) else float(share),
            offer=said.offers[row],
            by_scorecard=bool(said.by_scorecard[row]),
        )

    found = [0.0, 0.0, 0.0]
    outcomes = (policy.APPROVE, policy.REFER, policy.DECLINE)
    drawn, not_drawn = judged(0.0), judged(1.0)
    by_lot = drawn.propensity if drawn.otherwise is not None else 0.0
    for answer, weight in ((drawn, by_lot), (not_drawn, 1 - by_lot)):
        is_bound = (decision.inputs.get("held_back") or decision.inputs.get("lot_void")) not in NOT_BOUNDS
        outcome = decision.outcome if is_bound and answer.outcome == policy.APPROVE else answer.outcome
        found[outcomes.index(outcome)] += weight
    return found


def _scores(decisions: Sequence[Decision], model: str) -> Scored:
    """Ask the model that is named, else the one of each decision, in batches."""
    n = len(decisions)
    said = Scored(np.full(n, np.nan), np.full(n, np.nan), [{}] * n, np.zeros(n, bool))
    rows_of: dict[str, list[int]] = {}
    for row, decision in enumerate(decisions):
        if decision.inputs["features"]:
            rows_of.setdefault(model or decision.model_version, []).append(row)
    for name, rows in rows_of.items():
        if name in scorecard.NO_MODEL:
            said.by_scorecard[rows] = name == scorecard.VERSION
            known = rows if name else []
            said.chance[known] = [scorecard.chance(decisions[row].inputs["features"]) for row in known]
            continue
        scorer = worker.load(name).scorer
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            told = [features.told(decisions[row].inputs) for row in some]
            found = scorer.predict(*map(np.array, zip(*told, strict=True)))
            said.chance[some], said.repaid_share[some] = found.default, found.repaid_share
            for row, offer in zip(some, found.offer, strict=True):
                said.offers[row] = dict(zip(OFFERS, map(float, offer), strict=True))  # type: ignore[index]
    return said


# --- what was -------------------------------------------------------------------------------------------------
def decided(first: date, last: date) -> "tuple[list[Decision], int]":
    """Return the decisions of some days, the last included, that can be judged again, and how many cannot.

    Those cannot that another policy or another list of features left without facts of today's kind.
    """
    start = calendar.start_of(first, settings.TIME_ZONE)
    end = calendar.start_of(last + timedelta(days=1), settings.TIME_ZONE)
    every = Decision.objects.filter(decided_at__gte=start, decided_at__lt=end).order_by("id")
    judged = every.filter(inputs__has_key="facts", feature_version=feature_list.VERSION)
    found = list(judged.select_related("application__borrower", "application__product_version"))
    return found, every.count() - len(found)


def became(decisions: Sequence[Decision], at: datetime) -> Past:
    """Return what is known of decisions at a moment. A loan's outcome is ripe as in training: 30 days after its due
    date; a loan that a person approved has no chance that is known, so its outcome is not counted."""
    n = len(decisions)
    approved = np.array([one.outcome == Decision.Outcome.APPROVE for one in decisions], bool)
    propensity = np.array([one.propensity for one in decisions])
    ripe, prices = training.outcomes(at), _prices([one.application_id for one in decisions])
    place = {int(key): row for row, key in enumerate(ripe.application_ids)}
    known, defaulted = np.zeros(n, bool), np.zeros(n, bool)
    lent, lost, earned = np.zeros(n), np.zeros(n), np.zeros(n)
    for row, decision in enumerate(decisions):
        key = decision.application_id
        if not approved[row] or key not in place or key not in prices:
            continue
        arrived, price, tax = prices[key]
        back = min(1.0, float(ripe.repaid_share[place[key]])) * (arrived + price)
        known[row], defaulted[row] = True, ripe.default[place[key]]
        lent[row], lost[row], earned[row] = arrived, max(0.0, arrived - back), back - arrived - tax

    def texts(of: Callable[[Decision], str]) -> Groups:
        return np.array([of(one) for one in decisions], dtype=np.str_)

    return Past(
        people=texts(lambda one: one.application.borrower.identity_index),
        languages=texts(lambda one: one.application.key_facts_language),
        currencies=texts(lambda one: one.application.product_version.currency),
        asked=np.array([one.application.principal_cents for one in decisions], np.float64),
        approved=approved,
        possible=np.where(approved, propensity, 1 - propensity),
        known=known,
        defaulted=defaulted,
        lent=lent,
        lost=lost,
        earned=earned,
    )


def _prices(application_ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """Return what arrived, what was charged for it and the tax in it, in cents, by application."""
    loans = Loan.objects.filter(application_id__in=application_ids)
    rows = loans.values_list(
        "application_id", "principal_cents", "deducted_cents", "fee_cents", "interest_cents", "tax_cents"
    )
    return {
        key: (principal - deducted, fee + interest + tax, tax)
        for key, principal, deducted, fee, interest, tax in rows
    }


# --- the figures ------------------------------------------------------------------------------------------------
def weights_of(past: Past, again: Again) -> Numbers:
    """Return for how many decisions each known loan speaks under the other policy (n,), 0 for all others."""
    return np.minimum(_uncut(past, again), MOST_WEIGHT)


def _uncut(past: Past, again: Again) -> Numbers:
    return np.divide(again.approve, past.possible, out=np.zeros(len(past)), where=past.known)


def report(past: Past, again: Again, *, seed: int = 0) -> dict[str, Any]:
    """Return shares, outcomes, money and fairness as they were and as they would be, ready for JSON.

    Each figure is [value, low, high], of which the last two bound 90 % of the resamples; None: nothing is known.
    """
    every = _shares(past, again) | _money(past, again) | _fairness(past, again)
    found = _with_intervals(every, past.people, seed=seed)
    return {
        "decisions": len(past),
        "people": len(np.unique(past.people)),
        "known": _what_is_known(past, again),
        "figures": found,
    }


def _what_is_known(past: Past, again: Again) -> dict[str, float]:
    """Return of what share of the loans that the other policy would make the outcome can be known, and why not of
    the rest: not due for long enough, or never lent to by a lot or the computer."""
    weights, total = weights_of(past, again), float(again.approve.sum())
    could_be = past.possible > 0
    never = float(again.approve[~could_be].sum())
    # A loan that was made and is not ripe, and what lots that fell otherwise would have shown, by the loans alike.
    ripe_of = past.approved & could_be
    ripe = float(past.known[ripe_of].mean()) if ripe_of.any() else 0.0
    spread = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
    return {
        "expected_loans": total,
        "never_lent_share": never / total if total else 0.0,
        "not_ripe_share": (total - never) / total * (1 - ripe) if total else 0.0,
        "known_share": (total - never) / total * ripe if total else 0.0,
        "known_loans": int((weights > 0).sum()),
        "effective_loans": spread,
        "cut_weights": int((_uncut(past, again) > MOST_WEIGHT).sum()),
    }


def _shares(past: Past, again: Again) -> dict[str, Figure]:
    weights, plain = weights_of(past, again), past.known.astype(np.float64)
    bad = past.defaulted.astype(np.float64)
    as_it_was, weighted = _ratio(plain * bad, plain), _ratio(weights * bad, weights)
    return {
        "approved_as_it_was": _mean(past.approved),
        "approved": _mean(again.approve),
        "referred": _mean(again.refer),
        "declined": _mean(again.decline),
        "defaulted_as_it_was": as_it_was,
        "defaulted": weighted,
        "defaulted_change": lambda counts: weighted(counts) - as_it_was(counts),
        "defaulted_unweighted": _ratio((weights > 0) * bad, (weights > 0).astype(np.float64)),
    }


def _money(past: Past, again: Again) -> dict[str, Figure]:
    """By currency: what is asked for by those approved, and of each unit lent what is lost and earned."""
    weights, plain = weights_of(past, again), past.known.astype(np.float64)
    found: dict[str, Figure] = {}
    for currency in np.unique(past.currencies):
        here = (past.currencies == currency).astype(np.float64)
        found |= {
            f"lent_as_it_was_{currency}": _sum(here * past.approved * past.asked / 100),
            f"lent_{currency}": _sum(here * again.approve * past.asked / 100),
        }
        for name, of in (("loss_rate", past.lost), ("profit_rate", past.earned)):
            found |= {
                f"{name}_as_it_was_{currency}": _ratio(here * plain * of, here * plain * past.lent),
                f"{name}_{currency}": _ratio(here * weights * of, here * weights * past.lent),
            }
    return found


def _fairness(past: Past, again: Again) -> dict[str, Figure]:
    """By language: the share approved, and how often beside the group that is approved most."""
    groups = [str(group) for group in np.unique(past.languages) if group]
    members = {group: (past.languages == group).astype(np.float64) for group in groups}

    def beside_the_best(group: str) -> Figure:
        def of(weights: Numbers) -> float:
            shares = {one: _mean(again.approve)(weights * rows) for one, rows in members.items()}
            best = np.nanmax(list(shares.values()))
            return float(shares[group] / best) if best else float("nan")

        return of

    found: dict[str, Figure] = {}
    for group, rows in members.items():
        found |= {
            f"approved_as_it_was_language_{group}": _ratio(rows * past.approved, rows),
            f"approved_language_{group}": _ratio(rows * again.approve, rows),
            f"approved_beside_the_best_language_{group}": beside_the_best(group),
        }
    return found


def _with_intervals(figures: Mapping[str, Figure], people: Groups, *, seed: int) -> dict[str, list[float] | None]:
    """Work each figure out on all decisions and on resamples of whole borrowers."""
    _, who = np.unique(people, return_inverse=True)
    n = int(who.max()) + 1 if len(who) else 0
    drawn = [[of(counts[who]) for of in figures.values()] for counts in resamples(n, seed)] if n else []
    found: dict[str, list[float] | None] = {}
    for at, (name, of) in enumerate(figures.items()):
        value, spread = of(np.ones(len(who))), np.array([row[at] for row in drawn])
        spread = spread[np.isfinite(spread)]
        ends = [float(end) for end in np.quantile(spread, INTERVAL)] if len(spread) else []
        found[name] = [value, *ends] if np.isfinite(value) and ends else None
    return found


def _ratio(above: Numbers, below: Numbers) -> Figure:
    def of(weights: Numbers) -> float:
        total = float(weights @ below)
        return float(weights @ above) / total if total else float("nan")

    return of


def _mean(values: Numbers | Flags) -> Figure:
    return _ratio(values.astype(np.float64), np.ones(len(values)))


def _sum(values: Numbers) -> Figure:
    return lambda weights: float(weights @ values)


def replayed(
    first: date, last: date, rules: Policy, *, model: str = "", at: datetime, seed: int = 0
) -> dict[str, Any]:
    """Return the report of a policy over the decisions of some days, as known at a moment. Reads only.

    Raises:
        scoring.registry.UnknownModel, ml.artifact.ArtifactRefused: the model is not what was registered.
    """
    decisions, lost = decided(first, last)
    past = became(decisions, at)
    head = {"from": first.isoformat(), "to": last.isoformat(), "policy": asdict(rules), "model": model}
    return head | {"cannot_be_judged_again": lost} | report(past, judge_again(decisions, rules, model), seed=seed)
