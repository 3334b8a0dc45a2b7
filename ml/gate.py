"""Whether a challenger may take over from the champion: what is measured on loans that neither has learnt from.

A figure is measured once on those loans and once on each of 1,000 resamples of them, the same for all figures. What
the loans themselves give away is in ml/suspicion.py, how a model behaves in ml/behaviour.py, and
scoring/judging.py puts all of it together. Every limit and where it comes from: docs/gate.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.data import Dataset
from ml.drift import drift
from ml.measures import Array, calibration_error, judge, log_losses

# x (n, n_features), and events (n, 128, 4) where there are any -> chance of default (n,).
ScoreRows = Callable[..., Array]
Rows = npt.NDArray[np.int64]
Groups = npt.NDArray[np.str_]
# How often each of n loans counts (n,) -> a figure of them.
Figure = Callable[[Array], float]
# (the figure, the figures of the resamples, the limit) -> whether it holds.
Rule = Callable[[float, Array, float], bool]

LEAST_LOANS = 200
LEAST_DEFAULTS = 20
# The latest of the later loans: more would cost minutes, and move no interval that matters.
MOST_LOANS = 20_000
RESAMPLES = 1_000
INTERVAL = (0.05, 0.95)
# Lower log-loss must hold in this share of resamples: one lucky week must not change who decides.
CONFIDENCE = 0.90
AUC_TOLERANCE = 0.01
BRIER_TOLERANCE = 0.05
# A first model has no rival but the plain default rate of the very loans it is judged on, which no forecast knew.
FIRST_LOG_LOSS_TOLERANCE = 0.005
LEAST_AUC = 0.55
# On mobile microloans 0.6 to 0.77 is usual, and 0.87 the best on a bank's cards: above this, the future was known.
MOST_AUC = 0.90
MOST_AUC_GAIN = 0.15
CALIBRATION_TOLERANCE = 0.01
FIRST_CALIBRATION_ERROR = 0.10
CALIBRATION_DRAWS = 200
SLICE_LOANS = 200
SLICE_AUC_TOLERANCE = 0.03
# The four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures, 1978, section 4D.
LEAST_APPROVAL_RATIO = 0.80
UNKNOWN_GROUP = ""
# One loan that was lent by lot must not speak for more than so many.
MOST_WEIGHT = 20.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger beside the champion on the same loans, and the verdict in words.

    log_loss_gain: champion's log-loss minus the challenger's, so above 0 is better; low and high bound
    90 % of its bootstrap resamples, chance_better is the share of them above 0.
    """

    challenger: dict[str, float]
    champion: dict[str, float]
    log_loss_gain: float
    low: float
    high: float
    chance_better: float
    better: bool
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was found in words.

    figure: what was found; limit: what it is held to; interval: what bounds 90 % of its resamples. None where there
    is no such thing.
    """

    name: str
    passed: bool
    words: str
    figure: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of the later loans, what it is held to, and how it is told: `words` names {figure}, {low}, {high}.

    Without a rule it is told and held to nothing.
    """

    name: str
    of: Figure
    words: str
    limit: float | None = None
    rule: Rule | None = None


@dataclass(frozen=True)
class Trial:
    """Loans decided after everything that either model learnt from, with what both say of them.

    y: (n,) 0 or 1. ours, theirs: (n,) chance of default by the challenger and by the champion; with no champion,
    theirs is the plain default rate of these very loans.
    """

    y: Array
    ours: Array
    theirs: Array
    has_champion: bool

    @property
    def is_enough(self) -> bool:
        """Say whether these loans can decide anything."""
        return len(self.y) >= LEAST_LOANS and int(self.y.sum()) >= LEAST_DEFAULTS


@dataclass(frozen=True)
class Money:
    """What n loans earned, in cents: what came back less what was lent and the tax on its price."""

    currency: Groups
    earned: Array


def to_be_judged_on(loans: Dataset, seen_until: int) -> npt.NDArray[np.bool_]:
    """Return which loans (n,) were decided later than what either model saw, the latest 20,000 of them."""
    later = loans.decided_at > seen_until
    if later.sum() > MOST_LOANS:
        later &= loans.decided_at >= np.sort(loans.decided_at)[-MOST_LOANS]
    return later


