"""gettext as Django has it, each sentence looked up once in each language.

A screen says a dozen sentences, and Django walks its chain of catalogues for each of them, and several objects to
know the language. There are as many sentences as stand in the code, so what is remembered is bounded. The names
are gettext's, so that the tools of translators find them.
"""

from contextvars import ContextVar, Token
from types import TracebackType

from django.utils import translation
from django.utils.translation import npgettext

__all__ = ["language", "npgettext", "pgettext", "speaking"]

_said: dict[tuple[str, str, str], str] = {}
_spoken: ContextVar[str] = ContextVar("spoken", default="")


class speaking:
    """Say what is said in a language; to say it again inside costs nothing."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._before: Token[str] | None = None

    def __enter__(self) -> None:
        if _spoken.get() != self._code:
            self._django = translation.override(self._code)
            self._django.__enter__()
            self._before = _spoken.set(self._code)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            _spoken.reset(self._before)
            self._django.__exit__(kind, error, trace)


def language() -> str:
    """Return the language that is spoken: Django's where nobody said which."""
    return _spoken.get() or translation.get_language() or ""


def pgettext(context: str, message: str) -> str:
    """Return a sentence in the language that is spoken."""
    key = language(), context, message
    found = _said.get(key)
    if found is None:
        found = _said[key] = translation.pgettext(context, message)
    return found
