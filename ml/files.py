"""Files that are there whole or not at all, and arrays in them that are never unpickled."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class NotArrays(ValueError):
    """These bytes are no archive of plain arrays."""


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays as the bytes of an .npz; the same arrays give the same bytes.

    Raises:
        NotArrays: an array holds objects, which only a pickle could keep.
    """
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise NotArrays(f"{', '.join(objects)} must hold numbers or text, got objects")
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def unpacked(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that `packed` was given.

    Raises:
        NotArrays: anything else than plain arrays; nothing of it was run.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # whatever zip and array headers can be made to say
        raise NotArrays(f"no plain arrays: {error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place in one move. Killed before that, the next call writes over what was left."""
    part = path.with_name(f".{path.name}.part")
    write_to_disk(part, content)
    part.replace(path)
    sync(path.parent)


def write_to_disk(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Put the directory's own entries on the disk; without it a power cut can lose a rename."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_plain(path: Path) -> bytes:
    """Return what is in a file, but not what a link leads to.

    Raises:
        OSError: there is no such file, or it is a link.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        return file.read()
