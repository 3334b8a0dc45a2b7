"""One retraining in steps that a killed process takes up again.

Each step is a row. Its result is a file in the run's own directory, written in one move and then named by the row
with its hash, or it is in the row itself. A step that is done is never done again, one that was cut off starts
anew, and a file that is lost takes its step and the later ones with it. Whatever happens, the champion serves on
until the one transaction that replaces it. Source: docs/operations.md, "A model comes to serve".
"""

import hashlib
import logging
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from lending.models import Case
from lending.rules import calendar
from lending.services import cases
from ml import features as feature_list
from ml import files
from ml.artifact import without_nan
from ml.calibrate import Calibration
from ml.data import Dataset
from ml.fit import Recipe
from ml.gate import Comparison
from ml.train import LEAST_LOANS, Learnt, Lineage, Plan, TooFewLoans, Trained, calibrated, learn
from scoring import judging, registry, shadow, training
from scoring.models import ModelVersion, PipelineRun, PipelineStep, Promotion
from scoring.training import Outcomes

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
Arrays = Mapping[str, npt.NDArray[Any]]

# A step that was begun so often and never ended, because it kills its process, ends its run.
MOST_TRIES = 5
# However well the champion's weights serve as a start, so often a training begins at nothing.
FRESH_EVERY_DAYS = 7
# Against the last run that ended: more or fewer loans than this is a broken import or a lost table.
ROWS_CHANGE = 0.5
# A share of losses outside of these no book has; it is a wrong join, or outcomes that never arrived.
LOSS_SHARES = (0.001, 0.70)
# More rows with numbers that cannot be true are no accident.
MOST_IMPOSSIBLE = 0.05


class Busy(Exception):
    """Another process works on the pipeline."""


class Refused(Exception):
    """The data must not teach; says why. The run ends."""


class NotYet(Exception):
    """The step has to wait; says for what. The run goes on with a later call."""


# --- what a step works with -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Result:
    """What a step came to: its arrays for the file, its report for the row, and whether the run ends with it."""

    report: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays | None = None
    ends: tuple[str, str] | None = None  # the run's state, and why in words


@dataclass(frozen=True)
class Work:
    """A run as its steps see it."""

    run: PipelineRun
    now: datetime
    say: Say

    @property
    def directory(self) -> Path:
        """Where the files of this run lie."""
        return runs_directory() / directory_name(self.run)

    @property
    def plan(self) -> Plan:
        return plan_from(self.run.plan)

    def report(self, step: str) -> dict[str, Any]:
        """Return what a step that is done has reported."""
        return dict(self.run.steps.get(name=step, state=PipelineStep.State.DONE).report)

    def path(self, step: str) -> Path:
        return self.directory / f"{step}.npz"

    def arrays(self, step: str) -> Arrays:
        """Return what a step that is done has made."""
        return files.unpacked(files.read_plain(self.path(step)))

    def outcomes(self) -> Outcomes:
        return Outcomes(**self.arrays("ingest"))

    def dataset(self) -> Dataset:
        columns: dict[str, Any] = dict(self.arrays("features"))
        # In order once, or each part of it would be copied for it.
        return Dataset(**columns).in_time_order()

    def learnt(self) -> Learnt:
        weights, left_out = _split(self.arrays("train"), "left_out")
        facts = self.report("train")
        kept = {"recipe": Recipe(**facts["recipe"]), "lineage": Lineage(**facts["lineage"])}
        return Learnt(weights=weights, left_out=left_out, **facts | kept)

    def trained(self) -> Trained:
        facts = self.report("calibrate")
        measured = {part: _with_nan(measures) for part, measures in facts["metrics"].items()}
        return Trained(
            weights=dict(self.arrays("calibrate")),
            names=feature_list.NAMES,
            **facts
            | {
                "calibration": Calibration(**facts["calibration"]),
                "metrics": measured,
                "lineage": Lineage(**facts["lineage"]),
                "plan": plan_from(facts["plan"]),
            },
        )


