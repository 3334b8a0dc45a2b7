"""Reading JSON with types: frozen models, exact shares, and refusals that name the path of the field."""

import re
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class Refused(ValueError):
    """What was read is not of the form. `path` is the first field at fault: `provisioning.bands[0].rate`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class Frozen(BaseModel):
    """A part of what is read: no unknown field, and nothing changes afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _rate(given: object) -> Decimal:
    """Read a share written as text: a JSON number has been through a float already."""
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,8})?", given, re.ASCII):
        raise ValueError(f'needs a share as text like "0.10", got {given!r}')
    return Decimal(given)


Rate = Annotated[Decimal, BeforeValidator(_rate)]
Count = Annotated[int, Field(strict=True, ge=0)]
Text = Annotated[str, Field(strict=True, min_length=1)]

Model = TypeVar("Model", bound=Frozen)


def read(model: type[Model], given: Any) -> Model:
    """Return what was given as a model.

    Raises:
        Refused: with the path of the first field at fault, what was needed and what came.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        came = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
        why = f"{first['msg'].removeprefix('Value error, ')}{came}"
        raise Refused(_path(first["loc"]) or model.__name__.lower(), why) from None


def _path(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