def trial(challenger: ScoreRows, champion: ScoreRows | None, later: Dataset) -> Trial:
    """Ask both models about loans decided after everything either of them learnt from."""
    y, ours = later.default, challenger(*later.told)
    theirs = champion(*later.told) if champion else np.full(len(y), y.mean() if len(y) else 0.5)
    return Trial(y=y, ours=ours, theirs=theirs, has_champion=champion is not None)


# --- the verdict of log-loss, AUC and Brier, which the registry keeps ----------------------------------------
def compare(on: Trial, *, seed: int = 0) -> Comparison:
    """Judge both by a paired bootstrap over the loans."""
    if not on.is_enough:
        return Comparison({}, {}, 0.0, 0.0, 0.0, 0.0, False, (enough(on).words,))
    gains = log_losses(on.y, on.theirs) - log_losses(on.y, on.ours)
    means = np.array([weights @ gains / weights.sum() for weights in resamples(len(gains), seed)])
    against = tuple(check.words for check in weigh(accuracy(on), len(on.y), seed=seed) if not check.passed)
    ours, theirs = judge(on.y, on.ours), judge(on.y, on.theirs)
    praise = f"log-loss {ours['log_loss']:.4f} against {theirs['log_loss']:.4f} on {len(on.y)} later loans"
    low, high = (float(end) for end in np.quantile(means, INTERVAL))
    return Comparison(
        challenger=ours,
        champion=theirs,
        log_loss_gain=float(gains.mean()),
        low=low,
        high=high,
        chance_better=float((means > 0).mean()),
        better=not against,
        why=against or (praise,),
    )


def enough(on: Trial) -> Check:
    """Say whether there are loans to be judged on."""
    needed = f"needs {LEAST_LOANS} later loans with {LEAST_DEFAULTS} defaults"
    words = f"{needed}, got {len(on.y)} with {int(on.y.sum())}"
    return Check("later_loans", on.is_enough, words, figure=float(len(on.y)), limit=float(LEAST_LOANS))


# --- how a figure is held to its limit ------------------------------------------------------------------------
def at_least(figure: float, drawn: Array, limit: float) -> bool:
    return figure >= limit


def at_most(figure: float, drawn: Array, limit: float) -> bool:
    return figure <= limit


def mostly_above(figure: float, drawn: Array, limit: float) -> bool:
    """Say whether it is above the limit in nine of ten resamples."""
    return float((drawn > limit).mean()) >= CONFIDENCE


def not_surely_below(figure: float, drawn: Array, limit: float) -> bool:
    """Say whether chance can explain that it is below the limit."""
    return float(np.nanquantile(drawn, INTERVAL[1])) >= limit


def resamples(n: int, seed: int) -> Iterator[Array]:
    """Yield how often each of n loans (n,) is in each of 1,000 draws with replacement (Efron 1979)."""
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def weigh(measures: Sequence[Measure], n: int, *, seed: int = 0) -> list[Check]:
    """Return what each measure says of n loans, with the interval that its resamples leave."""
    drawn = np.array([[measure.of(weights) for measure in measures] for weights in resamples(n, seed)])
    return [_held(measure, measure.of(np.ones(n)), drawn[:, at]) for at, measure in enumerate(measures)]


def _held(measure: Measure, figure: float, drawn: Array) -> Check:
    low, high = (float(end) for end in np.nanquantile(drawn, INTERVAL))
    passed = measure.rule is None or measure.limit is None or measure.rule(figure, drawn, measure.limit)
    better = float((drawn > 0).mean())
    words = measure.words.format(figure=figure, low=low, high=high, better=better, limit=measure.limit)
    return Check(measure.name, bool(passed), words, figure, measure.limit, (low, high))


