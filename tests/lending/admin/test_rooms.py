"""Every room can be looked at, nobody rewrites history in any of them, and lists stay cheap."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from lending.models import Account, Borrower, Loan
from tests import factories
from tests.lending.admin import rows

# Who works here and when jobs run: changed by administrators, and no history.
EDITABLE = {User, Group, PeriodicTask, CrontabSchedule, IntervalSchedule}
HISTORY = sorted(set(admin.site._registry) - EDITABLE, key=lambda model: model._meta.label)


def address(model, act: str, *args: object) -> str:  # type: ignore[no-untyped-def]
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{act}", args=args)


@pytest.fixture
def filled(aminas_loan: Loan, amina: Borrower) -> None:
    rows.fill(amina)


def answers(model, client: Client) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Knock at every way of writing, and return the status codes."""
    one = model.objects.order_by("pk").last()
    row = {
        name: "" if value is None else value
        for name, value in model.objects.filter(pk=one.pk).values().get().items()
    }
    return {
        "look at add": client.get(address(model, "add")).status_code,
        "add": client.post(address(model, "add"), row).status_code,
        "change": client.post(address(model, "change", one.pk), row).status_code,
        "look at delete": client.get(address(model, "delete", one.pk)).status_code,
        "delete": client.post(address(model, "delete", one.pk), {"post": "yes"}).status_code,
    }


class TestHistory:
    """All rooms in one test each: filling them costs more than knocking."""

    def test_nobody_adds_changes_or_deletes_not_even_a_superuser(self, filled, boss: Client):
        before = {model: list(model.objects.order_by("pk").values()) for model in HISTORY}
        wrong = {model: got for model in HISTORY if set((got := answers(model, boss)).values()) != {403}}
        assert wrong == {}
        for model in HISTORY:
            selected = {"action": "delete_selected", "_selected_action": [row.pk for row in model.objects.all()]}
            boss.post(address(model, "changelist"), selected | {"post": "yes"})
        assert {model: list(model.objects.order_by("pk").values()) for model in HISTORY} == before

    def test_an_officer_sees_every_list_and_page(self, filled, officer: Client):
        for model in HISTORY:
            one = model.objects.order_by("pk").last()
            assert officer.get(address(model, "changelist")).status_code == 200, model
            assert officer.get(address(model, "changelist"), {"q": "0711 000101"}).status_code == 200, model
            assert officer.get(address(model, "change", one.pk)).status_code == 200, model

    def test_an_auditor_changes_no_more_than_an_officer(self, filled, auditor: Client, officer: Client):
        for client in (auditor, officer):
            assert {model: got for model in HISTORY if set((got := answers(model, client)).values()) != {403}} == {}

    def test_a_stranger_is_sent_to_the_door(self, filled):
        for model in HISTORY:
            one = model.objects.order_by("pk").last()
            for act in (address(model, "changelist"), address(model, "change", one.pk)):
                assert Client().get(act).status_code == 302, model


@pytest.mark.parametrize("model", sorted(EDITABLE, key=lambda model: model._meta.label))
def test_staff_and_schedule_are_for_administrators(model, officer: Client, boss: Client):
    assert officer.get(address(model, "changelist")).status_code == 403
    assert boss.get(address(model, "changelist")).status_code == 200
    assert boss.get(address(model, "add")).status_code == 200


def test_lists_ask_no_more_of_the_database_with_fifty_rows_than_with_two(boss: Client, fixed_scorer):
    def crowd(numbers: range) -> None:
        for n in numbers:
            person = factories.register("Amina Wanjiru", f"2547110{n:05}", f"3{n:07}")
            loan = factories.live_loan(person)
            factories.pay(loan.reference, 100_00, f"PAID{n}")
            factories.pay("nobody", 100_00, f"NOBODY{n}")

    def queries() -> dict[str, int]:
        counted = {}
        for model in HISTORY:
            with CaptureQueriesContext(connection) as asked:
                assert boss.get(address(model, "changelist")).status_code == 200
            counted[model._meta.label] = len(asked)
        return counted

    crowd(range(2))
    queries()  # fills caches of permissions and content types
    few = queries()
    crowd(range(2, 50))
    many = queries()
    assert many == few
    # The chart of accounts is as long as it ships; each balance is a checkpoint and what came since.
    few.pop(Account._meta.label)
    assert max(few.values()) <= 15, few


def test_a_customers_page_asks_a_bounded_number_of_queries(officer: Client, filled, amina: Borrower):
    officer.get(address(Borrower, "change", amina.pk))
    with CaptureQueriesContext(connection) as asked:
        officer.get(address(Borrower, "change", amina.pk))
    assert len(asked) <= 35