def runs_directory() -> Path:
    return Path(settings.MODELS_DIR) / "runs"


def directory_name(run: PipelineRun) -> str:
    return f"{run.business_date}-{run.number}"


def plan_from(stored: Mapping[str, Any]) -> Plan:
    """Return a plan from the JSON of its row."""
    recipe = Recipe(**stored["recipe"]) if stored["recipe"] else None
    return Plan(**{**stored, "shares": tuple(stored["shares"]), "recipe": recipe})


def _with_nan(measures: Mapping[str, float | None]) -> dict[str, float]:
    """Return measures as they were before JSON, which knows no NaN."""
    return {name: math.nan if value is None else value for name, value in measures.items()}


def _split(arrays: Arrays, name: str) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any]]:
    return {path: array for path, array in arrays.items() if path != name}, arrays[name]


def _columns(of: Outcomes) -> Arrays:
    """Return the arrays of the outcomes by name."""
    return {f.name: getattr(of, f.name) for f in fields(of)}


# --- the steps ------------------------------------------------------------------------------------------------
def ingest(work: Work) -> Result:
    """Read every loan whose outcome was known when the run began."""
    known = training.outcomes(work.run.started_at)
    share = float(known.default.mean()) if len(known) else 0.0
    work.say(f"{len(known):,} loans, {share:.1%} lost")
    return Result({"loans": len(known), "lost": share}, _columns(known))


def validate(work: Work) -> Result:
    """Refuse loans that no book can have, and numbers of loans that no night explains."""
    known = work.outcomes()
    against = wrong_outcomes(known, work.run.started_at)
    last = last_loans(work.run)
    if last and not work.run.any_size and abs(len(known) / last - 1) > ROWS_CHANGE:
        against.append(
            f"{len(known):,} loans where the last run had {last:,}, more than {ROWS_CHANGE:.0%} apart; if that is "
            "right, `retrain --any-size`"
        )
    if against:
        raise Refused("; ".join(against))
    return Result({"loans": len(known), "last_run": last})


def wrong_outcomes(known: Outcomes, at: datetime) -> list[str]:
    """Return what cannot be true of outcomes, in words; empty when all is well."""
    if len(known) < LEAST_LOANS:
        return [f"needs {LEAST_LOANS} loans with known outcomes, got {len(known)}"]
    against = []
    share = float(known.default.mean())
    if not LOSS_SHARES[0] <= share <= LOSS_SHARES[1]:
        against.append(f"share lost must be from {LOSS_SHARES[0]:.1%} to {LOSS_SHARES[1]:.0%}, got {share:.2%}")
    checks = {
        "an application twice": len(np.unique(known.application_ids)) < len(known),
        "amounts of nothing": (known.requested_cents <= 0).any(),
        "applications later than the run": (known.submitted_us > at.timestamp() * 1e6).any(),
        "shares repaid that are no numbers or below 0": not (known.repaid_share >= 0).all(),
        "days late that are no numbers": np.isnan(known.days_late).any(),
    }
    return against + [what for what, is_so in checks.items() if is_so]


def last_loans(run: PipelineRun) -> int | None:
    """Return how many loans the last run had that ended in a verdict."""
    verdicts = (PipelineRun.State.PROMOTED, PipelineRun.State.FOR_PEOPLE, PipelineRun.State.SHELVED)
    ended = PipelineRun.objects.filter(state__in=verdicts, loans__gt=0).exclude(id=run.id)
    return ended.order_by("-started_at", "-id").values_list("loans", flat=True).first()


def features(work: Work) -> Result:
    """Take the vector of each loan as its decision saw it."""
    known = work.outcomes()
    loans = training.believable(known, *training.as_decided(known))
    impossible = len(known) - len(loans)
    if impossible > MOST_IMPOSSIBLE * len(known):
        raise Refused(f"{impossible} of {len(known)} loans have numbers that cannot be true")
    facts = {"loans": len(loans), "impossible": impossible, "sha256": loans.sha256()}
    return Result(facts | {"feature_version": feature_list.VERSION}, loans.columns())


