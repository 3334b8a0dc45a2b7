"""The nightly check finds what went wrong, and seldom what did not."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from lending.models import Case, Decision, Loan, Review
from ml.forward import scores as score
from scoring import registry, scorecard, tasks
from scoring.models import HealthCheck, HealthFigure, ModelVersion, PipelineRun
from scoring.monitor import applicants, figures, matured, night, running
from scoring.monitor.figures import MEASURES, Night
from tests.factories import NOON
from tests.ml.conftest import book
from tests.scoring import watched

DAY = timedelta(days=1)
ON = NOON.date() - DAY
# A loan of 30 days paid out on this day told its end some days ago.
LENT = NOON - 70 * DAY


@pytest.fixture
def reigning(shelved: ModelVersion) -> ModelVersion:
    """It has served for long enough that all decisions here are its own."""
    return registry.promote(shelved.name, at=NOON - 90 * DAY)


@pytest.fixture(scope="module")
def people():  # type: ignore[no-untyped-def]
    """Vectors of 2,000 applicants, drawn as those were whom the model learnt from."""
    return book(2_000, seed=11).x


@pytest.fixture
def said(trained, people):  # type: ignore[no-untyped-def]
    return score(trained.weights, people)


def found(measure: str, on=ON, **of: str) -> list[HealthFigure]:  # type: ignore[no-untyped-def]
    made = night.check(on, NOON)
    return list(made.figures.filter(measure=measure, **of))


def drawn(chances, *, times: float = 1.0, seed: int = 1):  # type: ignore[no-untyped-def]
    return np.random.default_rng(seed).random(len(chances)) < np.clip(chances * times, 0, 1)


class TestPromises:
    @pytest.fixture
    def lent(self, law, reigning, people, said):  # type: ignore[no-untyped-def]
        """Loans in two languages; `times`: so many times as many as promised are lost of those in Swahili."""

        def lend(times: float = 1.0, n: int = 1_200) -> None:
            moments = watched.spread(LENT - 10 * DAY, 10, n)
            made = watched.decide(
                moments, people[:n], said[:n].tolist(), version=reigning.name, languages=("en", "sw")
            )
            lost = drawn(said[:n])
            lost[1::2] = drawn(said[1:n:2], times=times, seed=2)
            watched.lend(made, lost.tolist())

        return lend

    def test_that_come_true_ring_nowhere(self, lent, reigning):
        lent()
        for measure in ("calibration", "log_loss"):
            rows = found(measure)
            assert {row.state for row in rows if row.n >= 600} == {"ok"}, [row.words for row in rows]
            assert {(row.fact, row.group) for row in rows} >= {("", ""), ("language", "en"), ("language", "sw")}
            assert all(row.low <= row.value <= row.high for row in rows if row.state == "ok")
            assert {row.version for row in rows} == {reigning.name}
        assert not Case.objects.exclude(subject_key__startswith="health:learnt_age").exists()

    def test_that_fail_in_one_language_ring_there(self, lent, reigning):
        lent(times=1.8)
        rows = {(row.fact, row.group): row for row in found("calibration")}
        assert rows["language", "sw"].state == "alarm" and rows["language", "en"].state == "ok"
        row = rows["language", "sw"]
        lost, n = row.value, row.n
        assert row.words.startswith(f"language sw: {lost:.2f} times as many lost as promised (") and n == 600
        assert row.value > row.threshold > 1
        case = Case.objects.get(subject_key=f"health:calibration:{reigning.name}")
        assert case.kind == "model_health" and row.words in case.note and "language en" not in case.note

    def test_are_judged_on_matured_loans_alone(self, lent, law, reigning, people, said):
        """A loan that was due yesterday, or 29 days ago, has not told its end."""
        lent(n=400)
        before = [row.n for row in found("calibration", fact="")]
        HealthCheck.objects.all().delete()
        for due_on in (ON, ON - 29 * DAY):
            made = watched.decide([LENT] * 50, people[:50], said[:50].tolist(), version=reigning.name)
            watched.lend(made, [True] * 50, due_on=due_on)
        assert [row.n for row in found("calibration", fact="")] == before == [400]
        HealthCheck.objects.all().delete()
        Loan.objects.filter(due_on=ON - 29 * DAY).update(due_on=ON - 30 * DAY)
        assert [row.n for row in found("calibration", fact="")] == [450]

    def test_are_none_of_the_model_where_the_scorecard_stood_in(self, lent, law, people):
        lent(n=400)
        made = watched.decide([LENT] * 50, people[:50], [0.04] * 50, version=scorecard.VERSION)
        watched.lend(made, [True] * 50)
        assert [row.n for row in found("calibration", fact="")] == [400]

    def test_of_several_versions_are_also_taken_together(self, law, reigning, people, said):
        """With a new model each night none has loans enough; and what serves no more calls nobody."""
        for version, times in ((reigning.name, 1.0), ("gone", 2.2)):
            moments = watched.spread(LENT - 10 * DAY, 10, 400)
            made = watched.decide(moments, people[:400], said[:400].tolist(), version=version)
            watched.lend(made, drawn(said[:400], times=times).tolist())
        rows = {row.version: row for row in found("calibration", fact="")}
        assert {name: (row.n, row.state) for name, row in rows.items()} == {
            "": (800, "alarm"), reigning.name: (400, "ok"), "gone": (400, "warn"),
        }  # fmt: skip
        asked = Case.objects.filter(subject_key__startswith="health:calibration")
        assert [case.subject_key for case in asked] == ["health:calibration"]

    def test_of_a_few_loans_are_too_few(self, lent):
        lent(n=60)
        for measure in ("calibration", "log_loss", "auc"):
            rows = found(measure)
            assert {row.state for row in rows} == {"too_few"}
            assert "200 with 20 of either outcome are needed to tell" in rows[0].words

    def test_of_a_model_that_ranks_by_a_coin_ring(self, law, reigning, people, said):
        moments = watched.spread(LENT - 10 * DAY, 10, 2_000)
        made = watched.decide(moments, people, said.tolist(), version=reigning.name)
        watched.lend(made, (np.random.default_rng(3).random(2_000) < said.mean()).tolist())
        row = found("auc", fact="")[0]
        assert row.state == "alarm" and row.low < 0.5 < row.high, row.words
        loss = found("log_loss", fact="")[0]
        assert loss.state == "alarm" and loss.value > loss.threshold

    def test_ring_by_chance_in_few_nights(self, said):
        """300 nights of true promises, eight groups of 250 loans each: one in 100 may ring."""
        rings = {"calibration": 0, "log_loss": 0, "auc": 0}
        for seed in range(300):
            y = drawn(said, seed=seed).astype(np.float32)
            groups = [slice(at, at + 250) for at in range(0, 2_000, 250)]
            parts = [matured.Part("m", "group", str(one.start), y[one], said[one]) for one in groups]
            for told in (matured.calibration(parts), matured.log_loss(parts), matured.auc(parts, {"m": 0.5})):
                rings[told[0].measure] += any(figure.state in ("warn", "alarm") for figure in told)
        assert all(nights <= 9 for nights in rings.values()), rings


class TestApplicants:
    """Who asks now, beside who asked when the champion's loans were made."""

    @pytest.fixture
    def asked(self, law, reigning, people, said):  # type: ignore[no-untyped-def]
        """Applicants of the training's time, and those of the last four weeks as a test wants them."""
        once = reigning.seen_until - 2 * DAY
        watched.decide(watched.spread(once, 1, 1_000), people[1_000:], said[1_000:].tolist())

        def ask(x=None, n: int = 600, **changes) -> list[Decision]:  # type: ignore[no-untyped-def]
            x = people[:n] if x is None else x
            moments = watched.spread(NOON - 20 * DAY, 18, len(x))
            scores = [float(one) for one in said[: len(x)]]
            return watched.decide(moments, x, scores, **{"version": reigning.name} | changes)

        return ask

    def test_who_are_as_they_were_ring_nowhere(self, asked, reigning):
        asked()
        for measure in ("score_drift", "feature_drift", "missing", "parity"):
            rows = found(measure)
            assert rows and {row.state for row in rows} == {"ok"}, [row.words for row in rows if row.state != "ok"]
        assert {row.group for row in found("feature_drift")}.isdisjoint(applicants.CALENDAR)

    def test_who_are_others_ring_by_the_feature_that_moved(self, asked, people, reigning):
        x = people[:600].copy()
        at = applicants.feature_list.NAMES.index("worst_days_late")
        x[:, at] *= 0.4
        asked(x)
        ringing = [row for row in found("feature_drift") if row.state != "ok"]
        assert [(row.group, row.state) for row in ringing] == [("worst_days_late", "alarm")]
        assert ringing[0].value > ringing[0].threshold
        case = Case.objects.get(subject_key=f"health:feature_drift:{reigning.name}")
        assert "feature worst_days_late: PSI" in case.note

    def test_whose_scores_moved_ring(self, asked, people, said):
        asked(people[np.argsort(said)[-600:]])
        assert [row.state for row in found("score_drift")] == ["alarm"]

    def test_of_whom_less_is_known_ring(self, asked, people):
        x = people[:600].copy()
        at = applicants.feature_list.NAMES.index("wallet_in_90d_cents")
        x[: 600 // 3, at] = np.nan
        asked(x)
        ringing = {row.group: row for row in found("missing") if row.state == "alarm"}
        assert list(ringing) == ["wallet_in_90d_cents"]
        assert ringing["wallet_in_90d_cents"].words.startswith("feature wallet_in_90d_cents: 4")

    def test_with_numbers_that_cannot_be_true_ring(self, asked, people):
        asked()
        moments = watched.spread(NOON - 5 * DAY, 1, 30)
        kept = {"features": None, "facts": {"may_score": True}, "invalid_feature": "on_time_share"}
        watched.decide(moments, people[:30], [None] * 30, inputs=kept)
        rows = {row.group: row for row in found("impossible")}
        assert {row.state for row in rows.values()} == {"alarm"}
        assert rows["on_time_share"].words.endswith("30 of 630 applicants had a number that cannot be true")

    def test_whose_score_is_not_the_model_s_ring(self, asked, people, said):
        asked()
        asked(people[:1], score=float(said[0]) + 0.01)
        assert found("parity")[0].state == "alarm"
        assert found("parity")[0].words.startswith("1 of 601 scores differ by more than 1e-05, the most by 1.0e-02")

    def test_of_a_model_whose_files_are_gone_ring(self, asked, reigning, models_dir):
        asked()
        (models_dir / reigning.artifact / "manifest.hmac").unlink()
        row = found("parity")[0]
        assert row.state == "alarm" and "its files are refused" in row.words
        assert found("feature_drift")

    def test_are_too_few_to_tell(self, asked):
        asked(n=100)
        for measure in ("score_drift", "feature_drift", "missing"):
            rows = found(measure)
            assert [row.state for row in rows] == ["too_few"]
            assert "100 applicants in four weeks, 200 are needed" in rows[0].words

    def test_are_borrowers_beside_borrowers_where_no_applicants_were_kept(self, law, reigning, people, said):
        """As under a first model after another lender's customers moved in."""
        once = reigning.seen_until - 60 * DAY
        before = watched.decide(
            watched.spread(once, 1, 300), people[:300], [None] * 300, feature_version="of older features"
        )
        watched.lend(before, [False] * 300)
        moments = watched.spread(NOON - 20 * DAY, 18, 600)
        watched.decide(moments, people[:600], said[:600].tolist(), version=reigning.name, approved=(True, False))
        then, of_loans = applicants.learnt_from(reigning)
        assert (len(then[0]), of_loans) == (300, True)
        assert [row.n for row in found("score_drift")] == [300]

    @pytest.mark.parametrize("n", [300, 2_000])
    def test_ring_by_chance_in_few_nights(self, n):
        """40 nights in which nothing moved, on all features at once: one in 100 may ring."""
        reference = book(4_000, seed=1).x
        version = figures.ModelVersion(name="m")
        nights = 0
        for seed in range(40):
            now = book(n, seed=100 + seed).x
            told = applicants.moved(reference, now, version) + applicants.missing(reference, now, version)
            nights += any(figure.state != "ok" for figure in told)
        assert nights <= 3


class TestApprovals:
    def ask(self, people, n: int, language: str, approved) -> None:  # type: ignore[no-untyped-def]
        moments = watched.spread(NOON - 20 * DAY, 18, n)
        watched.decide(moments, people[:n], [0.1] * n, languages=(language,), approved=approved)

    def test_of_one_language_below_four_fifths_ring(self, law, people):
        self.ask(people, 400, "en", (True, True, True, False))
        self.ask(people, 400, "sw", (True, False))
        rows = {(row.fact, row.group): row for row in found("approval")}
        assert rows["language", "sw"].state == "alarm"
        assert rows["language", "sw"].words == (
            "language sw: 200 of 400 approved (50%), needs 60%: four fifths of language en"
        )
        assert "alarm" not in {row.state for key, row in rows.items() if key != ("language", "sw")}
        assert rows["language", "sw"].low < 0.5 < rows["language", "sw"].high

    def test_of_a_small_group_are_too_few(self, law, people):
        self.ask(people, 400, "en", (True,))
        self.ask(people, 40, "sw", (False,))
        assert [row.state for row in found("approval", group="sw")] == ["too_few"]

    def test_that_differ_by_less_are_well(self, law, people):
        self.ask(people, 400, "en", (True, True, True, False))
        self.ask(people, 400, "sw", (True, True, False))
        assert [row.state for row in found("approval", group="sw")] == ["ok"]


class TestRunning:
    def week(self, people, n: int = 300, seconds: float = 1.0, **changes) -> list[Decision]:  # type: ignore[no-untyped-def]
        moments = watched.spread(NOON - 6 * DAY, 5, n)
        return watched.decide(moments, people[:n], [0.1] * n, seconds=seconds, **changes)

    def test_decisions_that_come_at_once_are_well(self, law, reigning, people):
        self.week(people, version=reigning.name, latency_ms=30)
        for measure, value in (("answer_median", 1.03), ("wait_slowest", 1.0), ("model_slowest", 0.03)):
            row = found(measure)[0]
            assert (row.state, row.value) == ("ok", pytest.approx(value))

    @pytest.mark.parametrize(("slow", "states"), [
        (10, {"answer_median": "ok", "answer_slowest": "ok"}),
        (60, {"answer_median": "ok", "answer_slowest": "alarm"}),
        (240, {"answer_median": "alarm", "answer_slowest": "alarm"}),
    ])  # fmt: skip
    def test_decisions_that_take_long_ring(self, law, reigning, people, slow, states):
        self.week(people, 300 - slow, version=reigning.name)
        self.week(people, slow, seconds=40, version=reigning.name)
        assert {measure: found(measure)[0].state for measure in states} == states

    def test_decisions_without_the_model_ring(self, law, reigning, people):
        self.week(people, version=reigning.name)
        referred = {"outcome": "refer", "reasons": [{"code": "data_missing", "values": {}}], "next_step": "wait"}
        self.week(people, 30, **referred)
        self.week(people, 10, version=scorecard.VERSION)
        row = found("fallback")[0]
        assert row.state == "alarm" and row.words == "40 of 340 decisions were made without the model"
        assert found("data_missing")[0].words.startswith("30 of 340")
        assert found("answer_median")[0].n == 300

    def test_before_the_first_model_nobody_misses_it(self, law, people):
        self.week(people)
        assert not found("fallback") and not found("model_age")

    def test_what_was_lent_to_explore_is_told(self, law, reigning, people):
        self.week(people, 40, propensity=0.05)
        self.week(people, 40)
        row = found("exploration")[0]
        assert (row.n, row.value, row.words) == (
            40, 40 * 50_000, "currency KES: KES 20,000 to 40 applicants in a week"
        )  # fmt: skip

    def test_refusals_that_officers_overturn_are_told(self, law, people, django_user_model):
        officer = django_user_model.objects.create_user("wambui")
        refused = self.week(people, 80, approved=(False,))
        Review.objects.bulk_create(
            Review(application=one.application, officer=officer, approved=place < 60, reason="Knows her.",
                   code="x", next_step="y", reviewed_at=NOON - 2 * DAY)
            for place, one in enumerate(refused)
        )  # fmt: skip
        row = found("overturned")[0]
        assert (row.state, row.value, row.n) == ("warn", 0.75, 80)

    def test_an_old_model_rings(self, law, reigning):
        assert found("model_age")[0].state == "ok"
        # What it has learnt from is of the made-up book, two years before.
        assert found("learnt_age")[0].state == "alarm"
        later = ON + 100 * DAY
        made = night.check(later, NOON + 200 * DAY)
        assert made.figures.get(measure="model_age").state == "alarm"
        assert made.figures.get(measure="model_age").words == "trained 100 days ago"


class TestTraining:
    def ended(self, days_ago: int, state: str, why: str = "no better") -> PipelineRun:
        at = NOON - days_ago * DAY
        run = PipelineRun.objects.create(
            business_date=at.date(), number=1, started_at=at, finished_at=at, state=state, why=why
        )
        run.steps.create(name="ingest", started_at=at)
        return run

    @pytest.mark.parametrize(("nights", "state"), [(6, "ok"), (7, "warn"), (13, "warn"), (14, "alarm")])
    def test_that_brings_no_model_for_long_rings(self, law, reigning, nights, state):
        self.ended(nights + 1, "promoted")
        self.ended(nights + 2, "shelved")
        for days_ago in range(nights, 0, -1):
            self.ended(days_ago, "refused" if days_ago == 2 else "shelved", why=f"night {days_ago}")
        row = found("no_better")[0]
        assert (row.value, row.state) == (nights, state)
        assert row.words == (
            f"{nights} trainings in a row brought no model: {nights - 1} shelved, 1 data refused; "
            "the latest: night 1"
        )
        assert Case.objects.filter(subject_key="health:no_better").exists() == (state == "alarm")

    @pytest.mark.parametrize(("days_ago", "state"), [(1, "ok"), (3, "warn"), (5, "alarm")])
    def test_that_is_silent_rings(self, law, reigning, days_ago, state):
        self.ended(days_ago, "promoted")
        assert found("training_silence")[0].state == state


class TestNight:
    def test_is_kept_once_and_stays_as_it_was_found(self, law, reigning, people):
        first = night.check(ON, NOON)
        kept = list(first.figures.values())
        watched.decide(watched.spread(NOON - 3 * DAY, 1, 300), people[:300], [0.1] * 300, version=reigning.name)
        assert night.check(ON, NOON + DAY) == first
        assert list(first.figures.values()) == kept
        assert Case.objects.count() == 1  # the made-up book is years old

    def test_opens_one_case_while_it_is_open_and_another_when_nothing_was_mended(self, law, reigning):
        for days in range(3):
            night.check(ON + days * DAY, NOON + days * DAY)
        case = Case.objects.get()
        assert case.subject_key == f"health:learnt_age:{reigning.name}" and case.opened_at == NOON
        Case.objects.update(closed_at=NOON)
        night.check(ON + 3 * DAY, NOON + 3 * DAY)
        assert Case.objects.filter(closed_at__isnull=True).count() == 1

    def test_of_the_past_calls_nobody_when_a_later_one_is_known(self, law, reigning):
        HealthCheck.objects.create(business_date=ON, checked_at=NOON)
        assert found("learnt_age", on=ON - DAY)[0].state == "alarm"
        assert not Case.objects.exists()

    def test_that_fails_leaves_nothing(self, law, reigning, monkeypatch):
        def broken(rows, at) -> None:  # type: ignore[no-untyped-def]
            raise ZeroDivisionError

        monkeypatch.setattr(night, "call_somebody", broken)
        with pytest.raises(ZeroDivisionError):
            night.check(ON, NOON)
        assert not HealthCheck.objects.exists() and not HealthFigure.objects.exists()

    def test_that_is_not_over_is_not_checked(self, law):
        with pytest.raises(night.NotOver, match="2026-03-02 is not over yet"):
            night.check(NOON.date(), NOON)

    def test_ends_with_the_local_day(self, law):
        assert Night.of(ON).until == datetime(2026, 3, 1, 21, tzinfo=UTC)
        assert Night.of(ON).days_before(7) == datetime(2026, 2, 22, 21, tzinfo=UTC)

    def test_tells_of_measures_that_have_a_title(self, law, reigning):
        made = night.check(ON, NOON)
        assert {row.measure for row in made.figures.all()} <= set(MEASURES)

    def test_is_the_task_of_beat(self, law):
        tasks.monitor_nightly()
        tasks.monitor_nightly()
        assert HealthCheck.objects.count() == 1

    def test_by_hand_says_what_rings(self, law, reigning, capsys):
        with pytest.raises(SystemExit) as ended:
            call_command("monitor", date=ON)
        assert ended.value.code == 1
        said = capsys.readouterr().out
        assert "Alarm" in said and "learnt_age: has learnt of no decision of the last" in said
        assert said.rstrip().endswith("1 alarms")
        assert running.LEARNT_AGE == (180, 365)

    def test_by_hand_of_a_day_to_come_is_refused(self, law):
        with pytest.raises(CommandError, match="is not over yet"):
            call_command("monitor", date=NOON.date() + 20_000 * DAY)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_write_one_night(law, reigning):
    """Both come at the same moment, on connections of their own; the second waits for the first."""
    together, made, errors = threading.Barrier(2), [], []

    def come() -> None:
        try:
            together.wait()
            made.append(night.check(ON, NOON))
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)
        finally:
            connection.close()

    both = [threading.Thread(target=come) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert errors == [] and len(made) == 2 and made[0] == made[1]
    kept = HealthFigure.objects.values_list("measure", "version", "fact", "group")
    assert len(kept) == len(set(kept)) > 0
    assert Case.objects.count() == 1