# --- what it means for the refused -----------------------------------------------------------------------------
def with_and_without(on: Trial, propensity: Array) -> dict[str, Any]:
    """Return the measures of both models plain, and with each loan counted 1 / propensity times, up to MOST_WEIGHT.

    propensity: (n,) chance that each loan had of being made. What was lent by lot stands for all who were refused
    but for a lot (Horvitz and Thompson 1952); who is refused for sure stands nowhere.
    """
    weights = np.minimum(1 / propensity, MOST_WEIGHT)
    every: dict[str, Any] = {"loans_by_lot": int((propensity < 1).sum()), "speak_for": float(weights.sum())}
    for name, p in (("challenger", on.ours), ("champion", on.theirs if on.has_champion else None)):
        if p is not None and len(on.y):
            every[name] = {"plain": _weighted(on.y, p, np.ones(len(p))), "weighted": _weighted(on.y, p, weights)}
    return every


def _weighted(y: Array, p: Array, weights: Array) -> dict[str, float]:
    p = p.astype(np.float64)
    return {
        "default_rate": float(weights @ y / weights.sum()),
        "mean_chance": float(weights @ p / weights.sum()),
        "auc": Ranking(y, p).auc(weights),
        "log_loss": float(weights @ log_losses(y, p) / weights.sum()),
        "brier": float(weights @ (p - y) ** 2 / weights.sum()),
    }


# --- how well the later loans are told apart, and how true the chances are -----------------------------------
def accuracy(on: Trial) -> list[Measure]:
    """Return what decides whether the challenger is better than the champion; of a first model, than nothing."""
    losses = log_losses(on.y, on.ours), log_losses(on.y, on.theirs)
    gains = losses[1] - losses[0]
    told = f"log-loss {losses[0].mean():.4f} against {losses[1].mean():.4f}"
    if not on.has_champion:
        most = f"{FIRST_LOG_LOSS_TOLERANCE} more than the plain rate's"
        return [
            Measure(
                "log_loss", _mean(gains), f"{told}, at most {most}", -FIRST_LOG_LOSS_TOLERANCE, at_least,
            ),
        ]  # fmt: skip
    ranked, theirs = Ranking(on.y, on.ours), Ranking(on.y, on.theirs)
    everyone = np.ones(len(on.y))
    errors = [(p.astype(np.float64) - on.y) ** 2 for p in (on.ours, on.theirs)]
    return [
        Measure(
            "log_loss", _mean(gains),
            f"{told} is lower in {{better:.0%}} of resamples, needs {CONFIDENCE:.0%}", 0.0, mostly_above,
        ),
        Measure(
            "auc", lambda weights: ranked.auc(weights) - theirs.auc(weights),
            f"AUC {ranked.auc(everyone):.3f} against {theirs.auc(everyone):.3f}, at most {AUC_TOLERANCE} lower",
            -AUC_TOLERANCE, at_least,
        ),
        Measure(
            "brier", lambda weights: float(weights @ errors[0] / (weights @ errors[1]) - 1),
            f"Brier {errors[0].mean():.4f} against {errors[1].mean():.4f}, at most {BRIER_TOLERANCE:.0%} higher",
            BRIER_TOLERANCE, at_most,
        ),
    ]  # fmt: skip


def plausibility(on: Trial) -> list[Measure]:
    """Return what tells a model that knows nothing, and one that has seen the future."""
    ranked, theirs = Ranking(on.y, on.ours), Ranking(on.y, on.theirs)
    found = [
        Measure(
            "skill", ranked.auc,
            f"AUC {{figure:.3f}}, needs {LEAST_AUC}: below, it cannot tell who repays", LEAST_AUC, at_least,
        ),
        Measure(
            "too_good", ranked.auc,
            f"AUC {{figure:.3f}}, at most {MOST_AUC} can be believed: above, it knows what came later",
            MOST_AUC, at_most,
        ),
    ]  # fmt: skip
    if on.has_champion:
        found.append(
            Measure(
                "too_great_a_gain", lambda weights: ranked.auc(weights) - theirs.auc(weights),
                f"AUC {{figure:+.3f}} beside the champion's, at most +{MOST_AUC_GAIN} can be believed",
                MOST_AUC_GAIN, at_most,
            )
        )  # fmt: skip
    return found