def train(work: Work) -> Result:
    """Find the weights: from those of the champion, or from nothing where it has been long enough."""
    try:
        learnt = learn(
            work.dataset(),
            seed=work.run.seed,
            plan=work.plan,
            progress=lambda part, what: work.say(f"{part:4.0%} {what}"),
            parent=None if fresh_is_due(work.run) else registry.open_champion(),
        )
    except TooFewLoans as error:
        raise Refused(str(error)) from error
    facts = {f.name: getattr(learnt, f.name) for f in fields(learnt) if f.name not in ("weights", "left_out")}
    kept = {"recipe": asdict(learnt.recipe), "lineage": asdict(learnt.lineage)}
    return Result(facts | kept, {**learnt.weights, "left_out": learnt.left_out})


def fresh_is_due(run: PipelineRun) -> bool:
    """Say whether no training of the last days began at nothing: one a week does, however the warm ones fare."""
    since = run.business_date - timedelta(days=FRESH_EVERY_DAYS)
    steps = PipelineStep.objects.filter(name="train", state=PipelineStep.State.DONE)
    recent = steps.filter(run__business_date__gt=since, run__business_date__lte=run.business_date)
    return not recent.filter(report__lineage__parent_sha256="").exclude(run=run).exists()


def calibrate(work: Work) -> Result:
    """Make the chances come true, and measure them on the latest loans."""
    trained = calibrated(work.dataset(), work.learnt(), seed=work.run.seed, plan=work.plan)
    kept = {f.name: getattr(trained, f.name) for f in fields(trained) if f.name not in ("weights", "names")}
    plain = {name: asdict(getattr(trained, name)) for name in ("calibration", "lineage", "plan")}
    return Result(kept | plain, trained.weights)


def judge(work: Work) -> Result:
    """Compare with the champion of this moment on loans that neither has learnt from."""
    champion, reigning = registry.champion_name(), registry.open_champion()
    judgement = judging.judge(
        work.trained(),
        reigning,
        work.dataset(),
        first=work.run.first,
        has_rival=reigning is not None,
        any_size=work.run.any_size,
    )
    return Result(
        {
            "champion": champion,
            "has_rival": reigning is not None,
            "better": judgement.better,
            "why": list(judgement.why),
            "comparison": asdict(judgement.comparison),
            "report": judgement.report,
        }
    )


def register(work: Work) -> Result:
    """Keep the model for good, with its report; what is not better stays on the shelf."""
    verdict = work.report("judge")
    version = registry.register(
        work.trained(),
        comparison=Comparison(**verdict["comparison"]),
        report=verdict["report"],
        at=work.run.started_at,
    )
    work.run.version = version
    if not verdict["better"]:
        return Result({"name": version.name}, ends=(PipelineRun.State.SHELVED, "; ".join(verdict["why"])))
    registry.stand(version, registry.CHALLENGER, at=work.now)
    return Result({"name": version.name})


def enter_shadow(work: Work) -> Result:
    """Let the challenger score the live decisions; where nobody can serve, nobody waits for that."""
    version = version_of(work.run)
    if not work.report("judge")["has_rival"]:
        return Result({"asked": False})
    registry.stand(version, registry.SHADOW, at=work.now)
    return Result({"asked": True})


