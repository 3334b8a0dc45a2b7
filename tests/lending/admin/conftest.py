"""Officers, and a lender with something in every room."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from lending.models import Application, Borrower
from tests import factories


def staff(name: str, *groups: str, **rights: bool) -> Client:
    """Return the browser of a person who works here."""
    user = User.objects.create_user(name, password="a-long-password", is_staff=True, **rights)
    user.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def groups(law: None) -> None:
    """The staff groups as they ship."""


@pytest.fixture
def officer(groups: None) -> Client:
    return staff("wambui", "Loan officers")


@pytest.fixture
def auditor(groups: None) -> Client:
    return staff("njeri", "Auditors")


@pytest.fixture
def boss(groups: None) -> Client:
    """A superuser: may do everything that anybody may."""
    return staff("boss", is_superuser=True)


@pytest.fixture
def referred(amina: Borrower, fixed_scorer: object) -> Application:
    """Amina's application, which the computer left to a person."""
    application = factories.apply(amina)
    reasons = (factories.ports.Reason("late_before", {"days": 9}), factories.ports.Reason("brand_new_code"))
    factories.decide(
        application,
        "refer",
        score=0.27,
        reasons=reasons,
        next_step="wait_officer",
        inputs={"features": {"wallet_in_90d_cents": 150000.0, "on_time_share": None}, "facts": {}},
    )
    application.refresh_from_db()
    return application
