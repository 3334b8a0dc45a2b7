"""What the screens of one's own savings and of a group's share: the account that is talked of, and its facts."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from lending.models import SavingsAccount
from ussd import words
from ussd.engine import Choice, Dialogue, Elsewhere, Go, Menu, View

AMOUNT_TRIES = ("0", "-5", "1e3", "0.50", "9999999", "٥٠٠")


def handed(
    view: Callable[[Dialogue, SavingsAccount], View], find: Callable[[Dialogue, int], SavingsAccount | None]
) -> Callable[[Dialogue], View]:
    """Hand a screen the account that the conversation is about; where it is out of reach by now, begin anew."""

    @wraps(view)
    def look(dialogue: Dialogue) -> View:
        account = find(dialogue, dialogue.answers.get("account_id", 0))
        return view(dialogue, account) if account is not None else Go("save.start")

    return look


def or_start(account: SavingsAccount | None) -> SavingsAccount:
    """Return the account that is acted on.

    Raises:
        Elsewhere: it is out of reach by now: closed, or they have left the group.
    """
    if account is None:
        raise Elsewhere("save.start")
    return account


def in_account(cents: int, account: SavingsAccount) -> str:
    return words.amount(cents, account.currency)


def facts(
    lines: Iterable[str], values: Mapping[str, Any], yes: Choice, cancel: str, back_to: str, first: int = 1
) -> Menu:
    """Show what an act means, line by line, before its yes, which has the number `first`."""
    said = "\n".join(line % values for line in lines)
    return Menu(said, (yes,), back=cancel, back_to=back_to, must_be_seen=True, first=first)
