"""`manage.py chain_head`: the end of the hash chain over postings, for an auditor to note and to compare."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lending import chain


class Command(BaseCommand):
    """Prints the head; with a head that was noted earlier, exit code 1 when the chain does not hold it."""

    help = "Print the head of the chain over postings, or check one that was noted earlier."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("noted", nargs="?", type=noted_head, help="POSTING:HASH, as this command printed it")

    def handle(self, *args: Any, noted: tuple[int, bytes] | None, **options: Any) -> None:
        if noted is None:
            head = chain.head()
            self.stdout.write(f"{head.posting_id}:{head.hash.hex()} ({head.postings:,} postings)")
        elif chain.still_holds(*noted):
            self.stdout.write("the chain still holds it: run audit_books to prove the postings below it")
        else:
            raise CommandError(f"the chain does not hold {noted[0]}:{noted[1].hex()}: the books were rewritten")


def noted_head(text: str) -> tuple[int, bytes]:
    """Read a head as it was printed.

    >>> noted_head("3:00ff")
    (3, b'\\x00\\xff')
    """
    posting_id, _, digest = text.partition(":")
    return int(posting_id), bytes.fromhex(digest)
