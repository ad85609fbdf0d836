"""What one epoch of a head costs: alone, stacked, beside its floor, and beside a padded DataLoader loop.

Per head, from random float16 features in memory and with IEMOCAP's lengths:

* `one by one`: runs after each other; `5 stacked`, `25 stacked`: as many runs at once, five folds of each seed;
* `padded loop`: one run in the usual loop of torch.nn modules, from the same weights on the same batches, in a process
  of its own, and once more in this one, where `mer` has set the allocator for training (`mer.heads.training.heap`);
* floor: each feature that a step needs read twice at the memory bandwidth, plus all matrix products at the product
  rate, both measured in the same rounds. Counted from shapes, in the cheapest order of products that is known.

CPU-seconds per run (on a GPU: seconds), rounds interleaved in one process; setting up is left out everywhere, and only
the training part counts unless --validation is given. Before timing, both ways train a few utterances without dropout
and must end with the same losses.

    python bench/train.py                                 # late and coattention; some four minutes on one core
    python bench/train.py --heads late:F+S+T --stacks 25 --utterances 1000
    python bench/train.py --device cuda --table2          # and the wall time of all 16 rows x 25 runs of Zhao's table 2
"""

import argparse
import functools
import json
import multiprocessing
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mer.bench.train_features import (
    CLASSES,
    Meter,
    MeteredSource,
    RandomUnits,
    clock_of,
    lengths_like_iemocap,
    make_jobs,
    train_epoch,
)
from mer.bench.train_floor import Rates, Work, measure, product_shape, work_of
from mer.bench.train_padded import padded_epoch
from mer.bench.train_table2 import time_table2
from mer.heads import HeadConfig

GRANULARITY = {"late": "F+S", "linear": "F", "concatenation": "F+P", "transformer": "S", "coattention": "F"}
UTTERANCES = {"transformer": 88, "coattention": 43}
"""Two full steps and one; training an attention head on more takes minutes."""
ALONE = {"transformer": 2, "coattention": 1}
"""Runs after each other; 5 of the other heads."""
STACKS = {"transformer": (5,), "coattention": (5,)}
COLUMNS = {
    "fastest_seconds": "s/run",
    "median_seconds": "median",
    "gigabytes_read": "GB/run",
    "gigaflops": "GFLOP",
    "fastest_floor": "floor",
    "fastest_times_floor": "x floor",
    "median_times_floor": "median",
    "fastest_padded_times": "padded x",
    "median_padded_times": "median",
}
USUAL = "padded loop"
CHECKED = 12
"""Utterances of the check that both ways compute the same."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A head and what it is trained on."""

    name: str
    """As the user gave it."""
    config: HeadConfig
    """One epoch of it."""
    features: Mapping[str, RandomUnits]
    """Granularity to units."""
    targets: NDArray[np.int64]
    """Class of every utterance."""
    device: torch.device
    """Where it is trained."""

    @property
    def lengths(self) -> dict[str, NDArray[np.int64]]:
        """Granularity to units per utterance."""
        return {name: each.lengths for name, each in self.features.items()}


@dataclass(kw_only=True)
class Timed:
    """One way of training, over the rounds."""

    runs: int
    """Runs that were trained."""
    work: Work | None = None
    """Of all of them; None for the padded loop, whose floor is that of one run alone."""
    seconds: list[float] = field(default_factory=list)
    """All runs, per round."""
    floor: list[float] = field(default_factory=list)
    """All runs, per round, at that round's rates."""
    rates: list[Rates] = field(default_factory=list)
    """Per round."""


def make_setting(name: str, utterances: int | None, device: torch.device, *, dropout: float = 0.2, batch: int = 32) -> Setting:
    """Random features for a head such as `late` or `coattention:F+P`."""
    fusion, _, granularity = name.partition(":")
    single = fusion in {"linear", "transformer"}
    config = HeadConfig(
        fusion=fusion,
        granularities=tuple(each for each in (granularity or GRANULARITY.get(fusion, "F")).split("+") if each != "T"),
        modality="speech" if single else "both",
        max_epochs=1,
        dropout=dropout,
        batch=batch,
    )
    count = utterances or UTTERANCES.get(fusion, 400)
    features = {each: RandomUnits(lengths_like_iemocap(count, each), seed) for seed, each in enumerate(config.branches)}
    targets = np.random.default_rng(1).integers(0, CLASSES, count)
    return Setting(name=name, config=config, features=features, targets=targets, device=device)


