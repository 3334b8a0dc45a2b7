"""How long the law keeps what somebody would like to have forgotten.

Source: docs/domain/data_rights.md, "Erasing".
"""

from datetime import date


def kept_until(last_on: date, years: int) -> date:
    """Return the last day on which a record is kept that was made on a day.

    >>> kept_until(date(2026, 3, 2), 7), kept_until(date(2024, 2, 29), 7)
    (datetime.date(2033, 3, 2), datetime.date(2031, 2, 28))
    """
    try:
        return last_on.replace(year=last_on.year + years)
    except ValueError:
        return last_on.replace(year=last_on.year + years, day=28)
