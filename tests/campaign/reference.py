"""What an undisturbed command leaves, and how far another place is from it."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.status.errors import StatusError
from mer.status.verified import check_places
from mer.tests.campaign.calls import count_calls, watch
from mer.tests.campaign.forked import Ended, run
from mer.tests.campaign.material import Command, Material
from mer.tests.campaign.tally import Tally

GROWING = ("steps.jsonl", "alignment.jsonl", "grid.json", ".lock")
"""Names of files that tell how far work is: no later number depends on what stands in them."""

MEASURED = (".memory", ".seconds")
"""Values that a second look gives otherwise, even if two looks by chance agree."""
UNDISTURBED = "undisturbed"
"""Folder of what undisturbed commands leave."""
UNFINISHED = ("not extracted to its end", "no shard is committed yet")
"""What is said of a cache that is whole as far as it goes."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A command that nothing disturbed, twice."""

    command: Command
    scratch: Path
    ended: Ended
    files: dict[str, str]
    """Path to hash of the files that have the same bytes every time."""
    values: dict[str, dict[str, Any]]
    """Path to the values of JSON files that are the same every time, where others (times, hosts) are not."""
    others: frozenset[str]
    """Paths of other files, of which only that they are there is known."""
    calls: int
    """How many changes of the disk it made."""
    seconds: float

    def again(self, to: Path, **how: Any) -> Ended:
        """Give the command with another place to write to."""
        return run(self.command.arguments(to), self.scratch, **how)

    def through(self, ended: Ended, to: Path, tally: Tally, what: str) -> None:
        """A command that nothing stopped has to end as an undisturbed one, or to say that all of it is there already."""
        tally.hangs += ended.hung
        if ended.traceback:
            tally.tracebacks += 1
            tally.seen.append(f"{what}: {ended.err.strip().splitlines()[-1]}")
        elif ended.code != self.ended.code and "not an empty folder" not in ended.err:
            tally.lost += 1
            tally.seen.append(f"{what}: exit code {ended.code}: {ended.err.strip()[-200:]}")
        else:
            self.compare(to, tally, what)

    def compare(self, to: Path, tally: Tally, what: str) -> None:
        """Count what is missing, too much or different at a place where the command says that it is through."""
        here = contents(to)
        expected = {*self.files, *self.values, *self.others}
        if missing := sorted(expected - here.keys()):
            tally.lost += len(missing)
            tally.seen.append(f"{what}: lost {', '.join(missing[:3])}")
        if more := sorted(here.keys() - expected):
            tally.doubled += len(more)
            tally.seen.append(f"{what}: left behind {', '.join(more[:3])}")
        for name, digest in self.files.items():
            if name in here and _digest(here[name]) != digest:
                tally.wrong += 1
                tally.seen.append(f"{what}: other bytes in {name}")
        for name, values in self.values.items():
            if name not in here or name.endswith("steps.jsonl"):
                continue
            found = dict(_leaves(_parsed(here[name])))
            differing = [key for key, value in values.items() if found.get(key) != value]
            if differing:
                tally.wrong += 1
                tally.seen.append(f"{what}: other values in {name}: {', '.join(differing[:3])}")

    def check_unfinished(self, to: Path, tally: Tally, what: str) -> None:
        """Count files that stand under their names without being whole, where a command was killed."""
        for name, content in contents(to).items():
            if name in self.files and not name.endswith(GROWING) and _digest(content) != self.files[name]:
                tally.doubled += 1
                tally.seen.append(f"{what}: half-written {name}")
        with suppress(StatusError):
            for place in check_places([to]):
                problems = [each for each in place.problems if not any(words in each for words in UNFINISHED)]
                tally.wrong += len(problems)
                tally.seen += [f"{what}: {problem}" for problem in problems]


def make_reference(command: Command, material: Material) -> Reference:
    """Give a command twice, and see what stays the same."""
    scratch = material.root / "scratch" / command.name
    places, counted = [scratch / UNDISTURBED / name for name in ("one", "two")], scratch / "calls"
    ended, seconds = None, 0.0
    for place in places:
        place.mkdir(parents=True)
        begun = time.monotonic()
        ended = run(command.arguments(place), scratch, lambda place=place: watch(place, count_calls(counted)))  # type: ignore[misc]
        seconds = time.monotonic() - begun
    assert ended is not None
    if ended.code not in (0, 1) or ended.traceback:
        raise RuntimeError(f"mer {command.name} failed: {ended.err or ended.out}")
    one, two = (contents(place) for place in places)
    same = {name for name in one if two.get(name) == one[name]}
    values = {name: _same(one[name], two[name]) for name in one.keys() & two.keys() - same if ".json" in name}
    return Reference(
        command=command,
        scratch=scratch,
        ended=ended,
        files={name: _digest(one[name]) for name in same},
        values=values,
        others=frozenset(one.keys() & two.keys() - same - values.keys()),
        calls=int((scratch / "calls").read_text()),
        seconds=seconds,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parsed(content: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(content)
    found = []
    for line in content.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def _leaves(values: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict | list):
        for key, each in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _leaves(each, f"{where}.{key}")
    else:
        yield where, values


def _same(one: bytes, two: bytes) -> dict[str, Any]:
    first, second = (dict(_leaves(_parsed(each))) for each in (one, two))
    kept = {key: value for key, value in first.items() if key in second and second[key] == value}
    return {key: value for key, value in kept.items() if not key.endswith(MEASURED)}
