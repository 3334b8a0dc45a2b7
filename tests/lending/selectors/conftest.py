"""What the tests of figures share: the four loans of the worked example, on the evening of their last day."""

import pytest
from django.utils import timezone

from lending.models import Loan
from tests.lending.selectors import story


@pytest.fixture
def evening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be 30 June 2026, six in the evening."""
    monkeypatch.setattr(timezone, "now", lambda: story.ON)


@pytest.fixture
def four_loans(law: None, fixed_scorer: object, evening: None) -> dict[str, Loan]:
    return story.four_loans()
