"""What the plots of a model card show, in plain numbers: sums over many loans and no loan of anybody.

Worked out once, when a model is judged, and kept with its version: a card that is drawn years later shows what was
seen on that day. How to read each: docs/model-card.md.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ml import measures
from ml.calibrate import log_odds
from ml.data import Dataset
from ml.drift import binned, drift
from ml.explain import explain
from ml.gate import INTERVAL, SLICE_LOANS, UNKNOWN_GROUP, Groups, Money, ScoreRows, Trial, enough, resamples
from ml.measures import Array, score_groups, share_interval

Figures = dict[str, Any]

# A curve of so many points looks like one of all loans.
POINTS = 200
# Bars of the distribution of scores, from 0 to 1.
BARS = 40
# Thresholds at which the profit is worked out, up to the one that approves nearly all.
THRESHOLDS = 24
NEARLY_ALL = 0.99
# Applicants whose scores are explained, each by so many orders and their reverse. Every applicant's own figure is
# rough at that; the mean over them is not.
EXPLAINED, ORDERS = 50, 2
STRONGEST = 15


def figures(
    on: Trial,
    later: Dataset,
    score: ScoreRows,
    reference: Array,
    *,
    approve_below: float,
    facts: Mapping[str, Groups] | None = None,
    money: Money | None = None,
    seed: int = 0,
) -> Figures:
    """Return what every plot shows, ready for JSON; `too_few` alone, in words, where the loans cannot tell.

    on: what both models say of the later loans. score, reference: the challenger and its usual applicant
    (n_features,). facts, money: as `ml.gate.slices` and `ml.gate.profit` take them, where they are known.
    """
    if not on.is_enough:
        return {"too_few": enough(on).words}
    return {
        "loans": len(later),
        "defaults": int(on.y.sum()),
        "decided_from": day(int(later.decided_at.min())),
        "decided_until": day(int(later.decided_at.max())),
        "approve_below": approve_below,
        "roc": {side: roc(on.y, p) for side, p in both(on).items()},
        "gain": {side: gain(on.y, p) for side, p in both(on).items()},
        "calibration": calibration(on.y, on.ours),
        "distribution": distribution(on.y, on.ours),
        "profit": profit(on, money, approve_below=approve_below, seed=seed) if money else [],
        "importance": importance(score, later, reference),
        "groups": by_group(on, facts or {}, approve_below=approve_below),
        "drift": moved(on) if on.has_champion else None,
    }


def both(on: Trial) -> dict[str, Array]:
    """Return the chances that there are to show: with no champion, the challenger's alone."""
    return {"challenger": on.ours} | ({"champion": on.theirs} if on.has_champion else {})


