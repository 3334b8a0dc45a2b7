"""Naming what went wrong without repeating what a customer typed."""

from types import TracebackType


def describe(error: BaseException) -> str:
    """Name an exception and where it rose, without its text: that may carry a PIN or a national ID."""
    places: list[str] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-4:])}"
