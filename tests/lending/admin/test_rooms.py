"""Every room can be looked at, nobody rewrites history in any of them, and lists stay cheap."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from lending.models import (
    Account,
    Application,
    Borrower,
    GroupWithdrawal,
    Loan,
    PaymentIntent,
    SavingsAccount,
    SavingsGroup,
)
from scoring.models import ModelVersion
from tests import factories
from tests.lending.admin import rows
from ussd.models import Sms

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

    def test_an_empty_room_asks_nobody_for_what_nobody_makes(self, law, boss: Client):
        for model in HISTORY:
            shown = boss.get(address(model, "changelist")).content.decode()
            assert "Create a new item" not in shown, model
        assert "Nothing waits here." in boss.get(address(Sms, "changelist")).content.decode()
        assert "Nothing fits" in boss.get(address(Sms, "changelist"), {"q": "Amina"}).content.decode()
        assert "Add interval" in boss.get(address(IntervalSchedule, "changelist")).content.decode()

    def test_a_stranger_is_sent_to_the_door(self, filled):
        for model in HISTORY:
            one = model.objects.order_by("pk").last()
            for act in (address(model, "changelist"), address(model, "change", one.pk)):
                assert Client().get(act).status_code == 302, model


class TestSavings:
    """What officers look up when a saver calls."""

    def test_an_account_shows_what_it_holds_and_what_moved(self, filled, officer: Client):
        account = SavingsAccount.objects.get(goal="Cow")
        page = officer.get(address(SavingsAccount, "change", account.pk)).content.decode()
        assert all(words in page for words in ("Amina Wanjiru", "KES 500", "UB1", "Umoja Bank", "KES 100"))

    def test_a_group_shows_its_members_and_what_they_agreed_to(self, filled, officer: Client):
        group = SavingsGroup.objects.get()
        page = officer.get(address(SavingsGroup, "change", group.pk)).content.decode()
        assert "Amina Wanjiru" in page and "Roof" in page and "Approved, being paid" in page
        asked = GroupWithdrawal.objects.get()
        page = officer.get(address(GroupWithdrawal, "change", asked.pk)).content.decode()
        assert "1 of 1" in page and "Amina Wanjiru" in page

    def test_a_customer_s_page_leads_to_the_savings(self, filled, officer: Client, amina: Borrower):
        account = SavingsAccount.objects.get(goal="Cow")
        page = officer.get(address(Borrower, "change", amina.pk)).content.decode()
        assert address(SavingsAccount, "change", account.pk) in page


class TestWords:
    """What officers read is in their words, not in the code's."""

    def test_messages_are_named_by_what_they_are_about(self, filled, officer: Client):
        sms = Sms.objects.create(
            msisdn="254711000101", kind="repayment_received", reference="r", language="en", text="Thanks.",
            segments=1, due_at=factories.NOON,
        )  # fmt: skip
        page = officer.get(address(Sms, "change", sms.pk)).content.decode()
        assert "Repayment received" in page and "SMS sent" in page
        assert "repayment_received" not in page and "Smss" not in page

    def test_a_payment_is_called_by_what_it_moves(self, filled, officer: Client, aminas_loan: Loan):
        listed = officer.get(address(PaymentIntent, "changelist")).content.decode()
        assert "Pay out a loan" in listed and "disburse:loan" not in listed
        intent = aminas_loan.payment_intents.get()
        assert (
            "Pay out a loan: KES 500" in officer.get(address(PaymentIntent, "change", intent.pk)).content.decode()
        )

    def test_a_model_s_measures_stand_side_by_side_and_rounded(self, officer: Client):
        measures = {"auc": 0.7671553555456172, "loans": 1480, "log_loss": 0.2249538144631773}
        version = ModelVersion.objects.create(
            name="m", artifact="m", sha256="0", feature_version="f", data_sha256="0", loans=14801, seed=1,
            seen_until=factories.NOON, trained_at=factories.NOON, metrics={"test": measures},
            comparison={"champion": measures, "challenger": measures, "why": ["better by a little"]},
        )  # fmt: skip
        page = officer.get(address(ModelVersion, "change", version.pk)).content.decode()
        assert all(
            words in page for words in ("AUC", "0.7672", "1,480", "Log loss", "Challenger", "better by a little")
        )
        assert "0.7671" not in page

    def test_the_room_of_all_applications_does_not_light_the_referred_ones_too(self, filled, officer: Client):
        def lit(query: str) -> list[str]:
            groups = officer.get(address(Application, "changelist") + query).context["sidebar_navigation"]
            return [item["title"] for group in groups for item in group["items"] if item["active"]]

        assert lit("") == ["Applications"]
        assert "Referred applications" in lit("?work=waiting")


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
            rows.save(person, str(n))

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
    # Three of them write down that it was looked at, by whom and what for.
    assert len(asked) <= 42
