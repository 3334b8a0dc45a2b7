"""Every screen of the conversation: importing this package declares them all."""

from ussd.screens import borrow, business, home, language, loan, pin, plan, register, repay, save, settings

__all__ = [
    "borrow",
    "business",
    "home",
    "language",
    "loan",
    "pin",
    "plan",
    "register",
    "repay",
    "save",
    "settings",
]
