"""gettext as Django has it, each sentence looked up once in each language.

A screen says a dozen sentences, and Django walks its chain of catalogues for each of them. There are as many
sentences as stand in the code, so what is remembered is bounded. The names are gettext's, so that the tools of
translators find them.
"""

from django.utils import translation
from django.utils.translation import npgettext

__all__ = ["npgettext", "pgettext"]

_said: dict[tuple[str | None, str, str], str] = {}


def pgettext(context: str, message: str) -> str:
    """Return a sentence in the active language."""
    key = translation.get_language(), context, message
    found = _said.get(key)
    if found is None:
        found = _said[key] = translation.pgettext(context, message)
    return found
