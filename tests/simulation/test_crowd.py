"""A crowd over a bad network leaves nothing twice: a short walk; `tests.bench.crowd` is the long one."""

from pathlib import Path

import pytest

from lending.models import Loan
from tests.simulation import crowd
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_repeats_drops_and_reorders_leave_nothing_twice(law: None, tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.extra["DJANGO_SETTINGS_MODULE"] = "tests.simulation.settings"
        stack.web(workers=2)
        stack.worker("all", "scoring,money,messages,default")
        # A short walk, so all have come to borrow; in the long one most only look.
        busy = crowd.Faults(only_looks=0)
        walked = crowd.Crowd(stack.web_port, crowd.registered(stack, 30), hops=2_000, seed=7, faults=busy)
        walked.walk()
        wait_for(crowd.settled, 60, why="something is still owed")
        assert walked.seen["sorry"] == 0
        assert walked.odd == set(), "a copy was answered with other words"
        assert walked.seen["copies"] > 60, "the network did nothing wrong, so nothing is shown"
        assert Loan.objects.count() > 25, "hardly anybody borrowed, so nothing is shown"
        assert crowd.doubled(stack) == []
