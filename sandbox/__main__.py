"""Run the outside world: `python -m sandbox --port 8100 --data var/sandbox.sqlite3 --africastalking URL`."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.app import Options, build

# An idle connection stays open as long as at an operator's gateway. uvicorn's five seconds are shorter than a
# busy machine may leave a caller waiting, who then writes into a connection that was just closed.
KEEP_ALIVE_S = 75


class OperatorProtocol(H11Protocol):
    """HTTP whose connections can be dropped on purpose: an answer that is lost needs the transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport where a response can find it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def parser() -> argparse.ArgumentParser:
    """Return the command line: the port, and every field of `Options`."""
    command = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8100)
    command.add_argument("--data", type=Path, default=Path("var/sandbox.sqlite3"), help="file of the wallets")
    command.add_argument("--africastalking", required=True, help="base URL of the aggregator's callbacks")
    for option in fields(Options)[2:]:
        kind: Any = option.type
        command.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default)
    command.add_argument("--quiet", action="store_true", help="log warnings only")
    command.add_argument("--until-eof", action="store_true", help="stop when standard input is closed")
    return command


def stop_at_eof(server: uvicorn.Server) -> None:
    """Stop the server when whoever started it has gone, however it went."""

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin)
            server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, read)


async def serve(arguments: argparse.Namespace, options: Options) -> None:
    """Serve until SIGTERM, SIGINT or the end of standard input."""
    config = uvicorn.Config(
        build(options),
        host=arguments.host,
        port=arguments.port,
        http=OperatorProtocol,
        access_log=False,
        log_level="warning",
        backlog=1024,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    if arguments.until_eof:
        stop_at_eof(server)
    await server.serve()


def main() -> None:
    """Read the command line and serve."""
    arguments = parser().parse_args()
    options = Options(**{option.name: getattr(arguments, option.name) for option in fields(Options)})
    options.data.parent.mkdir(parents=True, exist_ok=True)
    level = logging.WARNING if arguments.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # httpx would log every URL, and callback URLs hold secrets.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # uvicorn stops on these and then raises them again: by then everything is closed, so the exit is clean.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    asyncio.run(serve(arguments, options))


if __name__ == "__main__":
    main()
