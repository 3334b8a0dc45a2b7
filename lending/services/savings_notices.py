"""Who is told of a change of terms, once: each saver of the product, in a group each member.

The approval owes one row of the outbox; the worker that takes it owes one for each saver, chunk by chunk. A worker
that dies begins again, and two at once owe nothing twice. What the SMS says is worked out when it is sent.
Source: docs/domain/savings.md, "A change of terms".
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from lending import outbox
from lending.models import GroupMember, SavingsAccount, SavingsProductVersion
from lending.selectors import savings_versions

TOPIC, APPROVED = "savings_terms_change", "savings_version_approved"
CHUNK = 5_000


def owe_notices(version: SavingsProductVersion, at: datetime) -> None:
    """Owe everybody who saves under this product a word about its next version."""
    outbox.write(APPROVED, reference=f"{APPROVED}:{version.pk}", at=at, version_id=version.pk)


def tell_savers(*, topic: str, payload: dict[str, Any], at: datetime) -> None:
    """Owe each saver of a product their notice of a version. Repeats safely."""
    version = SavingsProductVersion.objects.get(id=payload["version_id"])
    accounts = SavingsAccount.objects.filter(
        product_version__code=version.code, product_version__version__lte=version.version, closing_at__isnull=True
    ).order_by("id")
    last_id = 0
    while chunk := list(accounts.filter(id__gt=last_id)[:CHUNK]):
        _owe([version.pk], chunk, at)
        last_id = chunk[-1].id


def tell_of_what_comes(account: SavingsAccount, at: datetime) -> None:
    """Owe whoever opens an account a word about the versions that are approved and have not begun."""
    _owe([version.id for version in savings_versions.later_versions(account)], [account], at)


def _owe(version_ids: Iterable[int], accounts: list[SavingsAccount], at: datetime) -> None:
    notices = (
        (
            f"{TOPIC}:{version_id}:{account_id}:{borrower_id}",
            at,
            {"version_id": version_id, "account_id": account_id, "borrower_id": borrower_id},
        )
        for version_id in version_ids
        for account_id, borrower_id in _savers(accounts)
    )
    outbox.write_many(TOPIC, notices, at=at)


def _savers(accounts: list[SavingsAccount]) -> Iterator[tuple[int, int]]:
    """Yield (account, borrower) for each owner, and for each member of a group who has not left it."""
    of_groups = {account.group_id: account.id for account in accounts if account.group_id}
    for account in accounts:
        if account.borrower_id:
            yield account.id, account.borrower_id
    members = GroupMember.objects.filter(group_id__in=of_groups, left_at__isnull=True).order_by("id")
    for group_id, borrower_id in members.values_list("group_id", "borrower_id"):
        yield of_groups[group_id], borrower_id
