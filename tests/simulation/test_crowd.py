"""A crowd over a bad network leaves nothing twice: a short walk; `tests.bench.crowd` is the long one."""

import pytest

from lending.models import Loan
from tests.simulation import crowd
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_repeats_drops_and_reorders_leave_nothing_twice(stack: Stack) -> None:
    stack.extra["DJANGO_SETTINGS_MODULE"] = "tests.simulation.settings"
    stack.worker("all", "scoring,money,messages,default")
    numbers = crowd.registered(stack, 40)
    walked = crowd.Crowd(stack.web_port, numbers, hops=3_000, seed=7)
    walked.walk()
    wait_for(crowd.settled, 60, why="something is still owed")
    assert walked.seen["sorry"] == 0
    assert walked.odd == set(), "a copy was answered with other words"
    assert walked.seen["copies"] > 100, "the network did nothing wrong, so nothing is shown"
    assert Loan.objects.count() > 40, "hardly anybody borrowed, so nothing is shown"
    assert crowd.doubled(stack) == []
