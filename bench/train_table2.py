"""Wall time of Zhao 2022's table 2 on random features of IEMOCAP's size."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mer.bench.train_features import CLASSES, RandomUnits, lengths_like_iemocap, make_jobs
from mer.grids.grid_file import read_grid
from mer.heads import DivergedError, FeatureSource, Job, StackListener, StackTrainer, TrainedRun
from mer.heads.stacked.device.device_path import default_path
from mer.heads.training.stack_size import stack_size

UTTERANCES, RUNS, POOL = 5531, 25, 4096


def time_table2(
    device: torch.device, *, progress: Callable[[str], None] | None = None, utterances: int = UTTERANCES, runs: int = RUNS
) -> dict[str, Any]:
    """Train every row of the table from features that are copied to the device once.

    Random labels are stopped early like real ones, but not after as many epochs; seconds per epoch are given too.

    Args:
        device: where to train; it has to hold all features (about 34 GB).
        progress: hears of each row.
        utterances: in the corpus.
        runs: of each row.
    """
    started = time.perf_counter()
    grid = read_grid("zhao2022-table2")
    targets = np.random.default_rng(1).integers(0, CLASSES, utterances)
    sources = {
        name: FeatureSource(RandomUnits(lengths_like_iemocap(utterances, name), seed, pool=POOL), device=device, resident=True)
        for seed, name in enumerate(("F", "P", "S", "W", "T"))
    }
    jobs, rows, total = make_jobs(runs, utterances), list[dict[str, Any]](), 0.0
    loaded = time.perf_counter() - started
    for row in grid.rows:
        config, epochs, halved = row.configs[0], list[int](), list[int]()

        def keep(job: Job, outcome: TrainedRun | DivergedError, epochs: list[int] = epochs) -> None:
            if isinstance(outcome, DivergedError):
                raise outcome
            epochs.append(len(outcome.epochs))

        used = {name: sources[name] for name in config.branches}
        stack = stack_size(config, used, CLASSES, len(jobs), device, default_path(device, config.precision))
        start = time.perf_counter()
        trainer = StackTrainer(used, targets, CLASSES, config, device)
        trainer.train(jobs, stack=stack, listener=StackListener(run=keep, stack=halved.append))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        rows.append(
            {"row": row.name, "seconds": round(seconds, 1), "epochs": sum(epochs), "stack": halved[-1] if halved else stack}
        )
        if progress is not None:
            progress(f"{row.name}: {seconds:.1f} s, {sum(epochs)} epochs of {runs} runs, {rows[-1]['stack']} at once")
    if progress is not None:
        progress(f"table 2: {total:.0f} s for {len(rows)} rows x {runs} runs; {loaded:.0f} s to make and copy the features")
    return {"seconds": round(total, 1), "loading_seconds": round(loaded, 1), "rows": rows}
