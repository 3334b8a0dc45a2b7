"""A data set survives its file, splits by time, and refuses what no book can hold."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import data, events
from ml.data import DAY, InvalidDataset


def test_a_file_gives_back_the_same_loans(loans, tmp_path):
    loans.save(tmp_path / "loans.parquet")
    again = data.load(tmp_path / "loans.parquet")

    np.testing.assert_array_equal(again.x, loans.x)
    np.testing.assert_array_equal(again.ids, loans.ids)
    assert again.sha256() == loans.sha256()


class TestWhatMayBeAbsent:
    @pytest.fixture
    def told(self, loans):
        rng = np.random.default_rng(5)
        happened = events.none(len(loans))
        happened[:, :9] = rng.integers(0, 1 + len(events.KINDS), (len(loans), 9, events.CODES))
        return replace(loans, events=happened, repay_time=rng.random(len(loans)).astype(np.float32))

    def test_comes_back_from_a_file(self, told, tmp_path):
        told.save(tmp_path / "loans.parquet")
        again = data.load(tmp_path / "loans.parquet")
        np.testing.assert_array_equal(again.events, told.events)
        np.testing.assert_array_equal(again.repay_time, told.repay_time)
        assert again.sha256() == told.sha256()

    def test_counts_in_the_digest(self, loans, told):
        other = told.events.copy()
        other[0, 0, 1] ^= 1
        digests = {
            each.sha256() for each in (loans, told, replace(told, events=other), replace(told, repay_time=None))
        }
        assert len(digests) == 4

    def test_is_taken_with_its_loan(self, told):
        assert told.take(np.array([7, 3])).events.tobytes() == told.events[[7, 3]].tobytes()
        assert [len(values) for values in told.take(np.array([7, 3])).told] == [2, 2]

    def test_is_nothing_where_a_file_says_nothing(self, told, tmp_path):
        told.save(tmp_path / "loans.parquet")
        table = pq.read_table(tmp_path / "loans.parquet")
        blank = pa.array([None] * len(told), pa.binary(events.LAST * events.CODES))
        pq.write_table(
            table.set_column(table.schema.get_field_index("events"), "events", blank), tmp_path / "blank"
        )
        assert not data.load(tmp_path / "blank").events.any()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"events": events.none(3)}, "events must be"),
            ({"events": np.full((1600, events.LAST, events.CODES), 200, np.uint8)}, "kinds up to 11"),
            ({"repay_time": np.full(1600, 1.5, np.float32)}, "repay_time must be"),
        ],
    )
    def test_is_refused_where_it_cannot_be(self, loans, changes, words):
        with pytest.raises(InvalidDataset, match=words):
            replace(loans, **changes)


def test_the_digest_ignores_row_order_and_notices_one_changed_number(loans):
    shuffled = loans.take(np.random.default_rng(0).permutation(len(loans)))
    assert shuffled.sha256() == loans.sha256()

    x = loans.x.copy()
    x[0, 0] = 1 if np.isnan(x[0, 0]) else x[0, 0] + 1
    assert replace(loans, x=x).sha256() != loans.sha256()
    assert replace(loans, default=1 - loans.default).sha256() != loans.sha256()


def test_a_split_never_learns_from_later_loans(loans):
    shuffled = loans.take(np.random.default_rng(0).permutation(len(loans)))
    parts = shuffled.split((0.7, 0.1, 0.1, 0.1))

    assert [len(part) for part in parts] == [1120, 160, 160, 160]
    for earlier, later in pairwise(parts):
        assert earlier.decided_at.max() <= later.decided_at.min()


def test_a_gap_drops_loans_whose_outcome_was_not_known_yet(loans):
    learn, test = loans.split((0.8, 0.2), gap_days=60)

    assert learn.decided_at.max() <= test.decided_at.min() - 60 * DAY
    assert len(test) == 320


def test_parts_of_loans_in_order_are_no_copies(loans):
    """A million loans take 400 MB, and so would each copy."""
    assert loans.in_time_order() is loans
    assert all(np.shares_memory(part.x, loans.x) for part in loans.split((0.7, 0.1, 0.1, 0.1), gap_days=20))


def test_the_digest_is_that_of_the_whole_read_in_pieces(loans, monkeypatch):
    whole = loans.sha256()
    monkeypatch.setattr(data, "BLOCK", 100)
    assert loans.sha256() == whole


def test_later_loans_are_strictly_later(loans):
    moment = int(loans.decided_at[99])
    assert len(loans.after(moment)) == len(loans) - 100


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("default", 2.0, "default must be 0 or 1"),
        ("default", np.nan, "default must be 0 or 1"),
        ("repaid_share", 1.2, "repaid_share must be from 0 to 1"),
        ("best_offer", 3, "best_offer must be from -1 to 2"),
        ("x", np.inf, "days_since_registered must be finite"),
    ],
)
def test_labels_that_no_book_can_have_are_refused(loans, column, value, words):
    values = getattr(loans, column).copy()
    values[(0,) * values.ndim] = value
    with pytest.raises(InvalidDataset, match=words):
        replace(loans, **{column: values})


def test_a_file_without_a_column_is_refused_by_name(loans, tmp_path):
    loans.save(tmp_path / "loans.parquet")
    table = pq.read_table(tmp_path / "loans.parquet").drop_columns(["airtime_30d_cents"])
    pq.write_table(table, tmp_path / "short.parquet")

    with pytest.raises(InvalidDataset, match="lacks the columns airtime_30d_cents"):
        data.load(tmp_path / "short.parquet")


def test_a_null_in_a_file_is_a_missing_value_but_never_a_missing_outcome(loans, tmp_path):
    loans.take(np.arange(3)).save(tmp_path / "loans.parquet")
    table = pq.read_table(tmp_path / "loans.parquet")
    at = table.schema.get_field_index("loans_taken")
    pq.write_table(table.set_column(at, "loans_taken", pa.nulls(3, pa.float32())), tmp_path / "nulls.parquet")
    assert np.isnan(data.load(tmp_path / "nulls.parquet").x[:, 1]).all()

    at = table.schema.get_field_index("decided_at")
    pq.write_table(table.set_column(at, "decided_at", pa.nulls(3, pa.int64())), tmp_path / "nulls.parquet")
    with pytest.raises(InvalidDataset, match="decided_at must not be missing"):
        data.load(tmp_path / "nulls.parquet")