def day(seconds: int) -> str:
    """Return the date in UTC of a moment in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


# --- how well payers and defaulters are told apart ----------------------------------------------------------------
def roc(y: Array, p: Array) -> Figures:
    """Return which share of the payers and of the defaulters scores above each threshold, and the area under it."""
    at = np.unique(p)[::-1]
    above = [_share_above(p[side], at) for side in (y <= 0.5, y > 0.5)]
    shown = np.unique(np.linspace(0, len(at) - 1, min(POINTS, len(at))).astype(int))
    payers, defaulters = (plain([0.0, *shares[shown]]) for shares in above)
    return {"payers": payers, "defaulters": defaulters, "auc": measures.auc(y, p), "ks": measures.ks(y, p)}


def _share_above(p: Array, at: Array) -> Array:
    """Return the share of p at or above each threshold."""
    return np.asarray(1 - np.searchsorted(np.sort(p), at, side="left") / len(p))


def gain(y: Array, p: Array) -> Figures:
    """Return which share of the defaulters is among the riskiest 0, 5, ... 100 % of the loans."""
    found = np.append(0, np.cumsum((y > 0.5)[np.argsort(-p, kind="stable")])) / (y > 0.5).sum()
    parts = np.linspace(0, 1, 21)
    return {"riskiest": plain(parts), "found": plain(found[np.round(parts * len(y)).astype(int)])}


# --- how true the chances are -------------------------------------------------------------------------------------
def calibration(y: Array, p: Array) -> list[Figures]:
    """Return promised and observed share lost of the ten groups of `measures.calibration_error`."""
    return [
        {"loans": len(rows), "promised": float(p[rows].mean(dtype=np.float64)), **observed(y[rows])}
        for rows in score_groups(p)
    ]


def observed(happened: Array) -> Figures:
    """Return the share (n,) of which something is true, and between what the true share lies in 90 % of cases."""
    count = int((happened > 0.5).sum())
    low, high = share_interval(count, len(happened))
    return {"share": count / len(happened), "low": low, "high": high}


def distribution(y: Array, p: Array) -> Figures:
    """Return how many payers and defaulters score in each fortieth of the way from 0 to 1."""
    edges = np.linspace(0, 1, BARS + 1)
    payers, defaulters = (np.histogram(p[side], edges)[0].tolist() for side in (y <= 0.5, y > 0.5))
    return {"payers": payers, "defaulters": defaulters}


# --- what it earns ------------------------------------------------------------------------------------------------
def profit(on: Trial, money: Money, *, approve_below: float, seed: int) -> list[Figures]:
    """Return by currency what is earned where all loans below a threshold are approved, with its interval.

    What `ml.gate.profit` measures at the threshold in force, on the same resamples at all thresholds at once.
    """
    most = min(float(np.quantile(on.ours, NEARLY_ALL)), 1.0)
    thresholds = np.unique([*np.round(np.linspace(0, most, THRESHOLDS + 1)[1:], 3), approve_below])

    def below(values: Array, p: Array) -> Array:
        """Return the sum of the values (n,) of the loans below each threshold."""
        first = np.searchsorted(thresholds.astype(p.dtype), p, side="right")
        return np.asarray(np.cumsum(np.bincount(first, values, minlength=len(thresholds) + 1))[:-1], np.float64)

    found = []
    for currency in np.unique(money.currency[money.currency != UNKNOWN_GROUP]).tolist():
        within = (money.currency == currency).astype(np.float64)
        earned = money.earned / 100 * within
        drawn = [below(weights * earned, on.ours) for weights in resamples(len(earned), seed)]
        columns = {
            "below": thresholds,
            "approved": below(within, on.ours) / within.sum(),
            "earned": below(earned, on.ours),
            "interval": np.quantile(drawn, INTERVAL, axis=0).T,
        }
        if on.has_champion:
            columns["champion"] = below(earned, on.theirs)
        curve = [
            dict(zip(columns, point, strict=True)) for point in zip(*map(plain, columns.values()), strict=True)
        ]
        found.append({"currency": currency, "curve": curve})
    return found


# --- what moves the score -----------------------------------------------------------------------------------------
def importance(score: ScoreRows, later: Dataset, reference: Array) -> Figures:
    """Return the features that move the log-odds most: the mean of |Shapley value| over applicants of all times.

    Beside them, as `events`, how far what happened last moves them, all of it together.
    """
    rows = np.unique(np.linspace(0, len(later) - 1, min(EXPLAINED, len(later))).astype(int))
    moved = dict.fromkeys(later.names, 0.0)
    told = later.in_time_order().take(rows)
    if told.events is not None:
        moved["events"] = float(np.abs(log_odds(score(*told.told)) - log_odds(score(told.x))).mean())
    for row in told.x:
        for part in explain(score, row, reference, names=later.names, orders=ORDERS):
            moved[part.name] += abs(part.log_odds) / len(rows)
    ranked = sorted(moved, key=lambda name: -moved[name])[:STRONGEST]
    of = sum(moved.values()) or 1.0
    return {
        "applicants": len(rows),
        "features": [
            {"name": name, "log_odds": moved[name], "part": moved[name] / of} for name in ranked if moved[name]
        ],
    }


# --- whom it treats how -------------------------------------------------------------------------------------------
def by_group(on: Trial, facts: Mapping[str, Groups], *, approve_below: float) -> Figures:
    """Return of each group of 200 loans and more what was promised, lost and approved; the others by name."""
    large: list[Figures] = []
    small: list[Figures] = []
    for fact, groups in facts.items():
        for group in np.unique(groups[groups != UNKNOWN_GROUP]).tolist():
            within = groups == group
            known: Figures = {"fact": fact, "group": group, "loans": int(within.sum())}
            if known["loans"] < SLICE_LOANS:
                small.append(known)
                continue
            known["promised"] = float(on.ours[within].mean(dtype=np.float64))
            known["lost"] = observed(on.y[within])
            known["approved"] = observed((on.ours[within] < approve_below).astype(np.float32))
            large.append(known)
    return {"large": large, "too_few": small}


def moved(on: Trial) -> Figures:
    """Return which share of the loans either model puts in each tenth of the champion's scores, and `ml.drift`."""
    edges, theirs, ours = binned(on.theirs, on.ours)
    far = drift(on.theirs, on.ours)
    known = slice(0, len(edges) + 1)  # a score is never missing
    return {
        "edges": plain(edges),
        "champion": plain(theirs[known]),
        "challenger": plain(ours[known]),
        "psi": far.psi,
        "threshold": far.threshold,
    }


def plain(values: Any) -> Any:
    """Return arrays and tuples as lists, and numbers to six digits: nobody sees more in a plot."""
    if isinstance(values, Mapping):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, np.ndarray | Sequence) and not isinstance(values, str):
        return [plain(value) for value in values]
    return float(f"{values:.6g}") if isinstance(values, float) else values
