"""How much memory this process has held."""

from pathlib import Path


def peak_mib() -> int:
    """Return the most so far, in MiB, as Linux counts it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
