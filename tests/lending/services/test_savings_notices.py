"""A change of terms is told once to each saver, whoever opens an account in between included."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from lending.models import Borrower, OutboxMessage, SavingsProductVersion
from lending.services import groups, proposals, savings_instructions, savings_notices
from tests.lending.saving import MORNING, OPENED_ON, after, next_version, pot
from tests.lending.services.test_savings_terms import propose

pytestmark = pytest.mark.django_db
FIRST = OPENED_ON + timedelta(days=40)


def tell(version: SavingsProductVersion) -> None:
    """Handle the row that an approval owes, twice, as a crash would make happen."""
    for _ in range(2):
        savings_notices.tell_savers(topic="", payload={"version_id": version.pk}, at=after(1))


def told(version: SavingsProductVersion) -> list[tuple[int, int]]:
    rows = OutboxMessage.objects.filter(topic=savings_notices.TOPIC, payload__version_id=version.pk)
    return sorted((row.payload["account_id"], row.payload["borrower_id"]) for row in rows)


def test_each_open_account_is_told_once_in_chunks(
    amina: Borrower, brian: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(savings_notices, "CHUNK", 2)
    accounts = [pot(person, goal=goal) for person in (amina, brian) for goal in ("Cow", "Roof")]
    closed = pot(amina, goal="Given up")
    savings_instructions.close_account(account_id=closed.id, at=MORNING)
    pot(amina, "jirani-save")
    version = next_version(effective_on=FIRST)
    tell(version)
    assert told(version) == sorted((account.id, account.borrower_id) for account in accounts)


def test_a_group_is_told_by_its_members(amina: Borrower, brian: Borrower) -> None:
    group = groups.form_group(
        name="Tumaini", members=[amina, brian], approvals_needed=1, product_code="jirani-group", at=MORNING
    )
    groups.leave(member_id=group.members.get(borrower=brian).id, at=MORNING)
    version = next_version("jirani-group", effective_on=FIRST)
    tell(version)
    assert told(version) == [(group.savings_account.id, amina.id)]


def test_who_opens_an_account_in_between_is_told_at_once(amina: Borrower) -> None:
    versions = [next_version(effective_on=FIRST + timedelta(days=days)) for days in (0, 5)]
    account = pot(amina)
    pot(amina)
    assert [told(version) for version in versions] == [[(account.id, amina.id)]] * 2


def test_the_approval_owes_it_and_a_proposal_does_not(law: None, amina: Any) -> None:
    account = pot(amina)
    maker, checker = (User.objects.create_user(name) for name in ("wambui", "njeri"))
    proposal = propose(maker)
    assert not OutboxMessage.objects.filter(topic=savings_notices.APPROVED).exists()
    proposals.decide(proposal_id=proposal.id, checker=checker, approve=True, at=MORNING)
    owed = OutboxMessage.objects.get(topic=savings_notices.APPROVED)
    savings_notices.tell_savers(topic=owed.topic, payload=owed.payload, at=MORNING)
    version = SavingsProductVersion.objects.get(code="jirani-goal", version=2)
    assert told(version) == [(account.id, amina.id)]
