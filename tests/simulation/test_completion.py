"""A network that drops three hops in a hundred keeps hardly anybody from a loan."""

from random import Random
from typing import Any

import pytest

from tests.simulation import completion


@pytest.mark.slow
@pytest.mark.django_db
def test_who_is_dropped_comes_to_the_end_all_the_same(law: None, fixed_scorer: Any, deciding_worker: None) -> None:
    outcome = completion.run(list(completion.registered(400)), 0.03, Random(7))
    assert outcome.completed / outcome.journeys >= 0.99
    assert outcome.completed_without_resume / outcome.journeys < 0.92, "nobody was dropped, so nothing is shown"
    assert outcome.completed <= outcome.applications <= outcome.journeys
    assert outcome.borrowers_with_two == 0
