"""How a model must behave whatever it learnt, tried on real applicants.

The kinds are those of Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList":
what must change nothing (invariance), what must move the chance of default one way (direction), and the least that
it must get right (minimum function). Invariance and the ends of the ranges are hard: one failure fails. Each
direction changes several features at once, some of them without a promise (ml/features.py), so directions are
measured: for at most a stated share of applicants may the chance go the wrong way by more than a margin. Features
are found by name; every limit: docs/gate.md.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import features
from ml.events import GAP, KIND, PROMISES, Events
from ml.features import InvalidFeature
from ml.gate import Check, ScoreRows
from ml.measures import Array

Rows = npt.NDArray[np.float32]
Paths = Mapping[str, ScoreRows]

MOST_VECTORS = 1_000
ALONE = 20
SAME = 1e-6
# A chance that moves by less than one point moves nobody across a threshold that a person would notice.
MARGIN = 0.01
MOST_AGAINST = 0.05
LEAST_FOR_A_DIRECTION = 20
# Two changes are believed less, because they also say something else: who means to run off begins with clean
# loans, and who was lent more was trusted more. On the demo's book a sound network is at 5 to 8 % with the first.
MOST_AGAINST_WHERE_MIXED = 0.20
MORE_ASKED = 1.5
DAYS_LATER = 30
WORST_DAYS_LATE = 120
# What nobody may be judged by. Age is a name of its own or its beginning: the age of a loan is none of a person.
PROTECTED = re.compile(
    r"(^|_)(sex|gender|birth|born|language|religion|church|tribe|ethnic|ethnicity|race|region|county|district|marital"
    r"|married|pregnan\w*|disab\w*|nationality|surname|first_name|full_name|msisdn|prefix|latitude|longitude)(_|$)"
    r"|^age(_|$)"
)


@dataclass(frozen=True)
class People:
    """Real applicants x: (n, n_features), NaN where missing, whose facts are found and changed by name."""

    x: Rows
    names: tuple[str, ...] = features.NAMES

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return one fact of everybody, a copy."""
        return self.x[:, self.names.index(name)].astype(np.float64)

    def with_facts(self, **facts: Array) -> "People":
        """Return the same people with these facts, held to what can be true; what is missing stays missing."""
        x = self.x.copy()
        for name, values in facts.items():
            column, declared = self.names.index(name), features.BY_NAME[name]
            x[:, column] = np.where(np.isnan(x[:, column]), np.nan, np.clip(values, declared.low, declared.high))
        return People(x, self.names)

    def who(self, true: npt.NDArray[np.bool_]) -> "People":
        """Return those of whom something is true."""
        return People(self.x[true], self.names)


@dataclass(frozen=True, slots=True)
class Direction:
    """Two versions of the same people, whom this can happen to, and which way the chance of default must not go.

    sign: +1 where `after` must not be the safer one, -1 where it must not be the riskier one. most: the share of
    people for whom it may be, by more than `margin`.
    """

    name: str
    words: str
    concerns: Callable[[People], npt.NDArray[np.bool_]]
    before: Callable[[People], People]
    after: Callable[[People], People]
    sign: int
    most: float = MOST_AGAINST
    margin: float = MARGIN


def behaviours(
    score: ScoreRows,
    x: Rows,
    events: Events | None = None,
    *,
    served: Paths | None = None,
    names: tuple[str, ...] = features.NAMES,
) -> list[Check]:
    """Return how a model behaves with up to 1,000 real applicants x: (n, n_features), the first ones.

    events: (n, 128, 4) what happened to them, where that is known; they add to what the facts say, so what facts do
    is tried without them. score: the model in NumPy. served: the same model on each path by which it can serve; all
    must agree.
    """
    people = People(x[:MOST_VECTORS], names)
    told = (people.x,) if events is None else (people.x, events[:MOST_VECTORS])
    found = [
        protected_facts(names), everything_missing(score, len(names)), ends_of_ranges(score, people),
        refuses_the_impossible(people), order_of_facts(people), place_in_the_batch(score, people),
    ]  # fmt: skip
    if served:
        found.append(same_on_all_paths(score, served, told))
        found += [place_in_the_batch(path, people, f"{name}_") for name, path in served.items()]
    if events is not None:
        found.append(one_more_event(score, *told))
    return found + [directed(score, people, each) for each in DIRECTIONS]


# --- what must change nothing ---------------------------------------------------------------------------------
def protected_facts(names: tuple[str, ...]) -> Check:
    """Say whether a fact by which nobody may be judged is in the vector."""
    found = [name for name in names if PROTECTED.search(name)]
    words = f"of {len(names)} features none is a protected fact"
    if found:
        words = f"a protected fact is in the vector: {', '.join(found)}"
    return Check("protected_facts", not found, words, float(len(found)), 0.0)


