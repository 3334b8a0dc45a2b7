"""Who of the past is like somebody: by what counted, where numbers stand among people."""

import numpy as np

from ml import features
from ml.similar import nearest, telling

AT = {name: place for place, name in enumerate(features.NAMES)}
WIDTH = len(features.NAMES)
# People are spread evenly over 0 to 100 of each number; one step of a normal score is a sixth of it.
ENCODING = {
    "encode/low": np.zeros((WIDTH, 1)), "encode/scale": np.full((WIDTH, 1), 0.01),
    "encode/score_start": np.full(WIDTH, -3.0), "encode/score_step": np.full((WIDTH, 1), 6.0),
    "encode/missing_code": np.zeros((WIDTH, 2)), "encode/missing_seen": np.ones(WIDTH),
    "wide/bias": np.zeros((1, 5)),
}  # fmt: skip


def row(**known):
    x = np.full(WIDTH, np.nan, np.float32)
    for name, value in known.items():
        x[AT[name]] = value
    return x


def did(**effects):
    log_odds = np.zeros(WIDTH)
    for name, effect in effects.items():
        log_odds[AT[name]] = effect
    return log_odds


def test_the_likest_comes_first_by_what_counted_most():
    amina = row(loans_settled=50, applications=50)
    others = np.array(
        [row(loans_settled=90, applications=50), row(loans_settled=50, applications=90), row(loans_settled=60)]
    )
    found = nearest(ENCODING, amina, others, did(loans_settled=1.0, applications=-0.1), k=3)
    assert found.tolist() == [1, 2, 0]
    found = nearest(ENCODING, amina, others, did(loans_settled=0.1, applications=-1.0), k=2)
    assert found.tolist() == [0, 2]  # to have none is as far as two steps, 90 is farther


def test_to_have_none_is_like_having_none():
    nobody = row()
    others = np.array([row(loans_settled=0), row(), row(loans_settled=50)])
    assert nearest(ENCODING, nobody, others, did(loans_settled=0.5), k=1).tolist() == [1]


def test_of_equals_the_first():
    others = np.array([row(loans_settled=3)] * 4)
    assert nearest(ENCODING, row(loans_settled=3), others, did(loans_settled=0.5), k=3).tolist() == [0, 1, 2]


def test_where_nothing_counted_nobody_is_alike():
    assert not len(nearest(ENCODING, row(), np.array([row()]), did()))
    assert not len(nearest(ENCODING, row(), np.zeros((0, WIDTH), np.float32), did(loans_settled=1.0)))


def test_a_few_numbers_tell():
    strong = {name: 1.0 + place for place, name in enumerate(features.NAMES[:20])}
    assert telling(did(**strong)).tolist() == list(range(19, 7, -1))
    assert telling(did(loans_taken=-0.3)).tolist() == [AT["loans_taken"]]
