"""`manage.py dial '*384*77#' --phone +254711000001`: a phone in the terminal, on the sandbox's network.

    --keys '1*500*1234'      press these answers, one a segment, and end
    --wait [SECONDS]        then show what arrives, until nothing has for so long
    --wallet-pin 1234       approve the wallet's payment prompts
    --record FILE           write the session down as a test: tests/stories/test_something.py

Exit code: 0 the service ended the session, 1 the network cut it or it could not start, 2 the answers ran out.
"""

import getpass
import re
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ussd.phone.client import NETWORK_ERROR, Handset, InvalidMsisdn, Refused, SandboxDown
from ussd.phone.recording import CannotRecord, Recording

ENDED, CUT, STILL_OPEN = 0, 1, 2
POLL_S, QUIET_S = 0.5, 20.0
SCREEN_CHARS = 36


class Command(BaseCommand):
    """One call, and what arrives on the phone after it."""

    help = "Dial a USSD code on a phone of the sandbox."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", nargs="?", default=settings.USSD_CODE, help="what to dial: '*384*77#'")
        parser.add_argument("--phone", required=True, help="whose phone: +254711000001")
        parser.add_argument("--keys", help="answers, separated by *; without it you are asked")
        parser.add_argument("--wallet-pin", help="approves payment prompts; without it you are asked")
        parser.add_argument(
            "--record", type=Path, metavar="FILE", help="write the session as a test to this new file"
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=QUIET_S,
            metavar="SECONDS",
            help="show SMS and prompts after the call, until none has come for so long (default %(const)s)",
        )

    def handle(self, *args: Any, code: str, phone: str, keys: str | None, **options: Any) -> None:
        try:
            handset = Handset(phone, settings.SANDBOX_URL)
            recording = _begin(options["record"], handset.msisdn, code)
            call = Call(handset, self, recording, is_interactive=keys is None, wallet_pin=options["wallet_pin"])
            answers = None if keys is None else [key for key in keys.split("*") if key]
            status = call.make(code, answers)
            if recording:
                options["record"].write_text(recording.source(options["record"].stem))
                self.stdout.write(f"Recorded: {options['record']}")
            wait = QUIET_S if keys is None and options["wait"] is None else options["wait"]
            call.watch(wait or 0)
        except SandboxDown as error:
            where = (
                f"It was looked for at {settings.SANDBOX_URL}; a demo on another port needs SANDBOX_PORT here, too."
            )
            raise CommandError(f"{error}\n{where}") from None
        except (Refused, InvalidMsisdn, CannotRecord) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self.stdout.write("\nThe phone is put away.")
            status = ENDED
        if status:
            sys.exit(status)


def _begin(file: Path | None, msisdn: str, code: str) -> Recording | None:
    """Return the recording for a file that does not exist yet.

    Raises:
        CommandError: no test can be written there.
    """
    if file is None:
        return None
    if not re.fullmatch(r"test_[a-z0-9_]+\.py", file.name) or not file.parent.is_dir():
        raise CommandError(f"--record needs a name like tests/stories/test_something.py, got {file}")
    if file.exists():
        raise CommandError(f"{file} is there already; a recording writes over nothing.")
    return Recording(msisdn, code)


class Call:
    """One session on one handset, written to the command's output."""

    def __init__(
        self,
        handset: Handset,
        command: BaseCommand,
        recording: Recording | None,
        *,
        is_interactive: bool,
        wallet_pin: str | None,
    ) -> None:
        self.handset, self.out, self.style = handset, command.stdout, command.style
        self.recording = recording
        self.is_interactive, self.wallet_pin = is_interactive, wallet_pin
        self.told: set[str] = {_name("sms", one) for one in handset.switch_on()["inbox"]}

    def make(self, code: str, answers: list[str] | None) -> int:
        """Dial, and answer until somebody ends the session; return the exit code."""
        self.out.write(f"Dialling {code} from +{self.handset.msisdn}")
        shown = self.handset.dial(code)
        self._show(shown["text"])
        self._record(None, shown)
        while shown["open"]:
            if answers is not None and not answers:
                self.out.write("The service waits for an answer; hanging up.")
                self.handset.hang_up()
                return STILL_OPEN
            answer = self._ask(shown["text"]) if answers is None else answers.pop(0)
            if answer is None:
                self.handset.hang_up()
                return ENDED
            try:
                shown = self.handset.type(answer)
            except Refused:  # the network closed the session while we were thinking
                self._show(NETWORK_ERROR)
                return CUT
            self._show(shown["text"])
            self._record(answer, shown)
        if answers:
            # How many, not which: one of them may be a PIN.
            self.out.write(f"The session ended before the last {len(answers)} of the answers.")
        return CUT if shown["text"] == NETWORK_ERROR else ENDED

    def _record(self, typed: str | None, shown: dict[str, Any]) -> None:
        if self.recording:
            self.recording.hop(typed, shown)

    def _show(self, text: str) -> None:
        """Draw a screen of the phone."""
        lines = [part for line in text.split("\n") for part in textwrap.wrap(line, SCREEN_CHARS) or [""]]
        edge = "+" + "-" * (SCREEN_CHARS + 2) + "+"
        self.out.write("\n".join([edge, *(f"| {line:<{SCREEN_CHARS}} |" for line in lines), edge]))

    def _ask(self, screen: str) -> str | None:
        """Return what the person answers; None for the red key (end of input)."""
        try:
            # A phone shows what is typed, but a terminal also remembers it.
            return getpass.getpass("> ") if "PIN" in screen else input("> ")
        except EOFError:
            return None

    # -- what arrives ------------------------------------------------------------------------------------

    def watch(self, quiet_s: float) -> None:
        """Show SMS and payment prompts until none has arrived for `quiet_s`."""
        if quiet_s and self.is_interactive:
            self.out.write(f"Waiting for messages ({quiet_s:.0f} s without one ends this; Ctrl-C too).")
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < quiet_s:
            if self._tell_news():
                quiet_since = time.monotonic()
            time.sleep(POLL_S)

    def _tell_news(self) -> bool:
        """Show what has arrived since the last look; say whether anything had."""
        state = self.handset.state()
        messages = [one for one in state["inbox"] if _name("sms", one) not in self.told]
        prompts = [one for one in state["prompts"] if _name("prompt", one) not in self.told]
        for message in messages:
            self.out.write(f"\nSMS from {message['from']}: {message['text']}")
        for prompt in prompts:
            self._answer(prompt)
        self.told |= {_name("sms", one) for one in messages} | {_name("prompt", one) for one in prompts}
        return bool(messages or prompts)

    def _answer(self, prompt: dict[str, Any]) -> None:
        """Answer a payment prompt as told on the command line, or as the person says."""
        self.out.write(f"\nWallet: {prompt['text']}")
        pin = self.wallet_pin
        if pin is None and self.is_interactive:
            pin = getpass.getpass("Wallet PIN (empty cancels): ")
        if pin is None:
            self.out.write("Not answered: give --wallet-pin.")
            return
        try:
            done = (
                self.handset.approve_prompt(prompt["id"], pin) if pin else self.handset.cancel_prompt(prompt["id"])
            )
        except Refused:
            self.out.write("The prompt is gone.")
            return
        self.out.write("Approved." if done["accepted"] else "Not paid: wrong PIN or cancelled.")


def _name(kind: str, one: dict[str, Any]) -> str:
    """Return what tells two things on the phone apart."""
    return f"{kind}:{one['id']}"