def order_of_facts(people: People) -> Check:
    """Say whether the facts of a person may be given in any order."""
    moved = 0
    for vector in people.x[:ALONE]:
        values = {name: None if np.isnan(v) else float(v) for name, v in zip(people.names, vector, strict=True)}
        backwards = dict(reversed(values.items()))
        moved += features.row(values).tobytes() != features.row(backwards).tobytes()
    words = f"facts in another order gave another vector for {moved} of {len(people.x[:ALONE])} people, at most 0"
    return Check("order_of_facts", not moved, words, float(moved), 0.0)


def place_in_the_batch(score: ScoreRows, people: People, prefix: str = "") -> Check:
    """Say whether somebody scores the same alone, in a crowd, and in a crowd that stands in another order."""
    together = score(people.x)
    order = np.random.default_rng(0).permutation(len(people.x))
    shuffled = np.empty_like(together)
    shuffled[order] = score(people.x[order])
    alone = np.array([score(people.x[i : i + 1])[0] for i in range(min(ALONE, len(people.x)))])
    apart = max(_apart(shuffled, together), _apart(alone, together[: len(alone)]))
    words = f"alone, in a crowd and in another order scores differ by {apart:.1e}, at most {SAME:.0e}"
    return Check(f"{prefix}place_in_the_batch", apart <= SAME, words, apart, SAME)


def same_on_all_paths(score: ScoreRows, served: Paths, told: tuple[npt.NDArray[Any], ...]) -> Check:
    """Say whether the model serves what it was judged by."""
    judged = score(*told)
    farthest = {name: _apart(path(*told), judged) for name, path in served.items()}
    if told[1:]:
        # As a decision asks: many rows, and the events of one.
        x, one = told[0], told[1][:1]
        farthest = {name: max(far, _apart(served[name](x, one), score(x, one))) for name, far in farthest.items()}
    name = max(farthest, key=lambda path: farthest[path])
    words = f"served by {name} and as judged scores differ by {farthest[name]:.1e}, at most {SAME:.0e}"
    return Check("same_on_all_paths", farthest[name] <= SAME, words, farthest[name], SAME)


def _apart(a: Array, b: Array) -> float:
    """Return the largest distance; infinite where one of the two is no number."""
    distance = np.abs(a.astype(np.float64) - b)
    return float(np.where(np.isfinite(distance), distance, np.inf).max()) if len(distance) else 0.0


def one_more_event(score: ScoreRows, x: Rows, happened: Events) -> Check:
    """Say whether one more of what never hurts, such as a repayment in time, raises the chance of anybody.

    Tried where there is room for it, at four ages and amounts; the gaps of the others of its kind change with it.
    """
    room = happened[:, -1, KIND] == 0
    x, happened = x[room], happened[room]
    before, against = score(x, happened), 0
    for kind in np.flatnonzero(PROMISES < 0) + 1:
        for code in (0, 60, 120, 200):
            more = happened.copy()
            more[more[..., KIND] == kind, GAP] = code
            more[:, -1] = kind, code, code, code
            against += int((score(x, more) > before + SAME).sum())
    words = f"one more event that never hurts made {against} of {len(x)} people riskier, at most 0"
    return Check("one_more_event", not against, words, float(against), 0.0)


# --- the least that it must get right ---------------------------------------------------------------------------
def everything_missing(score: ScoreRows, width: int) -> Check:
    """Say whether somebody of whom nothing is known has a chance."""
    p = float(score(np.full((1, width), np.nan, np.float32))[0])
    passed = bool(np.isfinite(p)) and 0 < p < 1
    return Check("everything_missing", passed, f"of whom nothing is known: chance of default {p:.3f}", p)


def ends_of_ranges(score: ScoreRows, people: People) -> Check:
    """Say whether every fact of somebody real may stand at either end of its range, one alone and all at once."""
    lows, highs = (np.array([getattr(features.BY_NAME[n], end) for n in people.names]) for end in ("low", "high"))
    usual = people.x[:1].repeat(2 * len(people.names), axis=0)
    columns = np.arange(len(people.names))
    usual[columns, columns], usual[columns + len(columns), columns] = lows, highs
    p = score(np.vstack([usual, lows, highs]).astype(np.float32))
    wrong = int((~(np.isfinite(p) & (p > 0) & (p < 1))).sum())
    words = f"at the ends of the ranges {wrong} of {len(p)} rows have no chance between 0 and 1, at most 0"
    return Check("ends_of_ranges", not wrong, words, float(wrong), 0.0)


def refuses_the_impossible(people: People) -> Check:
    """Say whether a number outside its range never reaches the model."""
    passed = 0
    tried = [(name, value) for name in people.names for value in _impossible(name)]
    for name, value in tried:
        row = np.full((1, len(people.names)), np.nan, np.float64)
        row[0, people.names.index(name)] = value
        try:
            features.check_rows(row)
        except InvalidFeature:
            continue
        passed += 1
    words = f"{passed} of {len(tried)} numbers that cannot be true were let in, at most 0"
    return Check("refuses_the_impossible", not passed, words, float(passed), 0.0)


