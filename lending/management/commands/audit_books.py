"""`manage.py audit_books`: prove the invariants over the whole database."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lending import invariants


class Command(BaseCommand):
    """Prints a line for each invariant; exit code 1 when one is broken."""

    help = "Prove the invariants of the books over the whole database, one line each."

    def handle(self, *args: Any, verbosity: int = 1, **options: Any) -> None:
        broken = []
        for finding in invariants.audit():
            if verbosity:
                self.stdout.write(finding.line())
            if not finding.holds:
                broken.append(finding)
        if broken:
            names = "\n".join(finding.line() for finding in broken)
            raise CommandError(f"{len(broken)} of {len(invariants.INVARIANTS)} invariants are broken\n{names}")
        if verbosity:
            self.stdout.write(f"all {len(invariants.INVARIANTS)} invariants hold")
