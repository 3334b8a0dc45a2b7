"""Faults as people choose them."""

import pytest

from ussd.phone import faults


@pytest.mark.parametrize(
    ("chosen", "label", "match", "callbacks"),
    [
        (("lost_there", "next", 1, 4), "Lost on the way there: the next hop", {"nth": 1}, []),
        (
            ("lost_back", "every", 1, 4),
            "Answer lost on the way back: every hop",
            {"every": 1},
            [{"mode": "answer_lost"}],
        ),
        (("delay", "every", "3", "4"), "Held up 4 s: every 3rd hop", {"every": 3}, [{"after_ms": 4000}]),
        (("twice", "every", 20, 4), "Delivered twice: every 20th hop", {"every": 20}, [{"dup": 2}]),
    ],
)
def test_a_choice_is_a_rule_of_the_network(chosen, label, match, callbacks) -> None:
    kind, when, count, seconds = chosen
    (rule,) = faults.rules(kind, when=when, count=count, seconds=seconds)
    assert rule == {"match": {"path": "/ussd", **match}, "callbacks": callbacks, "label": label}


def test_no_fault_is_a_line_that_works() -> None:
    assert faults.rules("") == []


@pytest.mark.parametrize("bad", ["0", "21", "-1", "x", "", "٣", "1.5", None, "9" * 99])
def test_a_number_out_of_reach_is_refused_with_what_was_needed(bad) -> None:
    with pytest.raises(faults.InvalidFault, match="from 1 to 20"):
        faults.rules("twice", count=bad)


@pytest.mark.parametrize(("kind", "when"), [("fire", "next"), ("twice", "never")])
def test_an_unknown_choice_is_refused(kind, when) -> None:
    with pytest.raises(faults.InvalidFault, match="one of lost_there"):
        faults.rules(kind, when=when)