def _impossible(name: str) -> tuple[float, ...]:
    declared = features.BY_NAME[name]
    span = declared.high - declared.low
    return declared.low - 0.01 * span - 1, declared.high + 0.01 * span + 1, np.inf, -np.inf


# --- which way the chance must go -----------------------------------------------------------------------------
def directed(score: ScoreRows, people: People, direction: Direction) -> Check:
    """Say for how many people a change moves the chance of default the wrong way."""
    concerned = people.who(direction.concerns(people))
    n, name = len(concerned.x), direction.name
    if n < LEAST_FOR_A_DIRECTION:
        return Check(name, True, f"{direction.words}: {n} people, {LEAST_FOR_A_DIRECTION} are needed to tell")
    before, after = (score(side(concerned).x).astype(np.float64) for side in (direction.before, direction.after))
    # Turned round, so that what is no number counts as wrong.
    against = float((~((after - before) * direction.sign >= -direction.margin)).mean())
    way = "falls" if direction.sign > 0 else "rises"
    words = f"{direction.words}: the chance of default {way} for {against:.1%} of {n} people"
    return Check(name, against <= direction.most, f"{words}, at most {direction.most:.0%}", against, direction.most)


def has_settled(people: People) -> npt.NDArray[np.bool_]:
    """Say who has repaid a loan of which it is known when."""
    return np.asarray((people["loans_settled"] >= 1) & np.isfinite(people["last_days_late"]))


def has_asked(people: People) -> npt.NDArray[np.bool_]:
    return np.asarray(people["requested_cents"] > 0)


def one_more_on_time(people: People) -> People:
    """Return the same people with one more loan repaid in time, and no less early than they usually or last did.

    Whoever always was ten days early and now is one day early may be the riskier one; this is not about them.
    """
    settled, mean = people["loans_settled"], people["mean_days_late"]
    days = np.minimum(np.minimum(mean, people["last_days_late"]), 0)
    return people.with_facts(
        loans_taken=people["loans_taken"] + 1,
        loans_settled=settled + 1,
        on_time_share=(people["on_time_share"] * settled + 1) / (settled + 1),
        on_time_streak=people["on_time_streak"] + 1,
        early_share=(people["early_share"] * settled + (days < 0)) / (settled + 1),
        mean_days_late=(mean * settled + days) / (settled + 1),
        last_days_late=days,
    )


def last_one_later(people: People) -> People:
    """Return the same people, had they repaid their last loan 30 days later."""
    settled, last = people["loans_settled"], people["last_days_late"]
    late = last + DAYS_LATER
    return people.with_facts(
        on_time_share=people["on_time_share"] - ((last <= 0) & (late > 0)) / settled,
        on_time_streak=np.where(late > 0, 0, people["on_time_streak"]),
        early_share=people["early_share"] - ((last < 0) & (late >= 0)) / settled,
        worst_days_late=np.maximum(people["worst_days_late"], late),
        mean_days_late=people["mean_days_late"] + DAYS_LATER / settled,
        last_days_late=late,
        defaults_90=people["defaults_90"] + ((last <= 30) & (late > 30)),
    )


def asks_for_more(people: People) -> People:
    """Return the same people asking for half as much again."""
    scaled = [name for name in people.names if name.startswith("requested_")]
    return people.with_facts(**{name: people[name] * MORE_ASKED for name in scaled})


def spotless(people: People) -> People:
    """Return the same people, had they repaid every loan in time."""
    return people.with_facts(
        on_time_share=np.ones(len(people.x)),
        on_time_streak=people["loans_settled"],
        worst_days_late=np.zeros(len(people.x)),
        mean_days_late=np.minimum(people["mean_days_late"], 0),
        last_days_late=np.minimum(people["last_days_late"], 0),
        defaults_90=np.zeros(len(people.x)),
    )


def hopeless(people: People) -> People:
    """Return the same people, had they repaid every loan four months late."""
    never, late = np.zeros(len(people.x)), np.full(len(people.x), WORST_DAYS_LATE)
    return people.with_facts(
        on_time_share=never,
        on_time_streak=never,
        early_share=never,
        worst_days_late=late,
        mean_days_late=late,
        last_days_late=late,
        defaults_90=people["loans_settled"],
    )


def as_they_are(people: People) -> People:
    return people


DIRECTIONS = (
    Direction(
        "worst_record", "every loan repaid four months late, and not in time", has_settled, spotless, hopeless,
        sign=1, margin=0.0,
    ),
    Direction(
        "one_more_on_time", "one more loan repaid in time", has_settled, as_they_are, one_more_on_time,
        sign=-1, most=MOST_AGAINST_WHERE_MIXED,
    ),
    Direction(
        "last_one_later", "the last loan repaid 30 days later", has_settled, as_they_are, last_one_later, sign=1,
    ),
    Direction(
        "asks_for_more", "half as much again is asked for", has_asked, as_they_are, asks_for_more,
        sign=1, most=MOST_AGAINST_WHERE_MIXED,
    ),
)  # fmt: skip
