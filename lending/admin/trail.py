"""The trail of acts, effects still owed, and the daily jobs."""

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display

from lending import outbox
from lending.admin import cells
from lending.admin.dialogs import act
from lending.admin.history import History
from lending.models import AuditEvent, JobRun, OutboxMessage


@admin.register(AuditEvent)
class AuditEventAdmin(History):
    list_display = ("action", "actor_name", "customer", "subject", "reason", "happened_at")
    list_filter = ("action", "happened_at")
    search_fields = ("subject", "reason", "borrower__full_name", "actor__username")
    ordering = ("-happened_at",)
    detail_related = ("actor", "borrower")
    fieldsets = (
        (None, {"fields": (("action", "actor_name", "happened_at"), ("customer", "subject"), "reason", "details")}),
    )

    customer = cells.link_to("borrower", "Customer")

    @display(description="Who", ordering="actor")
    def actor_name(self, row: AuditEvent) -> str:
        return str(row.actor) if row.actor else "the system"

    @display(description="Details")
    def details(self, row: AuditEvent) -> str:
        return cells.words_as_shown(json.dumps(row.detail, indent=2, ensure_ascii=False))


@admin.register(OutboxMessage)
class OutboxAdmin(History):
    """Effects owed to the world. One that failed too often is parked until a person lets it try again."""

    list_display = ("topic", "reference", "state_label", "tries", "due_at", "done_at", "last_error")
    list_filter = ("topic", ("parked_at", admin.EmptyFieldListFilter), ("done_at", admin.EmptyFieldListFilter))
    search_fields = ("reference",)
    ordering = ("-id",)
    actions_detail = ("retry",)

    @display(description="State", label={"Done": "success", "Parked": "danger", "Due": "info"})
    def state_label(self, row: OutboxMessage) -> str:
        return "Done" if row.done_at else "Parked" if row.parked_at else "Due"

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_outboxmessage")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        is_parked = OutboxMessage.objects.filter(pk=object_id, parked_at__isnull=False).exists()
        return super().get_actions_detail(request, object_id) if is_parked else []

    @action(
        description="Try again",
        permissions=["retry"],
        icon="replay",
        dialog={
            "title": "Try again",
            "description": "It is done once more from the beginning; every effect repeats safely.",
            "form_class": None,
            "form_submit_text": "Try again",
        },
    )
    def retry(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: outbox.requeue(int(object_id), timezone.now()),
            "It is due again.",
            reverse("admin:lending_outboxmessage_change", args=[object_id]),
            {},
        )


@admin.register(JobRun)
class JobRunAdmin(History):
    list_display = ("job", "business_date", "started_at", "finished_at")
    list_filter = ("job",)
    ordering = ("-business_date",)
