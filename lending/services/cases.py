"""Things that only a person can settle."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lending.models import Case


def open_case(*, kind: str, subject_key: str, note: str, at: datetime, **about: Any) -> Case:
    """Open a case, or return the open one about the same subject: a person is asked once."""
    open_now = Case.objects.filter(kind=kind, subject_key=subject_key, closed_at__isnull=True)
    if known := open_now.first():
        return known
    try:
        with transaction.atomic():
            return Case.objects.create(kind=kind, subject_key=subject_key, note=note[:500], opened_at=at, **about)
    except IntegrityError:
        return open_now.get()


def add_note(case: Case, note: str) -> None:
    """Add a line to an open case, unless it stands there already. The caller keeps others from it meanwhile."""
    if note not in case.note.splitlines():
        case.note = f"{case.note}\n{note}"[:500]
        case.save(update_fields=["note"])


def close_case(*, case_id: int, officer: Any, resolution: str, at: datetime) -> None:
    """Close a case with words; closing a closed one changes nothing.

    Raises:
        ValueError: no resolution was given.
    """
    if not resolution.strip():
        raise ValueError("a case is closed with a resolution in words")
    Case.objects.filter(id=case_id, closed_at__isnull=True).update(
        closed_at=at, closed_by=officer, resolution=resolution[:300]
    )
