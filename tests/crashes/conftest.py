"""A whole system for tests of real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack


@pytest.fixture
def stack(law: None, fixed_scorer: object, tmp_path: Path) -> Iterator[Stack]:
    """Operator and production server on the test's database; workers are started by the test."""
    with Stack(tmp_path) as stack:
        stack.sandbox.phone("254711000101", name="Amina Wanjiru", wallet_pin="1234", balance_cents=0)
        stack.web()
        yield stack
