"""A training process that kills itself at a chosen point: `python -m tests.scoring.killed AT [STEP:WHEN]`.

before  the step's row says that it runs, and nothing was done
in      in the midst of it: half of its file is written, a transaction is open, files lie without their row
after   all is done and kept, but the row does not say so yet
done    the row says so, and the process is gone before anything else
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import django

WHEN = ("before", "in", "after", "done")
# Beside half of the file: in the midst of an epoch; between a version's files and its row.
MORE = ("train:learning", "register:unnamed")


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(path: Path, content: bytes) -> None:
    """Write half a file, as a process does that is killed while it writes."""
    path.write_bytes(content[: len(content) // 2])
    die()


def then_die(of: Any, name: str) -> None:
    """Kill this process when a function has returned."""
    real: Callable[..., Any] = getattr(of, name)

    def dies(*args: Any, **options: Any) -> None:
        real(*args, **options)
        die()

    setattr(of, name, dies)


def arm(point: str) -> None:
    """Let this process die at a point."""
    from ml import artifact, files
    from scoring import judging, pipeline, registry

    name, when = point.split(":")
    place = [step.name for step in pipeline.STEPS].index(name)
    steps, step = list(pipeline.STEPS), pipeline.STEPS[place]

    def during(work: pipeline.Work) -> pipeline.Result:
        """Set the trap only now: an earlier step would fall into it."""
        match point:
            case "validate:in":
                then_die(pipeline, "last_loans")
            case "judge:in":
                then_die(judging, "judge")
            case "shadow:in":
                then_die(registry.audit, "record")  # before the transaction commits
            case "promote:in":
                then_die(registry, "step_back")  # the same, also where it is left to people
            case "register:unnamed":
                then_die(artifact, "save")
            case "train:learning":
                work = replace(work, say=lambda text: die() if "epoch 2" in text else None)
            case _:
                files.write_to_disk = half_written
        result = step.do(work)
        if name not in ("ingest", "features", "train", "calibrate"):
            raise AssertionError(f"nothing died at {point}")
        return result

    ended: list[str] = []

    def finish(work: Any, row: Any, *args: Any) -> None:
        if row.name == name and when == "after":
            die()
        finished(work, row, *args)
        ended.append(row.name)

    def next_deed(real: Callable[..., Any]) -> Callable[..., Any]:
        """Die at the first thing that is done once the row says that the step is done."""

        def dies(*args: Any) -> Any:
            return die() if when == "done" and name in ended else real(*args)

        return dies

    finished, pipeline._finish_step = pipeline._finish_step, finish
    for deed in ("_begin_step", "clear_directories"):
        setattr(pipeline, deed, next_deed(getattr(pipeline, deed)))
    if when == "before":
        steps[place] = replace(step, do=die)
    elif when not in ("after", "done"):
        steps[place] = replace(step, do=during)
    pipeline.STEPS = tuple(steps)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("at", type=datetime.fromisoformat)
    arguments.add_argument("point", nargs="?")
    asked = arguments.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from scoring import judging, pipeline
    from scoring.judging import Judgement
    from tests.scoring.conftest import NO_RIVAL
    from tests.scoring.portfolio import PLAN

    # Whether a toy is better than a toy is chance; here it is better, and has to get through.
    judging.judge = lambda *_, **__: Judgement(True, ("made for a test",), NO_RIVAL, {})
    if asked.point:
        arm(asked.point)
    run = pipeline.retrain(asked.at, nightly=True, plan=PLAN)
    sys.exit(0 if run and run.state in ("promoted", "for_people") else 1)


if __name__ == "__main__":
    main()
