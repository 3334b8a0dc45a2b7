"""Every screen of the conversation: importing this package declares them all."""

from ussd.screens import (
    agent,
    borrow,
    business,
    complaint,
    data,
    group,
    help,
    home,
    kin,
    language,
    loan,
    pin,
    register,
    repay,
    save,
    settings,
)

__all__ = [
    "agent",
    "borrow",
    "business",
    "complaint",
    "data",
    "group",
    "help",
    "home",
    "kin",
    "language",
    "loan",
    "pin",
    "register",
    "repay",
    "save",
    "settings",
]
