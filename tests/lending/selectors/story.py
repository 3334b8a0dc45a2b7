"""Four loans until 30 June 2026: the worked example of docs/domain/metrics.md. Amounts are cents."""

from datetime import datetime, timedelta

from lending.models import Loan
from tests import factories
from tests.factories import NAIROBI

ON = datetime(2026, 6, 30, 18, 0, tzinfo=NAIROBI)


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, 0, tzinfo=NAIROBI)


def _lend(name: str, number: int, principal_cents: int, paid_out_at: datetime) -> Loan:
    borrower = factories.register(
        name, f"2547110002{number:02}", f"245678{number:02}", at=paid_out_at - timedelta(days=30),
        consents=factories.CONSENTS | {"bureau": True},
    )  # fmt: skip
    return factories.live_loan(borrower, principal_cents, at=paid_out_at)


def four_loans() -> dict[str, Loan]:
    """Amina is not late, Brian paid a part, Cheptoo paid nothing, Daudi was written off and paid a part then."""
    lent = {
        "Daudi": _lend("Daudi Mutua", 4, 400_00, at(1, 10)),
        "Cheptoo": _lend("Cheptoo Koech", 3, 800_00, at(4, 15)),
        "Brian": _lend("Brian Otieno", 2, 500_00, at(5, 20)),
    }
    factories.write_off(lent["Daudi"], at=at(6, 10))
    factories.pay(lent["Brian"].reference, 200_00, "JUN19", at=at(6, 19))
    factories.pay(lent["Daudi"].reference, 100_00, "JUN20", at=at(6, 20))
    return lent | {"Amina": _lend("Amina Wanjiru", 1, 1_000_00, at(6, 20, 9))}
