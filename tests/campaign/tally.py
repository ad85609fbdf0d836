"""What a campaign counts, and the table of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("count", "lost", "doubled", "silently wrong", "tracebacks", "hangs")


@dataclass(kw_only=True)
class Tally:
    """What one test did, and what came of it; all but `count` should be 0."""

    test: str
    """Name of the line."""
    count: int = 0
    """How often it was done."""
    lost: int = 0
    """Files or values that were finished, or had to be made, and are not there."""
    doubled: int = 0
    """Files or values that are there and should not be: twice, half, or left behind."""
    wrong: int = 0
    """Answers other than the undisturbed one that were given without an error."""
    tracebacks: int = 0
    """Errors that mer did not turn into its own words."""
    hangs: int = 0
    """Commands that did not end."""
    seen: list[str] = field(default_factory=list)
    """What was found, in words."""

    @property
    def red(self) -> int:
        """How many of the counts should be 0 and are not."""
        return self.lost + self.doubled + self.wrong + self.tracebacks + self.hangs

    def cells(self) -> tuple[int, ...]:
        """In the order of `COLUMNS`."""
        return (self.count, self.lost, self.doubled, self.wrong, self.tracebacks, self.hangs)


def table(tallies: Sequence[Tally]) -> str:
    """A table in Markdown, and below it what was found."""
    lines = ["| test | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    lines += [f"| {each.test} | " + " | ".join(f"{cell:,}" for cell in each.cells()) + " |" for each in tallies]
    found = [f"{each.test}: {what}" for each in tallies for what in each.seen]
    return "\n".join([*lines, *([""] if found else []), *found])


def as_json(tallies: Sequence[Tally]) -> str:
    """The same for programs."""
    rows = [dict(zip(COLUMNS, each.cells(), strict=True)) | {"test": each.test, "seen": each.seen} for each in tallies]
    return json.dumps({"tests": rows}, indent=1)
