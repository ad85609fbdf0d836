"""Disks that are full from some moment on: a real one of a few kilobytes where we may make it, else refused writes."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mer.tests.campaign.calls import full_from, watch
from mer.tests.campaign.forked import Ended
from mer.tests.campaign.reference import UNDISTURBED, Reference, contents
from mer.tests.campaign.tally import Tally


def fill(reference: Reference, count: int, seed: int, root: Path) -> Tally:
    """The command says what is full and what helps; with space again it ends as undisturbed."""
    tally = Tally(test=f"full disks of mer {reference.command.name}")
    chance = random.Random(seed)
    for number in range(count):
        to = root / str(number)
        to.mkdir(parents=True)
        tally.count += 1
        moment = chance.randint(1, reference.calls)
        pages = chance.randint(1, _pages(reference))
        if number % 2 and _may_mount(root):
            what = f"a disk of {pages * 4} kB"
            with small_disk(to, pages):
                ended = reference.again(to)
                _check(ended, to, reference, tally, what)
                subprocess.run(["mount", "-o", "remount,size=64m", str(to)], check=True, capture_output=True)
                _go_on(reference, to, tally, what)
        else:
            what = f"full from change {moment} of {reference.calls}"
            ended = reference.again(to, prepare=lambda to=to, moment=moment: watch(to, full_from(moment)))
            _check(ended, to, reference, tally, what)
            _go_on(reference, to, tally, what)
        shutil.rmtree(to, ignore_errors=True)
    return tally


def _pages(reference: Reference) -> int:
    """Pages of 4 kB that everything takes."""
    place = reference.scratch / UNDISTURBED / "one"
    return sum(1 + len(content) // 4096 for content in contents(place).values()) + 2


def _check(ended: Ended, to: Path, reference: Reference, tally: Tally, what: str) -> None:
    tally.hangs += ended.hung
    if ended.code == reference.ended.code:
        return  # it was enough, or what had no place can be made again
    said = (ended.err + ended.out).strip()
    if ended.traceback or not said:
        tally.tracebacks += 1
        tally.seen.append(f"{what}: {said.splitlines()[-1] if said else 'nothing said'}")
    elif str(to) not in said or not any(
        words in said for words in ("Free space", "make room", "give another", "on a larger disk")
    ):
        tally.tracebacks += 1
        tally.seen.append(f"{what}: without path or advice: {said[-200:]}")
    reference.check_unfinished(to, tally, what)


def _go_on(reference: Reference, to: Path, tally: Tally, what: str) -> None:
    reference.through(reference.again(to), to, tally, f"{what}, then space")


@contextmanager
def small_disk(place: Path, pages: int) -> Iterator[None]:
    """A file system in memory of so many pages of 4 kB, mounted at a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * 4}k", "tmpfs", str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def _may_mount(root: Path) -> bool:
    place = root / "mount"
    place.mkdir(parents=True, exist_ok=True)
    try:
        with small_disk(place, 4):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
