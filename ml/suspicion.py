"""What the loans themselves give away: that they are too many, of too few people, or know their own future.

A model that learnt from such loans may look good on the later ones, which come from the same source. So these
checks look at the loans and not at how good the model is. Every limit and where it comes from: docs/gate.md.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.data import DAY, Dataset
from ml.gate import SLICE_LOANS, UNKNOWN_GROUP, Check, Groups, Ranking, ScoreRows, Trial
from ml.measures import Array, auc, two_sided

MOST_ROWS_MOVED = 0.50
SHARES_LOST = (0.005, 0.60)
MOST_SHIFT = 2.0
# A season moves the share lost, too; what chance makes of a season's loans in one of a thousand cases is no sign.
SHIFT_BY_CHANCE = 0.001
MOST_OF_ONE = 0.02
# Where few borrow, each stands behind more: so many times an even share.
MOST_EVEN_SHARES = 3
# On a small book some loans of one person are many of all; so few teach nobody anything.
FEW_ROWS = 30
MOST_OF_ONE_FEATURE = 0.80
SUSPECTS = 5


def rows(found: int, expected: float) -> Check:
    """Hold the number of loans to what was expected: half as many, or half as many again, is another book."""
    moved = found / max(expected, 1) - 1
    told = f"{found:,} loans to learn from where {expected:,.0f} were expected"
    words = f"{told}: {moved:+.0%}, at most {MOST_ROWS_MOVED:.0%} either way"
    return Check("rows", abs(moved) <= MOST_ROWS_MOVED, words, moved, MOST_ROWS_MOVED)


def expected_rows(loans: Dataset, before: int, seen_until_before: int, seen_until: int) -> float:
    """Return how many loans there would be, had they come in since the champion learnt as they came in before.

    before: what the champion learnt from. seen_until_before, seen_until: the latest decision that the champion saw,
    and the challenger (seconds since 1970 UTC).
    """
    began = int(loans.decided_at.min()) if len(loans) else seen_until
    return before * max(seen_until - began, DAY) / max(seen_until_before - began, DAY)


def share_lost(default: Array) -> Check:
    """Hold the share lost of all loans to what a lender can have seen: some, and not most."""
    low, high = SHARES_LOST
    share = float(default.mean(dtype=np.float64)) if len(default) else 0.0
    words = f"share lost {share:.1%}, must be from {low:.1%} to {high:.0%}"
    return Check("share_lost", low <= share <= high, words, share, high)


def shares_lost(default: Array, fact: str, groups: Groups) -> list[Check]:
    """Hold the share lost of each group of 200 loans and more to the same upper end.

    A group whose outcomes were turned round stands out here, also where the later loans were turned round with it.
    """
    named, counts = np.unique(groups[groups != UNKNOWN_GROUP], return_counts=True)
    high = SHARES_LOST[1]
    found = []
    for group in named[counts >= SLICE_LOANS].tolist():
        share = float(default[groups == group].mean())
        words = f"share lost of {fact} {group} {share:.1%}, at most {high:.0%}"
        found.append(Check(f"share_lost_{fact}_{group}", share <= high, words, share, high))
    return found


def shift(loans: Dataset, since: int) -> Check:
    """Compare the share lost of the loans that the champion has not seen with that of those it has.

    Twice or half as much, and more than chance explains, is another book and not another season.
    """
    new = loans.decided_at > since
    name = "share_lost_shift"
    if not new.any() or new.all():
        return Check(name, True, "no earlier and later loans whose share lost could be compared")
    later, before, both = (float(loans.default[which].mean()) for which in (new, ~new, slice(None)))
    error = float(both * (1 - both) * (1 / new.sum() + 1 / (~new).sum())) ** 0.5
    chance = two_sided((later - before) / error) if error else 1.0
    ratio = max(later, 1e-9) / max(before, 1e-9)
    passed = 1 / MOST_SHIFT <= ratio <= MOST_SHIFT or chance > SHIFT_BY_CHANCE
    told = f"share lost {later:.1%} of the loans since the champion, {before:.1%} before"
    words = f"{told}: at most {MOST_SHIFT:g} times as much, at least half"
    return Check(name, passed, words, ratio, MOST_SHIFT)


def one_behind_many(who: str, loans: Groups) -> Check:
    """Hold the share of loans (n,) behind which one person, payer or place stands to a cap.

    Whoever feeds the model false repayments has to make many of them; under the cap they move the share lost by no
    more than the cap.
    """
    names, counts = np.unique(loans[loans != UNKNOWN_GROUP], return_counts=True)
    most = int(counts.max()) if len(names) else 0
    share, limit = most / max(len(loans), 1), max(MOST_OF_ONE, MOST_EVEN_SHARES / max(len(names), 1))
    # One alone among a few is no even share of anything.
    limit = min(limit, 0.5)
    words = f"one {who} stands behind {most} of {len(loans):,} loans ({share:.1%}), at most {limit:.0%}"
    passed = share <= limit or most <= FEW_ROWS
    return Check(f"one_{who}".replace(" ", "_"), passed, words, share, limit)


def one_feature(score: ScoreRows, later: Dataset, on: Trial, *, seed: int = 0) -> Check:
    """Say how much of what it knows the challenger knows from one feature; nearly all is a sign of the future.

    Figure: the part of AUC above 0.5 that goes when the feature is dealt out anew among the loans (Breiman 2001,
    section 10), for the five features that tell the outcomes best by themselves, and for all events together.
    """
    known = auc(on.y, on.ours) - 0.5
    alone = [abs(_auc_alone(on.y, column) - 0.5) for column in later.x.T]
    suspects = np.argsort(alone)[::-1][:SUSPECTS]
    rng = np.random.default_rng(seed)

    def share_lost(*told: Any) -> float:
        return (known - (auc(on.y, score(*told)) - 0.5)) / known if known > 0 else 0.0

    lost = {}
    for column in suspects.tolist():
        x = later.x.copy()
        x[:, column] = x[rng.permutation(len(x)), column]
        lost[later.names[column]] = share_lost(x, *later.told[1:])
    if later.events is not None:
        lost["the events"] = share_lost(later.x, later.events[rng.permutation(len(later))])
    name = max(lost, key=lambda each: lost[each])
    words = f"{lost[name]:.0%} of what it knows comes from {name} alone, at most {MOST_OF_ONE_FEATURE:.0%}"
    return Check("one_feature", lost[name] <= MOST_OF_ONE_FEATURE, words, lost[name], MOST_OF_ONE_FEATURE)


def _auc_alone(y: Array, column: npt.NDArray[np.float32]) -> float:
    """Return the AUC of one feature as it is, a missing value below all others."""
    return Ranking(y, np.where(np.isnan(column), np.float32(-np.inf), column)).auc(np.ones(len(y)))
