"""A launcher of its own process, for tests that interrupt or kill one: `python -m ...launcher FOLDER TASKS WORKERS`."""

import sys
from pathlib import Path

from mer.backends import LocalBackend
from mer.tests.backends.toy_work import ToyWork, task

WAITING = "waiting"


def main(folder: Path, tasks: int, workers: int) -> int:
    """Tasks that commit at once, and as many that wait as there are workers; 130 after Ctrl-C."""
    work = [task(f"u{number}") for number in range(tasks)]
    work += [task(f"{WAITING}-{number}", "wait", cost=0.5) for number in range(workers)]
    try:
        failed = LocalBackend(workers=workers).run(ToyWork(folder), work, tell=lambda event: None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
