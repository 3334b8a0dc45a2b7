"""Every screen of the conversation: importing this package declares them all."""

from ussd.screens import borrow, home, loan, pin, register, repay, settings

__all__ = ["borrow", "home", "loan", "pin", "register", "repay", "settings"]