def calibration(on: Trial, *, seed: int = 0) -> Measure:
    """Return how far promised and observed rates lie apart, ten groups by score; chance alone also sets them apart.

    Passed is what is no further apart than the champion's, within a tolerance, or than the promises would be from
    outcomes drawn by them in 99 of 100 draws.
    """
    order, edges = _groups(on.ours)
    gap = (on.ours.astype(np.float64) - on.y)[order]

    def error(weights: Array) -> float:
        ordered = weights[order]
        return float(np.abs(np.add.reduceat(ordered * gap, edges)).sum() / ordered.sum())

    theirs = calibration_error(on.y, on.theirs) + CALIBRATION_TOLERANCE
    usual = theirs if on.has_champion else FIRST_CALIBRATION_ERROR
    limit = max(usual, error_by_chance(on.ours, seed=seed))
    words = f"calibration error {{figure:.3f}}, at most {limit:.3f}, which the champion or chance leaves"
    return Measure("calibration", error, words, limit, at_most)


def error_by_chance(p: Array, *, seed: int = 0) -> float:
    """Return the calibration error that true chances p: (n,) show in 99 of 100 draws of outcomes at most."""
    order, edges = _groups(p)
    p, rng = p[order].astype(np.float64), np.random.default_rng(seed)
    gaps = (np.add.reduceat(p - (rng.random(len(p)) < p), edges) for _ in range(CALIBRATION_DRAWS))
    return float(np.quantile([np.abs(gap).sum() / len(p) for gap in gaps], 0.99))


def _groups(p: Array) -> tuple[Rows, Rows]:
    """Return the rows in order of score, and where each of the ten groups of `calibration_error` begins."""
    order = np.argsort(p, kind="stable")
    sizes = [len(group) for group in np.array_split(order, 10)]
    return order, np.cumsum([0, *sizes[:-1]])


def score_drift(on: Trial, *, is_better: bool) -> Check:
    """Say how far the challenger's scores lie from the champion's; a lower log-loss explains any distance."""
    moved = drift(on.theirs, on.ours)
    explained = "explained by the lower log-loss" if is_better else "not explained: the log-loss is no lower"
    words = f"scores moved by PSI {moved.psi:.3f}, chance leaves {moved.threshold:.3f}"
    if moved.moved:
        words += f"; {explained}"
    return Check("score_drift", not moved.moved or is_better, words, moved.psi, moved.threshold)


# --- profit under the policy ----------------------------------------------------------------------------------
def profit(on: Trial, money: Money, *, approve_below: float) -> list[Measure]:
    """Return, by currency, what the loans would have earned that each model approves, and the difference.

    Only loans that were made have an outcome: what a model would earn on the refused is not known. The rules that
    ask for no score had their say before these loans were made.
    """
    found: list[Measure] = []
    for currency in np.unique(money.currency[money.currency != UNKNOWN_GROUP]):
        rows = np.flatnonzero(money.currency == currency)
        earned = np.where(money.currency == currency, money.earned, 0) / 100
        by_ours = earned * (on.ours < approve_below)
        by_theirs = earned * (on.theirs < approve_below) * on.has_champion
        between = "between {low:,.0f} and {high:,.0f} in 90 % of resamples"
        of = f"{currency} {{figure:,.0f}} on {len(rows)} later loans, {between}"
        found += [
            Measure(f"profit_{currency}", _sum(by_ours), f"the challenger would earn {of}"),
            Measure(f"profit_of_champion_{currency}", _sum(by_theirs), f"the champion would earn {of}"),
            Measure(
                f"profit_gain_{currency}", _sum(by_ours - by_theirs),
                f"profit of the challenger less the champion's: {of}; chance must leave 0", 0.0, not_surely_below,
            ),
        ]  # fmt: skip
    return found


