"""The two files between us and a partner who holds savings: what we ask, and what was done.

Both are CSV, UTF-8, with a header; amounts are integer cents, dates ISO. A file is read whole or not at all.
Source: docs/domain/savings.md, "Settlement file".
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date

KINDS = ("deposit", "withdrawal", "sweep", "interest", "tax")
OUTCOMES = ("confirmed", "rejected")
MAX_CENTS = 2**63 - 1


class FileRefused(ValueError):
    """A file that cannot be taken. Nothing of it was; `line` counts from 1, the header."""

    def __init__(self, line: int, fault: str) -> None:
        super().__init__(f"line {line}: {fault}")
        self.line, self.fault = line, fault


@dataclass(frozen=True)
class Asked:
    """One line of ours: an instruction, or interest that we worked out."""

    reference: str
    account: int
    kind: str
    amount_cents: int
    asked_on: date


@dataclass(frozen=True)
class Answer:
    """One line of the partner's: what became of a line of ours."""

    partner_reference: str
    reference: str
    account: int
    kind: str
    amount_cents: int
    outcome: str
    value_on: date


def write_asked(lines: Iterable[Asked]) -> str:
    """Return the file of what we ask. Our references hold no sign that a spreadsheet would run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Asked))
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue()


def read_answers(text: str) -> list[Answer]:
    """Read a partner's file.

    Raises:
        FileRefused: with the first line at fault, what was needed and what came.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    names = [field.name for field in fields(Answer)]
    answers: list[Answer] = []
    seen: set[str] = set()
    try:
        header = next(rows, [])
        if header != names:
            raise FileRefused(1, f"the header must be {','.join(names)}, got {','.join(header)[:120]!r}")
        for row in rows:
            answer = _answer(row, rows.line_num, names)
            if answer.partner_reference in seen:
                raise FileRefused(rows.line_num, f"partner_reference {answer.partner_reference!r} came before")
            seen.add(answer.partner_reference)
            answers.append(answer)
    except csv.Error as fault:
        raise FileRefused(rows.line_num, str(fault)) from None
    return answers


def _answer(row: list[str], line: int, names: list[str]) -> Answer:
    if len(row) != len(names):
        raise FileRefused(line, f"need {len(names)} fields, got {len(row)}")
    told = dict(zip(names, (cell.strip() for cell in row), strict=True))
    for name in ("partner_reference", "reference"):
        if not re.fullmatch(r"[\w:./-]{1,80}", told[name], re.ASCII):
            raise FileRefused(line, f"{name} must be 1 to 80 letters, digits, :./-, got {told[name][:90]!r}")
    for name, allowed in (("kind", KINDS), ("outcome", OUTCOMES)):
        if told[name] not in allowed:
            raise FileRefused(line, f"{name} must be one of {', '.join(allowed)}, got {told[name][:40]!r}")
    return Answer(
        told["partner_reference"],
        told["reference"],
        _whole(told, "account", line),
        told["kind"],
        _whole(told, "amount_cents", line),
        told["outcome"],
        _day(told["value_on"], line),
    )


def _whole(told: dict[str, str], name: str, line: int) -> int:
    text = told[name]
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII) or int(text) > MAX_CENTS:
        raise FileRefused(line, f"{name} must be a whole number above 0, got {text[:40]!r}")
    return int(text)


def _day(text: str, line: int) -> date:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise FileRefused(line, f"value_on must be a date such as 2026-03-02, got {text[:40]!r}") from None
