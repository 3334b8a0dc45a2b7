"""Rooms in which nobody writes: what happened is looked at, and superusers are no exception."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from lending.services import access


class ReadOnly:
    """Nobody adds, changes or deletes; the right to look is the usual one."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class History(ReadOnly, ModelAdmin):
    """A list and a page for looking. An act is an action that calls one service."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    list_filter_sheet = False
    compressed_fields = False
    # Relations that the page of one row shows; each would be a query of its own.
    detail_related: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows = super().get_queryset(request)
        return rows.select_related(*self.detail_related) if self.detail_related else rows

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show every field as text, the ones that are worked out here included."""
        if self.fieldsets:
            return [name for _, shown in self.get_fieldsets(request, obj) for name in _flat(shown["fields"])]
        return self.readonly_fields or self.fields or [field.name for field in self.model._meta.fields]


class LooksAreKept(History):
    """A page about a customer: each look at it is written down, and the customer can read that it was."""

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().change_view(request, object_id, *args, **kwargs)
        is_seen = request.method == "GET" and response.status_code == 200
        if is_seen and (borrower_id := self.customer_of(object_id)):
            access.record_look(borrower_id=borrower_id, officer=request.user, at=timezone.now())
        return response

    def customer_of(self, object_id: str) -> int | None:
        """Return whose page it is."""
        found: int | None = self.model.objects.filter(pk=object_id).values_list("borrower_id", flat=True).first()
        return found


class HistoryInline(ReadOnly, TabularInline):
    """Rows of another table on the page of what they belong to, behind a tab."""

    extra = 0
    max_num = 0
    tab = True
    hide_title = True
    show_change_link = False
    related: tuple[str, ...] = ()
    prefetch: tuple[str, ...] = ()
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows = super().get_queryset(request)
        return rows.select_related(*self.related).prefetch_related(*self.prefetch)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields


def _flat(fields: Any) -> list[str]:
    return [name for one in fields for name in (_flat(one) if isinstance(one, list | tuple) else [one])]
