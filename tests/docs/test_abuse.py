"""docs/abuse.md tells the thresholds of the code."""

import pytest

from tests.docs.tables import Row, checked_tables, figure, same, value_at
from ussd import guard
from ussd.models import AbuseSign

TABLES = checked_tables()


def test_every_kind_has_a_limit_with_a_reason_and_is_listed() -> None:
    assert [row["Sign"] for row in TABLES["abuse.limits"]] == list(guard.LIMITS) == list(AbuseSign.Kind.values)
    assert all(limit.why for limit in guard.LIMITS.values())


@pytest.mark.parametrize("row", TABLES["abuse.limits"], ids=lambda row: row["Sign"])
def test_a_threshold_is_the_one_in_the_code(row: Row) -> None:
    limit = guard.LIMITS[row["Sign"]]
    assert (int(row["More than"]), figure(row["Within"])) == (limit.most, limit.window)


@pytest.mark.parametrize("row", TABLES["abuse.figures"], ids=str)
def test_a_figure_is_the_one_in_the_code(row: Row) -> None:
    assert same(figure(row["Figure"]), value_at(row["In the code"]))


def test_every_marked_table_of_the_page_is_checked() -> None:
    assert {name for name in TABLES if name.startswith("abuse.")} == {"abuse.limits", "abuse.figures"}