# --- every group ------------------------------------------------------------------------------------------------
def slices(
    on: Trial, facts: Mapping[str, Groups], *, fair: frozenset[str], approve_below: float
) -> tuple[list[Measure], list[Check]]:
    """Return what is measured in each group of borrowers, and which groups are too small for it.

    facts: the group of each loan (n,) by what sets the groups apart. In `fair` are those by which nobody may be
    approved less often; a newcomer may, for good reason.
    """
    measures: list[Measure] = []
    small: list[Check] = []
    for fact, groups in facts.items():
        named = [str(group) for group in np.unique(groups) if group != UNKNOWN_GROUP]
        large = [group for group in named if (groups == group).sum() >= SLICE_LOANS]
        for group in named:
            within = groups == group
            bad, size = int(on.y[within].sum()), int(within.sum())
            if size >= SLICE_LOANS and min(bad, size - bad) >= LEAST_DEFAULTS:
                measures.append(_auc_of_slice(on, f"{fact} {group}", np.flatnonzero(within)))
            else:
                needed = f"{SLICE_LOANS} with {LEAST_DEFAULTS} of either outcome are needed to tell"
                words = f"{fact} {group}: {size} later loans with {bad} defaults, {needed}"
                small.append(Check(f"too_few_{fact}_{group}", True, words, float(size), float(SLICE_LOANS)))
        if fact in fair and len(large) > 1:
            approved = on.ours < approve_below
            measures += [_approvals_of_slice(approved, fact, group, groups, large) for group in large]
    return measures, small


def _auc_of_slice(on: Trial, name: str, rows: Rows) -> Measure:
    ours = Ranking(on.y[rows], on.ours[rows])
    everyone, key = np.ones(len(rows)), name.replace(" ", "_")
    if not on.has_champion:
        least = 0.5 - SLICE_AUC_TOLERANCE
        words = f"{name}: AUC {{figure:.3f}} on {len(rows)} later loans, needs {least}"
        return Measure(f"auc_{key}", lambda weights: ours.auc(weights[rows]), words, least, at_least)
    theirs = Ranking(on.y[rows], on.theirs[rows])
    told = f"AUC {ours.auc(everyone):.3f} against {theirs.auc(everyone):.3f} on {len(rows)} later loans"
    return Measure(
        f"auc_{key}",
        lambda weights: ours.auc(weights[rows]) - theirs.auc(weights[rows]),
        f"{name}: {told}, at most {SLICE_AUC_TOLERANCE} lower",
        -SLICE_AUC_TOLERANCE,
        at_least,
    )


def _approvals_of_slice(
    approved: npt.NDArray[np.bool_], fact: str, group: str, groups: Groups, large: Sequence[str]
) -> Measure:
    members = [(groups == each).astype(np.float64) for each in large]

    def ratio(weights: Array) -> float:
        shares = [float((weights * each) @ approved / max(weights @ each, 1)) for each in members]
        return shares[large.index(group)] / max(shares) if max(shares) else 1.0

    told = f"{fact} {group}: approved {{figure:.2f}} times as often as the best group"
    words = f"{told}, needs {LEAST_APPROVAL_RATIO}"
    return Measure(f"approvals_{fact}_{group}", ratio, words, LEAST_APPROVAL_RATIO, at_least)


class Ranking:
    """Loans in the order of their score, from which the AUC of any resample is quickly worked out."""

    def __init__(self, y: Array, p: Array) -> None:
        self._order = np.argsort(p, kind="stable")
        ordered = p[self._order]
        self._starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self._bad = (y > 0.5)[self._order]

    def auc(self, weights: Array) -> float:
        """Return `measures.auc` with each loan (n,) counted so often; NaN where one outcome has no weight."""
        ordered = weights[self._order]
        bad, good = (np.add.reduceat(ordered * side, self._starts) for side in (self._bad, ~self._bad))
        pairs = bad.sum() * good.sum()
        return float(bad @ (np.cumsum(good) - good / 2) / pairs) if pairs else float("nan")


def _mean(values: Array) -> Figure:
    return lambda weights: float(weights @ values / weights.sum())


def _sum(values: Array) -> Figure:
    return lambda weights: float(weights @ values)


def as_score_rows(predict: Callable[..., Any]) -> ScoreRows:
    """Return the default column of `Scorer.predict` or of anything that answers in the same shape."""
    return lambda *told: predict(*told).default