def promote(work: Work) -> Result:
    """Let the challenger serve, leave it to two people, or shelve it.

    Raises:
        NotYet: its shadow has not seen enough.
    """
    version, verdict = version_of(work.run), work.report("judge")
    if registry.has_served(version):  # people did not wait for the end of its shadow
        return Result(ends=(PipelineRun.State.PROMOTED, "; ".join(verdict["why"])))
    can_serve = registry.open_champion() is not None
    if not work.report("shadow")["asked"]:
        if can_serve:
            return _shelve(version, f"nobody could serve when it was judged, and {registry.champion_name()} does")
        return _let_serve(version, verdict["why"], {}, work.now)
    standing, champion = registry.alias(registry.SHADOW), registry.champion()
    if not can_serve:
        return _shelve(version, f"{verdict['champion']}, beside which it was judged, cannot serve any more")
    if champion is None or champion.name != verdict["champion"]:
        return _shelve(version, f"judged beside {verdict['champion']}, which does not serve any more")
    if standing is None or standing.version != version:
        return _shelve(version, "taken out of the shadow")
    if work.now < shadow.ripe_at(standing):
        raise NotYet(f"{version.name} is in the shadow until {shadow.ripe_at(standing):%Y-%m-%d %H:%M} UTC")
    seen = shadow.beside(version, champion)
    patience = timedelta(days=settings.SHADOW_DAYS_AT_MOST)
    if seen.decisions < settings.SHADOW_DECISIONS and work.now < standing.since + patience:
        raise NotYet(f"{version.name} has seen {seen.decisions} of {settings.SHADOW_DECISIONS} live decisions")
    against = shadow.too_risky_alone(seen)
    # Trained on nearly the same loans, it may well be what was rolled back.
    if registry.came_back():
        against.append(f"{champion.name} came back by a rollback")
    if against:
        return _leave_to_people(version, against, seen, work.now)
    return _let_serve(version, [*verdict["why"], shadow.in_words(seen)], shadow.as_report(seen), work.now)


def _let_serve(version: ModelVersion, why: list[str], report: dict[str, Any], now: datetime) -> Result:
    words = "; ".join(why)
    registry.promote(version.name, at=now, reason=words)
    return Result(report, ends=(PipelineRun.State.PROMOTED, words))


def _shelve(version: ModelVersion, why: str) -> Result:
    registry.step_back(version, registry.CHALLENGER, registry.SHADOW)
    return Result(ends=(PipelineRun.State.SHELVED, why))


def _leave_to_people(version: ModelVersion, against: list[str], seen: shadow.Beside, now: datetime) -> Result:
    """Keep it as challenger until two people let it serve, or another one comes."""
    registry.step_back(version, registry.SHADOW)
    words = "; ".join(against)
    cases.open_case(kind=Case.Kind.MODEL_WAITS, subject_key=f"model:{version.name}", note=words, at=now)
    return Result(shadow.as_report(seen), ends=(PipelineRun.State.FOR_PEOPLE, words))


def version_of(run: PipelineRun) -> ModelVersion:
    assert run.version is not None, "the step `register` sets it"
    return run.version


@dataclass(frozen=True)
class Step:
    """A name and what is done under it. What only writes rows is one transaction with the row of the step."""

    name: str
    do: Callable[[Work], Result]
    only_rows: bool = False


STEPS = (
    Step("ingest", ingest),
    Step("validate", validate),
    Step("features", features),
    Step("train", train),
    Step("calibrate", calibrate),
    Step("judge", judge),
    Step("register", register, only_rows=True),
    Step("shadow", enter_shadow, only_rows=True),
    Step("promote", promote, only_rows=True),
)


# --- one call ------------------------------------------------------------------------------------------------
def retrain(
    at: datetime,
    *,
    nightly: bool = False,
    first: bool = False,
    any_size: bool = False,
    seed: int = 1,
    plan: Plan | None = None,
    say: Say = lambda text: None,
) -> PipelineRun | None:
    """Go on with what is open; when nothing is, begin a run of this business date and take it as far as it goes.

    `nightly`: one run a date, however often it is called; None when there is nothing to do any more. It begins
    also after the end of an earlier night's. By hand, each call that finds nothing open begins another one. While
    a challenger is in the shadow, no other is trained.

    Raises:
        Busy: another process is at it.
        Whatever a step raises: it is on record, and the next call begins with that step.
    """
    with only_one():
        clear_directories()
        run = None
        for run in PipelineRun.objects.filter(state__in=PipelineRun.OPEN).order_by("started_at", "id"):
            if go_on(run, at, say).state in PipelineRun.OPEN or not nightly:
                return run
        on = calendar.business_date(at, settings.TIME_ZONE)
        begun = begin(on, at, nightly=nightly, first=first, any_size=any_size, seed=seed, plan=plan)
        return go_on(begun, at, say) if begun else run