def sources_of(setting: Setting) -> dict[str, MeteredSource]:
    """Its features as `mer` reads them; on a GPU copied there."""
    resident = setting.device.type == "cuda"
    return {name: MeteredSource(each, device=setting.device, resident=resident) for name, each in setting.features.items()}


def batches_of(meter: Meter, utterances: int) -> list[list[int]]:
    """The training batches of the first run of a meter that saw runs one by one."""
    batches: list[list[int]] = []
    for step, trained in meter.steps:
        if trained and sum(len(rows) for rows in batches) < utterances:
            batches.append(step.rows[0].tolist())
    return batches


def difference_of_losses(name: str, device: torch.device) -> float:
    """Between `mer` and the padded loop, without dropout, after three steps.

    Raises:
        AssertionError: more than rounding.
    """
    setting = make_setting(name, CHECKED, device, dropout=0.0, batch=3)
    (job,) = make_jobs(1, CHECKED, judged=1)
    meter = train_epoch(sources_of(setting), setting.targets, setting.config, [job], stack=1, device=device)
    batches = batches_of(meter, len(job.fold.train))
    _, loss = padded_epoch(setting.features, setting.targets, setting.config, job, batches, device)
    np.testing.assert_allclose(meter.losses, [loss], rtol=2e-3)
    return abs(meter.losses[0] - loss)


@functools.lru_cache(1)
def _setting_of_this_process(name: str, utterances: int, device: str) -> Setting:
    return make_setting(name, utterances, torch.device(device))


def padded_elsewhere(name: str, utterances: int, device: str, threads: int, batches: list[list[int]]) -> float:
    """Seconds of the usual loop in a process that has never trained with `mer`."""
    torch.set_num_threads(threads)
    setting = _setting_of_this_process(name, utterances, device)
    (job,) = make_jobs(1, utterances, judged=1)
    return padded_epoch(setting.features, setting.targets, setting.config, job, batches, setting.device)[0]


def run_rounds(setting: Setting, stacks: list[int], rounds: int, *, elsewhere: Pool | None, validation: bool) -> dict[str, Timed]:
    """Every way once per round, after the rates of that round."""
    alone = ALONE.get(setting.config.fusion, 5)
    ways = {"one by one": Timed(runs=alone), **{f"{stack} stacked": Timed(runs=stack) for stack in stacks}}
    jobs = make_jobs(max(alone, *stacks), len(setting.targets), judged=None if validation else 1)
    sources, clock = sources_of(setting), clock_of(setting.device)
    loops = {name: Timed(runs=1) for name in (USUAL, f"{USUAL}, mer's heap")} if elsewhere is not None else {}
    for _ in range(rounds):
        rates = measure(clock, setting.device, product_shape(setting.config, setting.lengths))
        batches: list[list[int]] = []
        for name, way in ways.items():
            stack = 1 if name == "one by one" else way.runs
            meter = train_epoch(sources, setting.targets, setting.config, jobs[: way.runs], stack=stack, device=setting.device)
            way.work = work_of(setting.config, setting.lengths, meter.steps)
            way.seconds.append(meter.seconds)
            way.floor.append(way.work.seconds(rates))
            way.rates.append(rates)
            batches = batches or batches_of(meter, len(jobs[0].fold.train))
        if elsewhere is not None:
            there = setting.name, len(setting.targets), str(setting.device), torch.get_num_threads(), batches
            loops[USUAL].seconds.append(elsewhere.apply(padded_elsewhere, there))
            here, _ = padded_epoch(setting.features, setting.targets, setting.config, jobs[0], batches, setting.device)
            loops[f"{USUAL}, mer's heap"].seconds.append(here)
    return {**ways, **loops}


