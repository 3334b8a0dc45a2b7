"""Savings in words, on screens and by SMS alike: goals, terms, what came in and what went out."""

from django.conf import settings

from lending.models import GroupWithdrawal, PaymentIntent, Receipt, SavingsAccount, SavingsInstruction
from lending.rules.savings_change import what_is_worse
from lending.selectors import deposits
from lending.selectors.savings_versions import TermsChange
from ussd import alphabet, words
from ussd.tongue import pgettext

GOAL_SEPTETS = 12
GROUP_SEPTETS = 16
HOLDER_SEPTETS = 14
PURPOSE_SEPTETS = 14
# What a goal can be called, as it is kept; each language has its own word for it.
GOALS = ("School fees", "Rent", "Stock", "Emergency", "Farm")


def goal_names() -> dict[str, str]:
    """Return the words for the goals that can be chosen, by what is kept of them."""
    said = (
        pgettext("goal", "School fees"),
        pgettext("goal", "Rent"),
        pgettext("goal", "Stock"),
        pgettext("goal", "Emergency"),
        pgettext("goal", "Farm"),
    )
    return dict(zip(GOALS, said, strict=True))


def name(account: SavingsAccount) -> str:
    """Return what an account is called: its group, its goal, or just savings."""
    if account.group is not None:
        return alphabet.active().clip(account.group.name, GROUP_SEPTETS)
    if not account.goal:
        return pgettext("goal", "Savings")
    return alphabet.active().clip(goal_names().get(account.goal, account.goal), GOAL_SEPTETS)


def holder(account: SavingsAccount) -> str:
    """Return who holds the money."""
    return alphabet.active().clip(account.partner, HOLDER_SEPTETS) if account.partner else "Jirani"


def terms_change_words(change: TermsChange, currency: str) -> str:
    """Say what changes in somebody's savings, from which day, and before worse terms that they may leave first."""
    said = [_new_terms_words(change, currency)]
    if change.is_locked:
        said.append(pgettext("sms", "Until your lock ends nothing changes."))
    elif what_is_worse(change.after, change.before):
        said.append(pgettext("sms", "Until then you can take your money out free."))
    if len(_changed(change)) > 1:
        said.append(pgettext("sms", "More changes: send HELP."))
    return " ".join(said)


def _changed(change: TermsChange) -> list[str]:
    """Return the terms that are other ones, what earns more or less first."""
    fields = ("interest", "minimum_balance_cents", "dormant_after_days", "lock", "save_first")
    return [name for name in fields if getattr(change.before, name) != getattr(change.after, name)]


def _new_terms_words(change: TermsChange, currency: str) -> str:
    before, after, day = change.before, change.after, words.day(change.on)
    if before.interest and after.interest and before.interest.rates != after.interest.rates:
        return pgettext("sms", "Jirani: from %(day)s your savings earn %(new)s a year, now %(old)s.") % {
            "day": day,
            "new": words.rates(after.interest),
            "old": words.rates(before.interest),
        }
    if before.interest == after.interest and before.minimum_balance_cents != after.minimum_balance_cents:
        return pgettext("sms", "Jirani: from %(day)s %(new)s must stay in your savings, now %(old)s.") % {
            "day": day,
            "new": words.amount(after.minimum_balance_cents, currency),
            "old": words.amount(before.minimum_balance_cents, currency),
        }
    return pgettext("sms", "Jirani: the terms of your savings change on %(day)s. To know how, send HELP.") % {
        "day": day
    }


# --- money in and out -----------------------------------------------------------------------------------------
def deposit_words(receipt: Receipt, saving: SavingsInstruction) -> str:
    """Say that money for savings is here, and when it counts."""
    values = {
        "amount": words.amount(receipt.amount_cents, receipt.currency),
        "receipt": words.reference(receipt.receipt_no),
        "name": name(saving.account),
        "holder": holder(saving.account),
    }
    said = pgettext("sms", "Received %(amount)s for %(name)s, receipt %(receipt)s.")
    if saving.state == SavingsInstruction.State.OPEN:
        said += " " + pgettext("sms", "It counts as saved when %(holder)s has it, in 1 or 2 days.")
    else:
        said += " " + pgettext("sms", "It is saved.")
    return said % values


