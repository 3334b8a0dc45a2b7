"""A small HTTP load generator: keep-alive connections, raw bytes, one event loop.

It does as little as possible for each request, so that the server is what is measured.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus


@dataclass(frozen=True)
class Rate:
    """How many answers a second, and how long single ones took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int


def middle(rates: Sequence[Rate]) -> Rate:
    """Return of each figure the middle one over some rounds of the same."""
    return Rate(
        statistics.median(rate.per_second for rate in rates),
        statistics.median(rate.p50_ms for rate in rates),
        statistics.median(rate.p99_ms for rate in rates),
        rates[0].answers,
    )


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, fields: dict[str, str]) -> bytes:
    body = "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class UnexpectedAnswer(RuntimeError):
    """The server answered something else than what is measured."""


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Send one request and return the status and the body of its answer."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = next(
        int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")
    )
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


async def _drive(
    port: int, requests: Iterator[bytes], expect: bytes, times: list[float], every: float, first: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.perf_counter() + first
    for request in requests:
        # A request that is due counts from then, also when the one before it was late: waiting is what callers see.
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        began = due if every else time.perf_counter()
        due += every
        status, body = await exchange(reader, writer, request)
        times.append(time.perf_counter() - began)
        if status != 200 or not body.startswith(expect):
            raise UnexpectedAnswer(f"{status} {body[:160]!r}, expected {expect!r}")
    writer.close()


def measure(port: int, lanes: list[Iterator[bytes]], expect: bytes, per_second: float = 0) -> Rate:
    """Send each lane's requests over a connection of its own, all lanes at once.

    As fast as they are answered, or so many `per_second` over all lanes.

    Raises:
        UnexpectedAnswer: an answer is not 200 or does not begin as expected: a fast error is no speed.
    """
    times: list[float] = []

    async def run() -> None:
        every = len(lanes) / per_second if per_second else 0.0
        firsts = [every * place / len(lanes) for place in range(len(lanes))]
        await asyncio.gather(
            *(_drive(port, lane, expect, times, every, first) for lane, first in zip(lanes, firsts, strict=True))
        )

    began = time.perf_counter()
    asyncio.run(run())
    took = time.perf_counter() - began
    ordered = sorted(times)
    return Rate(
        per_second=round(len(times) / took, 1),
        p50_ms=round(ordered[len(ordered) // 2] * 1000, 2),
        p99_ms=round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        answers=len(times),
    )
