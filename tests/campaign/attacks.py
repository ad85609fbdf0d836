"""Every kind of attack and how often it is done: one file and one entry here adds one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.tests.campaign.bit_flips import flip_files, flip_unfinished
from mer.tests.campaign.crafted import craft
from mer.tests.campaign.full_disks import fill
from mer.tests.campaign.fuzz import fuzz
from mer.tests.campaign.kills import kill
from mer.tests.campaign.material import Material
from mer.tests.campaign.power_cuts import cut_power
from mer.tests.campaign.reference import Reference
from mer.tests.campaign.special import put_special
from mer.tests.campaign.tally import Tally
from mer.tests.campaign.twice import give_twice

RESUMED = ("extract", "align", "train-head", "grid", "finetune")
"""Commands that go on from what is there."""
SMALL = (*RESUMED, "export", "combine", "predict")
"""Commands of a second."""
SLOW = ("synth", "report")
SLOWER = 5
"""How many times fewer these are."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One kind, with how often it is done in each form of the campaign; on files, or on commands."""

    short: int
    long: int
    files: Callable[[Material, int, int, Path], list[Tally]] | None = None
    """Material, how often, seed and a folder to what was counted."""
    command: Callable[[Reference, int, int, Path], Tally] | None = None
    """Likewise of one command that writes."""
    names: tuple[str, ...] = (*SMALL, *SLOW)
    """The commands, which share the count."""

    def shares(self, count: int) -> dict[str, int]:
        """How often each command is attacked; not those that are left with none."""
        if self.command is None:
            return {}
        each, more = divmod(count, len(self.names))
        found = {name: each + (place < more) for place, name in enumerate(self.names)}
        found |= {name: share // SLOWER for name, share in found.items() if name in SLOW}
        return {name: share for name, share in found.items() if share}

    def run(self, material: Material, references: Mapping[str, Reference], count: int, seed: int, root: Path) -> list[Tally]:
        """Attack so often."""
        if self.files is not None:
            return self.files(material, count, seed, root)
        command = self.command
        assert command is not None
        # Beside what nothing disturbed, as far from the inputs: results hold relative paths.
        places = {name: references[name].scratch / root.name for name in references}
        return [command(references[name], share, seed, places[name]) for name, share in self.shares(count).items()]


ATTACKS: Mapping[str, Attack] = {
    "kills": Attack(short=16, long=600, command=kill),
    "power cuts": Attack(short=4, long=320, command=cut_power, names=SMALL),
    "full disks": Attack(short=4, long=80, command=fill),
    "bit flips": Attack(short=40, long=1_500, files=flip_files),
    "bit flips of unfinished work": Attack(short=2, long=100, command=flip_unfinished, names=RESUMED),
    "fuzzed": Attack(short=2_000, long=100_000, files=fuzz),
    "crafted": Attack(short=30, long=1_000, files=craft),
    "special": Attack(short=40, long=1_000, files=put_special),
    "twice": Attack(short=3, long=40, command=give_twice, names=(*SMALL[:-1], "synth")),
}
