"""What a rail's receipt number is, whoever tells it."""


def event_key(provider: str, receipt_no: str) -> str:
    """Return what names a receipt as an event in the books."""
    return f"receipt:{provider}:{receipt_no}"


def as_printed(receipt_no: str) -> str:
    """Return a receipt number as the operator prints it: in capitals, so that it is one however it was passed on.

    >>> as_printed(" sfc7xk2 ")
    'SFC7XK2'
    """
    return receipt_no.strip().upper()
