"""The same command twice at the same time, in the same place."""

import random
import shutil
import time
from pathlib import Path

from mer.tests.campaign.forked import start, wait
from mer.tests.campaign.reference import Reference
from mer.tests.campaign.tally import Tally


def give_twice(reference: Reference, count: int, seed: int, root: Path) -> Tally:
    """One of both ends as undisturbed; the other does, too, or says why not; what is there is what one leaves."""
    tally = Tally(test=f"two of mer {reference.command.name} at once")
    chance = random.Random(seed)
    for number in range(count):
        to, scratch = root / str(number), root / "said"
        to.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        tally.count += 1
        arguments = reference.command.arguments(to)
        one = start(arguments, scratch, name="one")
        time.sleep(chance.random() ** 3 * reference.seconds)
        other = start(arguments, scratch, name="other")
        ends = [wait(one, scratch, "one"), wait(other, scratch, "other")]
        tally.hangs += sum(each.hung for each in ends)
        for each in ends:
            if each.traceback:
                tally.tracebacks += 1
                tally.seen.append(f"{number}: {each.err.strip().splitlines()[-1]}")
        if not any(each.code == reference.ended.code for each in ends):
            tally.lost += 1
            tally.seen.append(f"{number}: both refused: {ends[0].err.strip()[-200:]} / {ends[1].err.strip()[-200:]}")
        else:
            reference.compare(to, tally, str(number))
        shutil.rmtree(to)
    return tally
