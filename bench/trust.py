"""Kills, power cuts, full disks, flipped bits, fuzzed and crafted files: what is lost, doubled, silently wrong, or hangs.

Prints one table; every count but the first should be 0, and the exit code is 1 where one is not. The long form, which
`docs/trust.md` shows, takes hours; `--only` does it in pieces.

    python bench/trust.py --short
    python bench/trust.py --long --only kills "power cuts" --json
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer.tests.campaign.attacks import Attack
    from mer.tests.campaign.tally import Tally

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads do not survive a fork


def main() -> None:
    """Attack, and print."""
    from mer.tests.campaign.attacks import ATTACKS
    from mer.tests.campaign.forked import warm_up
    from mer.tests.campaign.tally import as_json, table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--short", action="store_true", help="some of each, in minutes")
    form.add_argument("--long", action="store_true", help="the counts of docs/trust.md")
    parser.add_argument(
        "--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS), metavar="KIND", help=", ".join(ATTACKS)
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the counts, such as 0.1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    counts = {
        name: max(1, round(arguments.share * (ATTACKS[name].short if arguments.short else ATTACKS[name].long)))
        for name in arguments.only
    }
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        found = campaign(ATTACKS, counts, arguments.seed, Path(scratch))
    print(as_json(found) if arguments.json else table(found))
    sys.exit(any(each.red for each in found))


def campaign(attacks: "Mapping[str, Attack]", counts: Mapping[str, int], seed: int, scratch: Path) -> "list[Tally]":
    """Do some kinds of attacks so often, each in a child: what the next one forks would miss the threads that one has started."""
    from mer.tests.campaign.forked import asked
    from mer.tests.campaign.material import write_material
    from mer.tests.campaign.reference import make_reference
    from mer.tests.campaign.tally import Tally, table

    material = write_material(scratch / "material")
    names = dict.fromkeys(name for kind, count in counts.items() for name in attacks[kind].shares(count))
    references = {name: make_reference(material.commands[name], material) for name in names}
    found = []
    for kind, count in counts.items():
        place = scratch / kind.replace(" ", "-")

        def counted(attack: "Attack", count: int, place: Path) -> list[dict[str, Any]]:
            return [asdict(each) for each in attack.run(material, references, count, seed, place)]

        done = [Tally(**each) for each in asked(partial(counted, attacks[kind], count, place), scratch, limit=1e9)]
        print(f"{kind}, done:\n{table(done)}\n", file=sys.stderr, flush=True)
        found += done
    return found


if __name__ == "__main__":
    main()
