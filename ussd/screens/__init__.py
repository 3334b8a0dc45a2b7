"""Every screen of the conversation: importing this package declares them all."""

from ussd.screens import borrow, business, group, home, language, loan, pin, register, repay, save, settings

__all__ = [
    "borrow",
    "business",
    "group",
    "home",
    "language",
    "loan",
    "pin",
    "register",
    "repay",
    "save",
    "settings",
]