def kept_words(receipt: Receipt) -> str:
    """Say that money could not be saved and is not lost."""
    return pgettext(
        "sms",
        "%(amount)s, receipt %(receipt)s, could not go into savings. It is kept for you: send HELP and an officer "
        "gives it back.",
    ) % {
        "amount": words.amount(receipt.amount_cents, receipt.currency),
        "receipt": words.reference(receipt.receipt_no),
    }


def paid_out_words(instruction: SavingsInstruction) -> str:
    """Say that savings were paid out, and what stays."""
    account = instruction.account
    values = {
        "amount": words.amount(instruction.amount_cents, account.currency),
        "name": name(account),
        "holder": holder(account),
        "left": words.amount(account.balance_cents, account.currency),
    }
    return pgettext("sms", "%(holder)s sent you %(amount)s from %(name)s. %(left)s stays saved.") % values


def not_paid_out_words(instruction: SavingsInstruction) -> str:
    """Say that savings were not paid out and are still there."""
    account = instruction.account
    return pgettext(
        "sms",
        "%(holder)s did not send %(amount)s from %(name)s. The money is still saved. Dial %(code)s to ask again.",
    ) % {
        "amount": words.amount(instruction.amount_cents, account.currency),
        "name": name(account),
        "holder": holder(account),
        "code": settings.USSD_CODE,
    }


def account_to_type(intent: PaymentIntent) -> str:
    """Return what to type as account when the prompt of this intent did not work."""
    if intent.savings_account is not None:
        return deposits.paybill_account(intent.savings_account, intent.borrower)
    return words.local_number(intent.borrower.msisdn)


# --- groups ---------------------------------------------------------------------------------------------------
def joined_words(account: SavingsAccount) -> str:
    """Tell somebody that they were taken in, what it means, and whom to tell if it is not their wish."""
    assert account.group is not None
    return pgettext(
        "sms",
        "You are now in the savings group %(group)s. %(needed)s must agree before money leaves. "
        "Dial %(code)s, Save. If you do not want this: SMS HELP.",
    ) % {"group": name(account), "needed": account.group.approvals_needed, "code": settings.USSD_CODE}


def asked_words(asked: GroupWithdrawal) -> str:
    """Tell a member what was asked of the group, and how to decide."""
    return pgettext(
        "sms",
        "%(who)s asks %(group)s for %(amount)s: %(purpose)s. %(needed)s must agree. Dial %(code)s, Save, "
        "to agree or refuse.",
    ) % (_asked(asked) | {"needed": asked.approvals_needed, "code": settings.USSD_CODE})


def decided_words(asked: GroupWithdrawal) -> str:
    """Tell a member what became of it."""
    state = GroupWithdrawal.State
    said = {
        state.APPROVED: pgettext("sms", "%(group)s agreed: %(amount)s for %(who)s, %(purpose)s. It is on its way."),
        state.REFUSED: pgettext("sms", "%(group)s did not agree to %(amount)s for %(who)s, %(purpose)s."),
        state.CANCELLED: pgettext("sms", "%(who)s took back the wish for %(amount)s from %(group)s, %(purpose)s."),
    }
    return said[state(asked.state)] % _asked(asked)


def _asked(asked: GroupWithdrawal) -> dict[str, str]:
    account = asked.account
    return {
        "who": words.first_name(asked.asked_by.borrower.full_name),
        "group": name(account),
        "amount": words.amount(asked.amount_cents, account.currency),
        "purpose": purpose(asked),
    }


def purpose_names() -> dict[str, str]:
    """Return the words for what money of a group can be asked for, by what is kept of them."""
    return {
        "school": pgettext("purpose", "school"),
        "illness": pgettext("purpose", "illness"),
        "stock": pgettext("purpose", "stock"),
        "other": pgettext("purpose", "other need"),
    }


def purpose(asked: GroupWithdrawal) -> str:
    """Return what a withdrawal is for."""
    if asked.kind == GroupWithdrawal.Kind.SHARE_OUT:
        return pgettext("purpose", "for all to share")
    return alphabet.active().clip(purpose_names().get(asked.purpose, asked.purpose), PURPOSE_SEPTETS)
