"""Events as whole numbers: what they stand for, and that nothing of them is lost or made up."""

import numpy as np
import pytest

from ml import events
from ml.events import AGE, AMOUNT, CODE_OF, GAP, KIND, LAST, NO_GAP, InvalidEvents

HOUR, DAY = 3_600, 86_400


def coded(*happened, rows=1):
    """Code (row, kind, seconds, cents)."""
    return events.coded(rows, *np.array(happened, np.int64).reshape(-1, 4).T)


def test_a_code_grows_by_twelve_as_an_hour_doubles_and_by_seven_as_an_amount_does():
    seconds = [0, HOUR, 3 * HOUR, 7 * HOUR, 15 * HOUR]
    codes = coded(*((0, 6, s, c) for s, c in zip(seconds, [0, 1, 3, 7, 15], strict=True)))[0, :5]
    assert codes[:, AGE].tolist() == [0, 12, 24, 36, 48]
    assert codes[:, AMOUNT].tolist() == [0, 7, 14, 21, 28]


def test_what_is_shorter_than_a_step_has_the_code_of_the_last_step():
    assert coded((0, 6, HOUR - 1, 0), (0, 6, HOUR, 0))[0, :2, AGE].tolist() == [11, 12]


def test_no_century_and_no_sum_is_off_the_scale():
    codes = coded((0, 6, 100 * 366 * DAY, 10**10))[0, 0]
    assert codes[AGE] < NO_GAP and codes[AMOUNT] < NO_GAP


def test_a_gap_is_that_to_the_event_of_the_same_kind_before_it():
    saved, sold = CODE_OF["saved"], CODE_OF["sold"]
    codes = coded(
        (0, saved, 1 * HOUR, 5), (0, sold, 2 * HOUR, 5), (0, saved, 4 * HOUR, 5), (1, saved, 9 * HOUR, 5), rows=2
    )
    assert codes[0, :3, GAP].tolist() == [24, NO_GAP, NO_GAP]
    assert codes[1, 0, GAP] == NO_GAP


def test_each_row_has_its_own_events_and_nothing_behind_them():
    codes = coded((1, 6, 0, 1), (1, 7, 5, 1), (3, 8, 0, 1), rows=4)
    assert codes.shape == (4, LAST, 4)
    assert [row[row[:, KIND] > 0, KIND].tolist() for row in codes] == [[], [6, 7], [], [8]]
    assert not codes[1, 2:].any()


def test_json_brings_the_same_bytes_back():
    many = [(0, 1 + n % len(events.KINDS), n * HOUR, n * 997) for n in range(LAST)]
    codes = coded(*many)[0]
    assert events.from_json(events.to_json(codes)).tobytes() == codes.tobytes()
    assert events.from_json([]).tobytes() == events.none(1)[0].tobytes()


@pytest.mark.parametrize(
    "listed",
    [
        [["prayed", 1, 2, 3]],
        [["saved", 1, 2]],
        [["saved", 1, 2, 256]],
        [["saved", -1, 2, 3]],
        [["saved", 1, 2, 3]] * 129,
    ],
)
def test_what_nobody_declared_is_refused(listed):
    with pytest.raises(InvalidEvents, match="event"):
        events.from_json(listed)


def test_no_kind_is_a_fact_that_must_not_count():
    """Neither what fairness is tested by, nor what a customer does by right."""
    assert not {"complaint", "help", "extension", "given_back", "review", "promise"} & set(events.NAMES)
