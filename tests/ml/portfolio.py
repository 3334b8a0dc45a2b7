"""A made-up book whose rows could be true: facts of one borrower fit each other, and risk follows from them."""

import numpy as np
import numpy.typing as npt

from ml import features
from ml.data import DAY, Dataset

Facts = npt.NDArray[np.float64]
MOST_LOANS = 20


def portfolio(n: int = 4_000, *, seed: int = 11, noise: float = 1.0, told: bool = False) -> Dataset:
    """Return n loans of borrowers with a will of their own; `noise` is how far facts hide it.

    Late payers, thin wallets and large requests lose more; a quarter borrow for the first time. With `told` alone
    what the story does not tell is missing, else it is noise.
    """
    rng = np.random.default_rng(seed)
    will = rng.normal(size=n)
    inflow = np.exp(rng.normal(13.5, 0.6, n))
    asked = np.exp(rng.normal(-1.5, 0.6, n))
    saved = rng.binomial(12, 1 / (1 + np.exp(0.5 - will)))
    facts = _record(will, noise, rng) | {
        "wallet_in_30d_cents": inflow,
        "wallet_in_90d_cents": inflow * 3,
        "requested_cents": inflow * asked,
        "requested_to_inflow": asked,
        "savings_weeks_12": saved,
        "savings_deposits_90d": saved * 2,
        "wallet_night_share": rng.random(n),
    }
    facts["requested_to_last"] = facts["requested_cents"] / facts["principal_last_cents"]
    odds = -1.5 - 1.2 * will + 0.8 * np.log(asked / np.exp(-1.5))
    default = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return Dataset(
        x=_rows(facts, n, rng, told),
        default=default,
        repaid_share=np.where(default == 1, rng.random(n) * 0.8, 1).astype(np.float32),
        best_offer=np.where(default == 1, rng.integers(1, 3, n), 0),
        decided_at=1_700_000_000 + np.arange(n) * DAY // 8,
        ids=np.array([str(number) for number in range(1, n + 1)]),
    )


def _record(will: Facts, noise: float, rng: np.random.Generator) -> dict[str, Facts]:
    """Return what is known of earlier loans: each was so many days late, the latest one first."""
    n = len(will)
    settled = np.where(rng.random(n) < 0.25, 0, rng.integers(1, MOST_LOANS + 1, n))
    days = np.round(-2 - 8 * will[:, None] + noise * rng.exponential(10, (n, MOST_LOANS)) - 5)
    days = np.where(np.arange(MOST_LOANS) < settled[:, None], days, np.nan)
    late = days > 0
    none = np.where(settled > 0, 1.0, np.nan)
    count = np.maximum(settled, 1)
    first_late = np.where(late.any(axis=1), late.argmax(axis=1), settled)
    return {
        "loans_taken": settled,
        "loans_settled": settled,
        "on_time_share": none * (days <= 0).sum(axis=1) / count,
        "on_time_streak": none * first_late,
        "early_share": none * (days < 0).sum(axis=1) / count,
        "worst_days_late": none * np.maximum(np.nan_to_num(days, nan=-99).max(axis=1), 0),
        "mean_days_late": none * np.nansum(days, axis=1) / count,
        "last_days_late": days[:, 0],
        "defaults_90": (days > 30).sum(axis=1),
        "principal_last_cents": none * np.exp(rng.normal(11, 0.5, n)),
    }


def _rows(facts: dict[str, Facts], n: int, rng: np.random.Generator, told: bool) -> npt.NDArray[np.float32]:
    """Return the vectors: what the story does not tell is missing, or noise inside its range, a tenth missing."""
    noise = np.maximum(features.LOWS, 0) + rng.random((n, len(features.NAMES))) * np.minimum(
        features.HIGHS - np.maximum(features.LOWS, 0), 500
    )
    noise[rng.random(noise.shape) < (1.0 if told else 0.1)] = np.nan
    for name, values in facts.items():
        noise[:, features.NAMES.index(name)] = values
    return features.check_rows(noise.astype(np.float32))
