"""What time it is at the operator, in the notations its protocols use."""

from datetime import UTC, datetime, timedelta, timezone

# Kenya keeps no summer time, so a fixed offset is exact.
EAST_AFRICA_TIME = timezone(timedelta(hours=3), "EAT")


class Clock:
    """The operator's clock; tests and simulations may set it apart from the machine's."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        """Return the operator's time as an aware UTC datetime."""
        return datetime.now(UTC) + self.offset


def parse_iso(text: str) -> datetime:
    """Return the moment that `iso()` wrote."""
    return datetime.fromisoformat(text)


def iso(at: datetime) -> str:
    """Return `at` as it is stored and shown by the control API: ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def daraja_digits(at: datetime) -> str:
    """Return `at` as Daraja's YYYYMMDDHHmmss, in East Africa Time."""
    return at.astimezone(EAST_AFRICA_TIME).strftime("%Y%m%d%H%M%S")


def daraja_dotted(at: datetime) -> str:
    """Return `at` as a B2C result writes it: 06.07.2024 22:48:52, in East Africa Time."""
    return at.astimezone(EAST_AFRICA_TIME).strftime("%d.%m.%Y %H:%M:%S")
