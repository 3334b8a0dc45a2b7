"""Who of the past is like somebody, in what counted for the decision about them.

Numbers are compared where they stand among people, as normal scores of the model's own encoding, so that cents and
days weigh alike; each difference counts by how much its feature did to this person's chance (ml/explain.py). It is
the weighted nearest neighbours of Cover and Hart 1967, "Nearest Neighbor Pattern Classification", by what the model
says matters; the sums are over the features that did most.
"""

import numpy as np
import numpy.typing as npt

from ml import forward

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]

# So many features say in what somebody is like another; the others did next to nothing.
FEATURES = 12
# To have none of something is as far from having it as so much of a normal score.
MISSING = 2.0


def telling(log_odds: npt.NDArray[np.float64], most: int = FEATURES) -> npt.NDArray[np.int64]:
    """Return which features did most to a chance, by their contributions (n_features,); none that did nothing."""
    strongest = np.argsort(-np.abs(log_odds), kind="stable")[:most]
    return strongest[log_odds[strongest] != 0]


def nearest(
    weights: Weights, person: Array, others: Array, log_odds: npt.NDArray[np.float64], *, k: int = 5
) -> npt.NDArray[np.int64]:
    """Return the places of the k others that are most like somebody, the likest first; of equals the first.

    person: (n_features,), others: (n, n_features), NaN where missing; only the columns that `telling` names are
    looked at. log_odds: what each feature did to the person's chance.
    """
    columns = telling(log_odds)
    if not len(columns) or not len(others):
        return np.zeros(0, np.int64)
    encoding = {path: weight[columns] for path, weight in weights.items() if path.startswith("encode/")}
    scores, missing = _stand(encoding, others[:, columns])
    theirs, absent = _stand(encoding, person[None, columns])
    apart = np.where(missing == absent, np.abs(scores - theirs), MISSING)
    distances = apart**2 @ log_odds[columns] ** 2
    return np.argsort(distances, kind="stable")[:k]


def _stand(encoding: Weights, x: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the normal scores (n, f), 0 where missing, and where a number is missing."""
    missing = np.isnan(x)
    return np.where(missing, 0, forward.encode(encoding, x)[..., -2]), missing
