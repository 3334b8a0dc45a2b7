"""Take the training as far as it goes now: go on with what is open, else train a challenger."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ml import recipes
from ml.train import Plan
from scoring import pipeline, registry
from scoring.models import PipelineRun

PR_SET_PDEATHSIG = 1
# Somebody waits for the first model; the next night takes its time.
FIRST_EPOCHS = 12


class Command(BaseCommand):
    help = "Go on with the run that is open; without one, train a challenger on every loan with a known outcome."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--first", action="store_true", help="let it serve if nobody can; else do nothing")
        parser.add_argument("--nightly", action="store_true", help="nothing if this date has had its run")
        parser.add_argument("--any-size", action="store_true", help="however many loans there are now")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--epochs", type=int, help=f"at most; {FIRST_EPOCHS} for the first")
        parser.add_argument("--recipe", type=Path, help="JSON file, as ml.tune writes it; else by how many loans")
        parser.add_argument("--fresh", action="store_true", help="begin at nothing, not at the champion's weights")
        parser.add_argument("--fit-seconds", type=float, help="stop fitting after the epoch that crosses it")
        parser.add_argument("--time-limit", type=int, default=0, help="end this process after so many seconds")
        parser.add_argument("--parent", type=int, help="process with which this one ends")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["time_limit"]:
            signal.alarm(options["time_limit"])
        if options["parent"]:
            end_with(options["parent"])
        if options["first"] and registry.open_champion():
            self.stdout.write(f"{registry.champion_name()} serves already")
            return
        began = time.monotonic()

        def say(text: str) -> None:
            self.stdout.write(f"[{time.monotonic() - began:5.1f} s] {text}")
            self.stdout.flush()

        plan = plan_of(options)
        asked = {name: options[name] for name in ("nightly", "first", "any_size", "seed")}
        try:
            run = pipeline.retrain(timezone.now(), **asked, plan=plan, say=say)
        except pipeline.Busy as error:
            self.stdout.write(f"{error}; nothing to do")
            return
        if run and run.state == PipelineRun.State.REFUSED:
            raise CommandError(run.why)


def plan_of(options: dict[str, Any]) -> Plan:
    """Return the plan that was asked for."""
    try:
        recipe = recipes.read(options["recipe"]) if options["recipe"] else None
    except recipes.InvalidRecipe as error:
        raise CommandError(str(error)) from error
    epochs = options["epochs"] or (FIRST_EPOCHS if options["first"] else None)
    return Plan(recipe=recipe, epochs=epochs, max_seconds=options["fit_seconds"], fresh=options["fresh"])


def end_with(parent: int) -> None:
    """Let Linux kill this process when its parent dies, however that dies: training must not outlive a demo."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before we could ask
        sys.exit("the parent process is gone")
