"""How values are shown: amounts, numbers masked, links, tables."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from lending.rules import money
from lending.selectors import products

NOTHING = "–"


@lru_cache
def home_currency() -> str:
    """Return the currency of the country that this system serves."""
    return products.country_rules(settings.COUNTRY, timezone.localdate()).currency


def amount(field: str, description: str, currency: str = "") -> Callable[[Any, Any], str]:
    """Return a column that prints a `*_cents` field; `currency` is the path to its code, empty for home's."""

    @display(description=description, ordering=field)
    def cell(admin: Any, row: Any) -> str:
        return shown(follow(row, field), follow(row, currency) if currency else home_currency())

    return cell


def shown(cents: int | None, currency: str) -> str:
    """Return an amount as people write it, and a dash for none."""
    return NOTHING if cents is None else money.show(cents, currency)


def moment(at: datetime | None) -> str:
    """Return a moment in local time as Django writes its own fields; a dash for none."""
    return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else NOTHING


def follow(row: Any, path: str) -> Any:
    """Return the value at the end of a dotted path."""
    for name in path.split("."):
        row = getattr(row, name)
    return row


def mask(msisdn: str) -> str:
    """Return a number with its middle hidden, as Borrower.masked_msisdn does."""
    return f"{msisdn[:5]}***{msisdn[-3:]}" if len(msisdn) > 8 else msisdn


def masked_reference(reference: str) -> str:
    """Return a reference that tells rows apart and finds nobody: 7K**.

    >>> masked_reference("7KQ2")
    '7K**'
    """
    return f"{reference[:2]}{'*' * len(reference[2:])}"


def masked(field: str, description: str = "Phone") -> Callable[[Any, Any], str]:
    """Return a column that shows a phone number masked."""

    @display(description=description, ordering=field)
    def cell(admin: Any, row: Any) -> str:
        return mask(follow(row, field))

    return cell


def link(to: Model | None, text: str = "") -> str:
    """Return a link to the page of a row; a dash for none."""
    if to is None:
        return NOTHING
    meta = to._meta
    href = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[to.pk])
    return format_html(
        '<a href="{}" class="text-primary-700 font-medium underline dark:text-primary-400">{}</a>',
        href,
        text or str(to),
    )


def link_to(path: str, description: str) -> Callable[[Any, Any], str]:
    """Return a column that links to a related row."""

    @display(description=description)
    def cell(admin: Any, row: Any) -> str:
        return link(follow(row, path))

    return cell


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    """Return a small table for a page."""
    return render_to_string("lending/table.html", {"headers": headers, "rows": list(rows)})  # type: ignore[return-value]


def once(cell: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    """Let a column that asks the database ask it once a page: the template looks at a field several times."""
    name = f"_{cell.__name__}_shown"

    @wraps(cell)
    def remembered(admin: Any, row: Any) -> str:
        if name not in row.__dict__:
            row.__dict__[name] = cell(admin, row)
        shown: str = row.__dict__[name]
        return shown

    return remembered


def words_as_shown(text: str) -> str:
    """Return text with its line breaks, as it stood on a phone's screen."""
    return format_html('<pre class="whitespace-pre-wrap font-mono text-sm leading-relaxed">{}</pre>', text)
