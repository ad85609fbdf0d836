"""SIGKILL, at a change of the disk or at any moment; the same command goes on in what is left."""

import random
import shutil
from pathlib import Path

from mer.tests.campaign.calls import kill_at, watch
from mer.tests.campaign.reference import Reference
from mer.tests.campaign.tally import Tally

AT_ANY_MOMENT = 0.3
"""Share of the kills that wait for no change of the disk."""


def kill(reference: Reference, count: int, seed: int, root: Path) -> Tally:
    """Kill a command again and again: after each kill nothing half stands under its name; in the end all is as undisturbed."""
    tally = Tally(test=f"kills of mer {reference.command.name}")
    chance, place = random.Random(seed), 0
    to = _fresh(root, place)
    tries = 0
    while tally.count < count and tries < 4 * count + 20:
        tries += 1
        moment = chance.randint(1, reference.calls)
        if chance.random() < AT_ANY_MOMENT:
            ended = reference.again(to, kill_after=chance.random() * reference.seconds)
            what = "killed at some moment"
        else:
            ended = reference.again(to, prepare=lambda to=to, moment=moment: watch(to, kill_at(moment)))
            what = f"killed at change {moment} of {reference.calls}"
        if ended.code == -9:
            tally.hangs += ended.hung
            tally.count += 1
            reference.check_unfinished(to, tally, what)
            if chance.random() < 0.5:
                continue
            ended, what = reference.again(to), f"after {what}"
        reference.through(ended, to, tally, what)
        shutil.rmtree(to)
        place += 1
        to = _fresh(root, place)
    shutil.rmtree(root, ignore_errors=True)
    return tally


def _fresh(root: Path, number: int) -> Path:
    to = root / str(number)
    to.mkdir(parents=True)
    return to
