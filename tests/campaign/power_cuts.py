"""Power cuts: what a command has put on the device by then is there, and of the rest any part may be."""

import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mer.tests.campaign.calls import watch
from mer.tests.campaign.reference import Reference
from mer.tests.campaign.tally import Tally

Kept = Literal["least", "most", "mixed"]
KEPT: tuple[Kept, ...] = ("least", "mixed", "most")
"""What is left of that which was not put on the device: nothing of it, some, or the names without the content."""
AT_ONCE = 12
"""Moments that one recording is cut at."""


@dataclass
class Disk:
    """What is in memory and what is on the device, each file and folder under a number of its own."""

    now: dict[int, "dict[str, int] | bytes"]
    """Number to the names in a folder, or the content of a file, as the process sees them."""
    device: dict[int, "dict[str, int] | bytes"]
    """As it was when it was last put on the device."""


@dataclass
class Recorder:
    """Keeps the state of a folder's disk at some moments."""

    root: Path
    moments: set[int]
    into: Path
    device: dict[int, Any] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    given: int = 0

    def reached(self, number: int, name: str, where: Any) -> None:
        """A change is about to be made, or a file or folder has been put on the device."""
        if name == "synced":
            path = Path(where)
            if path.exists():
                self.device[self._number(path.stat().st_ino)] = self._content(path)
        if number in self.moments:
            self.dump(number)
        if name in ("os.remove", "os.rmdir", "os.rename"):
            # The file system gives the number of what goes away to what comes next.
            gone = Path(os.fsdecode(where))
            if gone.exists() and (gone.is_dir() or gone.stat().st_nlink < 2):
                self.numbers.pop(gone.stat().st_ino, None)

    def dump(self, number: int) -> None:
        """Keep the state of this moment."""
        now: dict[int, Any] = {0: self._content(self.root)}
        for path in self.root.rglob("*"):
            now[self._number(path.stat().st_ino)] = self._content(path)
        device = self.device | {0: self.device.get(self._number(self.root.stat().st_ino), {})}
        (self.into / f"{number}.state").write_bytes(pickle.dumps(Disk(now, device)))

    def _number(self, inode: int) -> int:
        if inode not in self.numbers:
            self.given += 1
            self.numbers[inode] = self.given
        return self.numbers[inode]

    def _content(self, path: Path) -> Any:
        if path.is_dir():
            return {each.name: self._number(each.lstat().st_ino) for each in path.iterdir()}
        return path.read_bytes()


def cut_power(reference: Reference, count: int, seed: int, root: Path) -> Tally:
    """Replay what a cut leaves: what says that it is whole is whole, and the same command again ends as undisturbed."""
    tally = Tally(test=f"power cuts in mer {reference.command.name}")
    chance = random.Random(seed)
    while tally.count < count:
        states = _record(reference, chance, root)
        for moment, state in states:
            if tally.count == count:
                break
            kept = chance.choice(KEPT) if moment else "least"
            to = root / "left"
            shutil.rmtree(to, ignore_errors=True)
            replay(state, to, kept, chance)
            what = f"cut at change {moment} of {reference.calls}, {kept} kept"
            tally.count += 1
            if moment == 0:  # the command had ended: all of it is on the device, and names that were removed may be back
                ended = Tally(test=tally.test)
                reference.compare(to, ended, "cut after the end")
                tally.lost, tally.wrong = tally.lost + ended.lost, tally.wrong + ended.wrong
                tally.seen += [each for each in ended.seen if "left behind" not in each]
            reference.through(reference.again(to), to, tally, what)
    shutil.rmtree(root, ignore_errors=True)
    return tally


def _record(reference: Reference, chance: random.Random, root: Path) -> list[tuple[int, Disk]]:
    """States at some moments of one run of the command, and at its end (moment 0)."""
    to, into = root / "to", root / "states"
    shutil.rmtree(root, ignore_errors=True)
    to.mkdir(parents=True)
    into.mkdir()
    moments = set(chance.sample(range(1, reference.calls + 1), min(AT_ONCE, reference.calls)))
    recorder = Recorder(to, moments, into)
    ended = reference.again(to, prepare=lambda: watch(to, recorder.reached), after=lambda: recorder.dump(0))
    if ended.code != reference.ended.code:
        raise RuntimeError(f"mer {reference.command.name} failed while it was recorded: {ended.err}")
    found = [(int(each.stem), pickle.loads(each.read_bytes())) for each in into.glob("*.state")]
    return sorted(found, key=lambda each: each[0])


def replay(disk: Disk, to: Path, kept: Kept, chance: random.Random) -> None:
    """Make the folder that a cut leaves."""
    left: dict[Kept, Callable[[], bool]] = {
        "least": lambda: False,
        "most": lambda: True,
        "mixed": lambda: chance.random() < 0.5,
    }
    _replay(disk, 0, to, left[kept], chance)


def _replay(disk: Disk, number: int, path: Path, is_left: Callable[[], bool], chance: random.Random) -> None:
    now, device = disk.now.get(number), disk.device.get(number)
    if isinstance(now if now is not None else device, dict):
        path.mkdir()
        new, old = (each if isinstance(each, dict) else {} for each in (now, device))
        for name in sorted(new.keys() | old.keys()):
            chosen = new.get(name) if new.get(name) == old.get(name) or is_left() else old.get(name)
            if chosen is not None and (chosen in disk.now or chosen in disk.device):
                _replay(disk, chosen, path / name, is_left, chance)
        return
    whole = now if isinstance(now, bytes) else b""
    synced = device if isinstance(device, bytes) else b""
    # A name that is on the device says nothing of the content: that may be missing, cut, or zeros.
    torn = (synced, whole[: len(whole) // 2], bytes(len(whole)), whole)
    path.write_bytes(whole if whole == device else chance.choice(torn))
