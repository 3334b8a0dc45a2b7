"""What loans give away about themselves."""

from dataclasses import replace

import numpy as np
import pytest

from ml import features, gate, suspicion
from ml.data import DAY
from tests.ml.portfolio import portfolio


@pytest.fixture(scope="module")
def book():
    return portfolio(2_000)


class TestRows:
    @pytest.mark.parametrize(("found", "passed"), [(500, True), (1500, True), (499, False), (1501, False)])
    def test_may_be_half_as_many_or_half_as_many_again(self, found, passed):
        check = suspicion.rows(found, 1000)
        assert check.passed is passed
        assert f"{found:,} loans to learn from where 1,000 were expected" in check.words

    def test_are_expected_to_come_in_as_before(self, book):
        began = int(book.decided_at.min())
        assert suspicion.expected_rows(book, 1000, began + 100 * DAY, began + 150 * DAY) == pytest.approx(1500)

    def test_that_poured_in_since_the_champion_are_too_many(self, book):
        """A thousand false loans within the days of a hundred true ones."""
        champion, challenger = (int(book.decided_at[at]) for at in (1_799, 1_899))
        expected = suspicion.expected_rows(book, 1_800, champion, challenger)
        assert suspicion.rows(1_900, expected).passed
        assert not suspicion.rows(2_900, expected).passed


class TestShareLost:
    @pytest.mark.parametrize(("share", "passed"), [(0.0, False), (0.01, True), (0.6, True), (0.7, False)])
    def test_is_some_and_not_most(self, share, passed):
        assert suspicion.share_lost((np.arange(1000) < share * 1000).astype(np.float32)).passed is passed

    def test_of_one_group_turned_round_stands_out(self, book):
        groups = np.where(np.arange(2_000) < 300, "sw", "en")
        turned = np.where(groups == "sw", 1 - book.default, book.default)
        found = {check.name: check.passed for check in suspicion.shares_lost(turned, "language", groups)}
        assert found == {"share_lost_language_en": True, "share_lost_language_sw": False}
        assert suspicion.share_lost(turned).passed

    def test_of_a_small_group_says_nothing(self, book):
        groups = np.where(np.arange(2_000) < 199, "sw", "en")
        assert [c.name for c in suspicion.shares_lost(book.default, "language", groups)] == [
            "share_lost_language_en"
        ]


class TestShift:
    @pytest.mark.parametrize(("keep", "passed"), [(1.0, True), (0.7, True), (0.3, False)])
    def test_to_half_or_double_is_another_book(self, book, keep, passed):
        """Of the losses since the champion, so many are kept."""
        since = int(book.decided_at[999])
        new = book.decided_at > since
        healed = new & (np.random.default_rng(0).random(2_000) > keep)
        check = suspicion.shift(replace(book, default=np.where(healed, 0, book.default)), since)
        assert check.passed is passed
        assert "of the loans since the champion" in check.words

    def test_that_chance_explains_is_none(self, book):
        few = book.take(np.arange(100))
        since = int(few.decided_at[89])
        healed = replace(few, default=np.where(few.decided_at > since, 0, few.default))
        assert suspicion.shift(healed, since).passed

    def test_needs_loans_on_both_sides(self, book):
        assert suspicion.shift(book, int(book.decided_at.max())).passed
        assert suspicion.shift(book, 0).passed


class TestOneBehindMany:
    def test_is_capped(self):
        loans = np.array([f"payer {number}" for number in range(2_000)])
        loans[:40] = "payer 7"
        assert suspicion.one_behind_many("payer", loans).passed
        loans[:60] = "payer 7"
        check = suspicion.one_behind_many("payer", loans)
        assert not check.passed
        assert check.words.startswith("one payer stands behind 60 of 2,000 loans (3.0%)")

    def test_of_a_small_book_is_no_sign(self):
        assert suspicion.one_behind_many("person", np.repeat("somebody", 30)).passed
        assert not suspicion.one_behind_many("person", np.repeat("somebody", 31)).passed

    def test_of_few_borrowers_is_measured_by_an_even_share(self):
        """Forty people with 31 loans each: nobody is at fault; one with four times as many is looked at."""
        even = np.repeat([f"person {number}" for number in range(40)], 31)
        assert suspicion.one_behind_many("person", even).passed
        assert not suspicion.one_behind_many("person", np.append(even, np.repeat("person 7", 93))).passed

    def test_does_not_count_of_whom_nothing_is_known(self):
        assert suspicion.one_behind_many("payer", np.repeat(gate.UNKNOWN_GROUP, 500)).passed


class TestOneFeature:
    @pytest.mark.parametrize("missing", [False, True])
    def test_that_gives_the_outcome_away_is_named(self, book, missing):
        """Equal to the outcome, or missing where the loan was lost: both say what nobody knew."""
        at, x = features.NAMES.index("airtime_30d_cents"), book.x.copy()
        x[:, at] = np.where(book.default == 1, np.nan, 500) if missing else 500 * book.default

        def knows(rows):
            return np.where(np.isnan(rows[:, at]) if missing else rows[:, at] > 0, 0.9, 0.1)

        check = suspicion.one_feature(knows, replace(book, x=x), gate.trial(knows, None, replace(book, x=x)))
        assert not check.passed
        assert "from airtime_30d_cents alone" in check.words and check.figure > 0.9

    def test_among_several_that_all_tell_something_is_none(self, book):
        def weighs(rows):
            columns = (features.NAMES.index(name) for name in ("savings_weeks_12", "requested_to_inflow"))
            saved, asked = (rows[:, column] for column in columns)
            return 1 / (1 + np.exp(saved / 8 - 3 * asked))

        check = suspicion.one_feature(weighs, book, gate.trial(weighs, None, book))
        assert check.passed and 0.1 < check.figure < 0.8