def is_due(at: datetime) -> bool:
    """Say whether the night has something to do: a run that is open, or none of this business date.

    As long as no model has ever served there is no night: the first one waits for the lender's word.
    """
    if PipelineRun.objects.filter(state__in=PipelineRun.OPEN).exists():
        return True
    if not Promotion.objects.exists():
        return False
    on = calendar.business_date(at, settings.TIME_ZONE)
    return not PipelineRun.objects.filter(business_date=on).exists()


def begin(
    on: date,
    at: datetime,
    *,
    nightly: bool = False,
    first: bool = False,
    any_size: bool = False,
    seed: int = 1,
    plan: Plan | None = None,
) -> PipelineRun | None:
    """Claim a run of a date by inserting it; None where the night of this date has had its run."""
    latest = PipelineRun.objects.filter(business_date=on).aggregate(latest=Max("number"))["latest"] or 0
    if nightly and latest:
        return None
    try:
        with transaction.atomic():
            return PipelineRun.objects.create(
                business_date=on,
                number=latest + 1,
                first=first,
                any_size=any_size,
                seed=seed,
                plan=asdict(plan or Plan()),
                started_at=at,
            )
    except IntegrityError:
        raise Busy(f"another process began run {latest + 1} of {on}") from None


@contextmanager
def only_one() -> Iterator[None]:
    """Keep every other process out. PostgreSQL lets go when this process dies, however it dies.

    Raises:
        Busy: another process is in.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended('scoring.pipeline', 0))")
        if cursor.fetchone() != (True,):
            raise Busy("another process works on the pipeline")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended('scoring.pipeline', 0))")


def go_on(run: PipelineRun, now: datetime, say: Say = lambda text: None) -> PipelineRun:
    """Take a run as far as it goes now: to its end, or to a step that has to wait."""
    work = Work(run, now, say)
    forget_lost_files(work)
    done = set(run.steps.filter(state=PipelineStep.State.DONE).values_list("name", flat=True))
    if "train" not in done:
        # TensorFlow takes seconds to import and PostgreSQL seconds to answer: both at once.
        threading.Thread(target=import_module, args=("ml.network",), daemon=True).start()
    for step in STEPS:
        if step.name in done:
            continue
        row = _begin_step(run, step.name, now)
        if row.tries > MOST_TRIES:
            words = f"{step.name} was begun {MOST_TRIES} times and never ended"
            _end_badly(work, row, words, PipelineRun.State.FAILED)
            break
        try:
            with transaction.atomic() if step.only_rows else nullcontext():
                result = step.do(work)
                sha256 = _keep(work, step.name, result.arrays)
                _finish_step(work, row, result, sha256)
        except NotYet as waits:
            _wait(work, row, str(waits))
            break
        except Refused as refusal:
            _end_badly(work, row, str(refusal), PipelineRun.State.REFUSED)
            break
        except Exception as error:
            why = f"{step.name}: {type(error).__name__}: {error}"
            run.refresh_from_db()  # nothing of what was rolled back
            row.refresh_from_db()
            if row.tries >= MOST_TRIES:
                _end_badly(work, row, why, PipelineRun.State.FAILED)
            else:
                _note_failure(run, row, why)
            raise
        if result.ends:
            break
    clear_directories()
    return run


def forget_lost_files(work: Work) -> None:
    """Let a run begin again with the first step whose file is not what its row says.

    Once the model is registered no file is needed.
    """
    steps = list(work.run.steps.filter(state=PipelineStep.State.DONE))
    if any(row.name == "register" for row in steps):
        return
    for row in steps:
        lost = bool(row.sha256) and _digest_on_disk(work.path(row.name)) != row.sha256
        # A run that began under other code: its vectors are not those of today.
        if lost or row.report.get("feature_version", feature_list.VERSION) != feature_list.VERSION:
            logger.warning("run %s begins again with %s", work.run, row.name)
            work.run.steps.filter(id__gte=row.id).delete()
            return


def _digest_on_disk(path: Path) -> str:
    try:
        return hashlib.sha256(files.read_plain(path)).hexdigest()
    except OSError:
        return ""


def _begin_step(run: PipelineRun, name: str, now: datetime) -> PipelineStep:
    row, _ = PipelineStep.objects.get_or_create(run=run, name=name, defaults={"started_at": now})
    # Waiting is no failure, however often it is looked at.
    row.tries = 1 if row.state == PipelineStep.State.WAITING else row.tries + 1
    row.state, row.started_at, row.report = PipelineStep.State.RUNNING, now, {}
    row.save()
    return row


def _keep(work: Work, name: str, arrays: Arrays | None) -> str:
    """Put what a step made into its file; return its hash, "" for nothing."""
    if arrays is None:
        return ""
    content = files.packed(arrays)
    work.directory.mkdir(parents=True, exist_ok=True)
    files.write_whole(work.path(name), content)
    return hashlib.sha256(content).hexdigest()


def _finish_step(work: Work, row: PipelineStep, result: Result, sha256: str) -> None:
    """Name the file in the row, and end the run where the step says so: one transaction."""
    run = work.run
    row.state, row.finished_at, row.sha256 = PipelineStep.State.DONE, work.now, sha256
    row.report, row.tries = without_nan(result.report), 0
    run.loans = row.report.get("loans", run.loans)
    if result.ends:
        run.state, run.why = result.ends
        run.finished_at = work.now
    with transaction.atomic():
        row.save()
        run.save()
    if result.ends:
        work.say(f"{run.version} {run.get_state_display().lower()}: {run.why}")


def _wait(work: Work, row: PipelineStep, why: str) -> None:
    """Keep what the run waits for."""
    row.state, row.report = PipelineStep.State.WAITING, {"why": why}
    work.run.state, work.run.why = PipelineRun.State.WAITING, why
    with transaction.atomic():
        row.save()
        work.run.save()
    work.say(why)


def _note_failure(run: PipelineRun, row: PipelineStep, why: str) -> None:
    """Keep the words; the next call begins with this step."""
    row.state, row.report = PipelineStep.State.FAILED, {"why": why}
    run.why = why
    with transaction.atomic():
        row.save()
        run.save()


def _end_badly(work: Work, row: PipelineStep, why: str, state: PipelineRun.State) -> None:
    """End a run without a verdict, and let a person know. The champion serves on."""
    run = work.run
    refused = state == PipelineRun.State.REFUSED
    row.state = PipelineStep.State.REFUSED if refused else PipelineStep.State.FAILED
    row.report, row.finished_at = {"why": why}, work.now
    run.state, run.why, run.finished_at = state, why, work.now
    with transaction.atomic():
        row.save()
        run.save()
        if run.version:
            registry.step_back(run.version, registry.CHALLENGER, registry.SHADOW)
        cases.open_case(kind=Case.Kind.BAD_TASK, subject_key="pipeline", note=f"Training: {why}", at=work.now)
    work.say(f"{run.get_state_display()}: {why}")


def clear_directories() -> None:
    """Remove the files of runs that need none any more: ended, or registered. Repeats safely."""
    registered = PipelineStep.objects.filter(name="register", state=PipelineStep.State.DONE).values("run_id")
    needed = PipelineRun.objects.filter(state=PipelineRun.State.RUNNING).exclude(id__in=registered)
    kept = {directory_name(run) for run in needed}
    for directory in runs_directory().glob("*"):
        if directory.name not in kept:
            shutil.rmtree(directory, ignore_errors=True)
