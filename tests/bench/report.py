"""How a figure is printed: one JSON object a line, beside its reference of the same run."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any


def report(measure: str, value: float, unit: str, reference: str, against: float, **more: Any) -> None:
    """Print one figure with its reference, and how busy the machine was with other things (load, one minute)."""
    row = {
        "measure": measure,
        "value": value,
        "unit": unit,
        "reference": reference,
        "reference_value": against,
        "ratio": round(value / against, 4) if against else None,
    }
    sys.stdout.write(json.dumps(row | more | {"load": round(os.getloadavg()[0], 2)}) + "\n")
    sys.stdout.flush()


def timed(work: Callable[[], Any]) -> float:
    """Return how long it took, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def median(values: list[float]) -> float:
    """Return the middle of some milliseconds, to the microsecond."""
    return round(statistics.median(values), 3)