def report_of(ways: Mapping[str, Timed]) -> list[dict[str, Any]]:
    """Per way: seconds per run, the floor per run, and the ratios to it and to the padded loop."""
    padded = ways.get(USUAL)
    rows = []
    for name, way in ways.items():
        row: dict[str, Any] = {"way": name, "runs": way.runs}
        for kind, of in (("fastest", min), ("median", statistics.median)):
            seconds = of(way.seconds) / way.runs
            row[f"{kind}_seconds"] = round(seconds, 4)
            if way.floor:
                row[f"{kind}_floor"] = round(of(way.floor) / way.runs, 4)
                row[f"{kind}_times_floor"] = round(seconds / (of(way.floor) / way.runs), 2)
            if padded is not None and way.floor:
                row[f"{kind}_padded_times"] = round(of(padded.seconds) / seconds, 1)
        if way.work is not None:
            row["gigabytes_read"] = round(way.work.bytes / way.runs / 1e9, 3)
            row["gigaflops"] = round(way.work.flops / way.runs / 1e9, 1)
            row["gigabytes_per_second"] = round(max(each.bytes_per_second for each in way.rates) / 1e9, 1)
            row["gigaflops_per_second"] = round(max(each.flops for each in way.rates) / 1e9, 1)
        rows.append(row)
    return rows


def show(name: str, entry: Mapping[str, Any], console: Console) -> None:
    """One table per head."""
    console.print(f"\n[bold]{name}[/bold], {entry['utterances']} utterances, units {entry['units']}, {entry['conditions']}")
    if "difference_of_losses" in entry:
        console.print(f"losses of both ways differ by {entry['difference_of_losses']:.1e}")
    first = entry["ways"][0]
    console.print(f"memory {first['gigabytes_per_second']} GB/s, products {first['gigaflops_per_second']} GFLOP/s")
    table = Table("way", *COLUMNS.values())
    for row in entry["ways"]:
        table.add_row(row["way"], *(str(row.get(key, "")) for key in COLUMNS))
    console.print(table)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    heads = "late, linear, concatenation, transformer or coattention, each optionally with granularities: coattention:F+P"
    parser.add_argument("--heads", default="late,coattention", help=heads)
    parser.add_argument("--utterances", type=int, help="default 400; transformer 88, coattention 43: two full steps and one")
    parser.add_argument("--stacks", help="runs at once, such as 5,25; default 5,25, for attention heads 5")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved; fastest and median are printed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--validation", action="store_true", help="count the validation of 10 %% too; the padded loop is left out"
    )
    parser.add_argument("--no-padded", action="store_true", help="leave the padded loop out")
    parser.add_argument("--table2", action="store_true", help="on a GPU: train all of table 2 on 5,531 utterances")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


def main() -> None:
    """Run the comparison and print it."""
    options = parse()
    torch.set_num_threads(options.threads)
    device, console, report = torch.device(options.device), Console(), dict[str, Any]()
    padded = not (options.no_padded or options.validation)
    elsewhere = multiprocessing.get_context("spawn").Pool(1) if padded else None
    for name in filter(None, options.heads.split(",")):
        setting = make_setting(name, options.utterances, device)
        stacks = (
            [int(each) for each in options.stacks.split(",")] if options.stacks else STACKS.get(setting.config.fusion, (5, 25))
        )
        entry: dict[str, Any] = {
            "utterances": len(setting.targets),
            "units": {each: int(lengths.sum()) for each, lengths in setting.lengths.items()},
            "conditions": f"{device}, {options.threads} thread(s), {options.rounds} round(s)",
        }
        if padded:
            entry["difference_of_losses"] = difference_of_losses(name, device)
        entry["ways"] = report_of(
            run_rounds(setting, list(stacks), options.rounds, elsewhere=elsewhere, validation=options.validation)
        )
        report[name] = entry
        if not options.json:
            show(name, entry, console)
    if options.table2:
        report["table2"] = time_table2(device, progress=None if options.json else console.print)
    if elsewhere is not None:
        elsewhere.terminate()
        elsewhere.join()
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
