"""CPU seconds (user + system, best of five) of what a user expects at once: help, lists, refusals.

`python bench/instant.py` prints each beside its limit, and fails where one is slower.
"""

import os
import subprocess
import sys

LIMITS = {
    "--help": 0.2,
    "grid --list": 0.5,
    "train-head --dropot 1": 0.5,
    "train-head --fusion lat": 0.5,
    "finetune --aux 3": 0.5,
}


def cpu_seconds(arguments: str) -> float:
    """CPU time of one `mer` process and its children."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "mer.cli", *arguments.split()], capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    slow = []
    for arguments, limit in LIMITS.items():
        best = min(cpu_seconds(arguments) for _ in range(5))
        print(f"mer {arguments:28} {best:.2f} s of {limit} s")
        slow += [arguments] if best > limit else []
    sys.exit(f"too slow: {', '.join(slow)}" if slow else 0)
