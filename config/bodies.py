"""Bodies that were not taken in (config/web.py): why, and what is answered where nobody else answers in words."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, UnreadablePostError


class NotRead(OSError):
    """A request's body was not taken in, so Django cannot read the request.

    `status`: that of the answer; `came`: how many bytes of it came and were dropped.
    """

    status = 400

    def __init__(self, why: str, came: int = 0) -> None:
        super().__init__(why)
        self.came = came


class TooLarge(NotRead):
    """It is larger than anything that is sent here."""

    status = 413


class CutOff(NotRead):
    """Who sent it hung up before all of it had come."""


class OfNoLength(NotRead):
    """It does not say how long it is, so nobody could tell if its end were missing."""

    status = 411


class TooSlow(NotRead):
    """It did not come in time."""

    status = 408


class TooManyWaiting(NotRead):
    """As many bodies of its address are waited for as may be."""

    status = 429


WORDS = {
    400: "The request could not be read. Send it again.",
    408: "The request did not arrive in time. Send it again.",
    411: "The request must say how long it is (Content-Length).",
    413: "The request is too large.",
    429: "Too many requests of yours are still on their way. Send this one again later.",
}


def answered(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer in words a request whose body was not taken in, where its view does not. Middleware."""

    def serve(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    def process_exception(request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, UnreadablePostError):
            return None
        # Django wraps what the body said, once for each of its ways to read it.
        why: BaseException | None = error
        while why is not None and not isinstance(why, NotRead):
            why = why.__cause__
        status = NotRead.status if why is None else why.status
        return HttpResponse(WORDS[status], status=status, content_type="text/plain; charset=utf-8")

    serve.process_exception = process_exception  # type: ignore[attr-defined]
    return serve
