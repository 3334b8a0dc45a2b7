"""Writes the files of a lender who moves in: as many rows as are asked for, the same each time.

    python -m tests.bench.history_files DIR 150000

Half of the loans are repaid week by week, half of them in one or two parts; nine borrowers of ten have paid back in
time, and the last loan of the others is late, still running or given up. Each borrower has two loans, one after
the other. Row 500,000 of the repayments, or the last one, holds an amount that is none.
"""

import csv
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random

SEED = 7
FIRST = date(2025, 1, 6)
# What a row needs to name; the benchmark makes the product.
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 8, "every": 1, "unit": "week"},
    "interest": {"rate": "0.08", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}],
}
WEEKLY_CODE, BULLET_CODE = "moved-weekly", "jirani-30"
BAD_ROW = 500_000

COLUMNS = {
    "borrowers": ("borrower_id", "phone", "name", "national_id", "registered_at", "consents", "consented_at"),
    "loans": (
        "loan_id", "borrower_id", "principal", "disbursed_at", "product", "product_version", "written_off_at",
        "closing_balance", "closing_state",
    ),
    "repayments": ("repayment_id", "loan_id", "amount", "paid_at"),
}  # fmt: skip
Row = tuple[object, ...]


def write(directory: Path, loans: int) -> dict[str, int]:
    """Write the three files; return how many rows each has."""
    directory.mkdir(parents=True, exist_ok=True)
    luck = Random(SEED)
    counts = dict.fromkeys(COLUMNS, 0)
    streams = {name: (directory / f"{name}.csv").open("w", newline="") for name in COLUMNS}
    writers = {name: csv.writer(stream) for name, stream in streams.items()}
    for name, columns in COLUMNS.items():
        writers[name].writerow(columns)
    for number in range((loans + 1) // 2):
        for name, row in _borrower(number, luck):
            counts[name] += 1
            writers[name].writerow(row)
    writers["repayments"].writerow(_bad_row(loans))
    for stream in streams.values():
        stream.close()
    return counts | {"repayments": counts["repayments"] + 1}


def _bad_row(loans: int) -> Row:
    return "R-bad", f"L{loans - 1}", "-1", "2025-12-01"


def _borrower(number: int, luck: Random) -> Iterator[tuple[str, Row]]:
    letters = "".join(chr(97 + number // 26**place % 26) for place in range(4))
    registered = FIRST + timedelta(days=luck.randrange(120))
    yield (
        "borrowers",
        (
            f"B{number}",
            f"2547{number:08d}",
            f"Amina {letters.title()}",
            f"{10_000_000 + number}",
            registered,
            "service scoring",
            registered,
        ),
    )
    is_late = luck.random() < 0.1
    yield from _loan(2 * number, f"B{number}", registered + timedelta(days=luck.randrange(10)), luck, False)
    yield from _loan(2 * number + 1, f"B{number}", registered + timedelta(days=90), luck, is_late)


def _loan(number: int, borrower: str, on: date, luck: Random, is_late: bool) -> Iterator[tuple[str, Row]]:
    principal = 1_000 * luck.randrange(2, 9)
    weekly = number % 4 < 2
    parts = _weekly(principal, on) if weekly else _bullet(principal, on, luck)
    written_off = ""
    if is_late:
        parts = parts[: luck.randrange(len(parts))]
        written_off = str(on + timedelta(days=240)) if luck.random() < 0.3 else ""
    product = WEEKLY_CODE if weekly else BULLET_CODE
    claim = ("", "") if is_late else (0, "settled")
    yield "loans", (f"L{number}", borrower, principal, f"{on}T10:15", product, 1, written_off, *claim)
    for place, (day, amount) in enumerate(parts):
        yield "repayments", (f"R{number}-{place}", f"L{number}", amount, f"{day}T17:{place:02d}")


def _weekly(principal: int, on: date) -> list[tuple[date, float | int]]:
    """Return eight installments, whole shillings each: the last one takes what is left."""
    total = principal * 108 // 100
    each = principal // 8 + principal * 8 // 100 // 8
    return [(on + timedelta(weeks=n), each) for n in range(1, 8)] + [(on + timedelta(weeks=8), total - 7 * each)]


def _bullet(principal: int, on: date, luck: Random) -> list[tuple[date, float | int]]:
    total = principal * 106 // 100
    if luck.random() < 0.5:
        return [(on + timedelta(days=29), total)]
    return [(on + timedelta(days=15), total // 2), (on + timedelta(days=28), total - total // 2)]


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2])))
