"""Audio seconds per CPU-second: `mer extract`, writing included, beside two plain `transformers` loops.

All rows use the same base-size wav2vec 2.0 with random weights, the same audio with IEMOCAP's durations and one CPU
thread, each in a process of its own, taking turns; CPU time, because machines are shared. Loading is left out of every
row: `mer extract` is charged for the command less the same command with nothing left to do.

    python bench/extract.py --seconds 240 --rounds 2
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table
from textgrid import IntervalTier, TextGrid
from transformers import AutoFeatureExtractor, AutoModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from mer.cache import open_cache

BATCH = 8
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    """Measure every row in turn, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="audio in the corpus")
    parser.add_argument("--rounds", type=int, default=2, help="turns of every row; bfloat16 takes one")
    parser.add_argument("--loop", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        print(plain_loop(arguments.folder, batch=arguments.loop))
        return
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), arguments.seconds, arguments.rounds)


def measure(folder: Path, seconds: float, rounds: int) -> None:
    """Run the rows and print the table."""
    write_base_encoder(folder / "wav2vec2-base-random")
    lengths = write_corpus(folder / "corpus", seconds)
    rows: dict[str, Callable[[int], float]] = {
        "transformers, batch 1": lambda turn: loop_in_process(folder, batch=1),
        f"transformers, sorted batches of {BATCH}": lambda turn: loop_in_process(folder, batch=BATCH),
        "mer extract": lambda turn: mer_extract(folder, turn, "float32"),
        "mer extract --dtype bfloat16": lambda turn: mer_extract(folder, turn, "bfloat16"),
    }
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds):
        for name, run in rows.items():
            if turn == 0 or "bfloat16" not in name:
                spent[name].append(run(turn))
                print(f"round {turn + 1}: {name}: {spent[name][-1]:.1f} CPU s", file=sys.stderr)
    show(spent, lengths, bfloat16_error(folder / "features-0"))


def write_base_encoder(folder: Path) -> Path:
    """wav2vec 2.0 base as transformers' own defaults describe it, with random weights."""
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    return folder


def write_corpus(folder: Path, seconds: float) -> list[float]:
    """Noise with IEMOCAP's durations and alignments at its usual density.

    Seconds of an utterance: lognormal with mean 4.55 and median 3.58, between 0.6 and 34.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    mu, sigma = math.log(3.58), math.sqrt(2 * math.log(4.55 / 3.58))
    rows: list[dict[str, str]] = []
    lengths: list[float] = []
    while sum(lengths) < seconds:
        length = float(np.clip(random.lognormal(mu, sigma), 0.6, 34.0))
        name = f"utt{len(rows):04d}"
        samples = 0.1 * random.normal(size=int(16_000 * length))
        soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="PCM_16")
        grid = TextGrid(maxTime=length)
        for tier, step in (("words", 0.36), ("phones", 0.09)):
            intervals = IntervalTier(tier, 0, length)
            for start in np.arange(0.0, length - step, step):
                intervals.add(round(float(start), 2), round(float(start + step), 2), "ah" if tier == "words" else "AH1")
            grid.append(intervals)
        grid.write(str(folder / f"{name}.TextGrid"))
        rows.append(
            {
                "id": name,
                "wav": f"{name}.wav",
                "text": "",
                "label": "x",
                "speaker": "s",
                "session": "1",
                "textgrid": f"{name}.TextGrid",
            }
        )
        lengths.append(length)
    (folder / "noise.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lengths


def waves_of(manifest: Path) -> list[np.ndarray]:
    """Every wav of the corpus."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [soundfile.read(manifest.parent / row["wav"], dtype="float32")[0] for row in rows]


def loop_in_process(folder: Path, *, batch: int) -> float:
    """CPU-seconds of the plain loop in a new process."""
    command = [sys.executable, __file__, "--loop", str(batch), "--folder", str(folder)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


@torch.inference_mode()
def plain_loop(folder: Path, *, batch: int) -> float:
    """CPU-seconds of a loop as one writes it with transformers: nothing kept, nothing written."""
    encoder = folder / "wav2vec2-base-random"
    model = AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    prepare = AutoFeatureExtractor.from_pretrained(encoder)
    started = time.process_time()
    waves = waves_of(folder / "corpus" / "noise.jsonl")
    for group in grouped(sorted(waves, key=len, reverse=True) if batch > 1 else waves, batch):
        mask = batch > 1
        inputs = prepare(group, sampling_rate=16_000, return_tensors="pt", padding=mask, return_attention_mask=mask)
        model(**inputs, output_hidden_states=True)
    return time.process_time() - started


def grouped(waves: list[np.ndarray], batch: int) -> Iterator[list[np.ndarray]]:
    """Neighbours in groups of `batch`."""
    for start in range(0, len(waves), batch):
        yield waves[start : start + batch]


def mer_extract(folder: Path, turn: int, dtype: str) -> float:
    """CPU-seconds of the command to disk, less those of the same command with nothing left to do (loading)."""
    places: list[str | Path] = ["--corpus", folder / "corpus" / "noise.jsonl", "--cache", folder / f"features-{turn}"]
    what: list[str | Path] = ["--speech-model", folder / "wav2vec2-base-random", "--granularity", "F+P+S+W", "--dtype", dtype]
    how = ["--device", "cpu", "--workers", "1", "--quiet"]
    command = [sys.executable, "-c", "from mer.cli import app; app()", "extract", *places, *what, *how]
    times = [cpu_seconds_of_children()]
    for _ in range(2):
        subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, check=True)
        times.append(cpu_seconds_of_children())
    return (times[1] - times[0]) - (times[2] - times[1])


def cpu_seconds_of_children() -> float:
    """CPU time of every process that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bfloat16_error(cache: Path) -> float:
    """Relative L2 distance of the bfloat16 frames from the float32 ones, all layers."""
    caches = [open_cache(spec.parent) for spec in cache.glob("*/*/spec.json")]
    exact = next(c for c in caches if c.spec["compute"]["dtype"] == "float32")
    rough = next(c for c in caches if c.spec["compute"]["dtype"] == "bfloat16")
    pairs = [(exact.read(i, "F").astype(np.float32), rough.read(i, "F").astype(np.float32)) for i in exact.utterances.ids]
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((a**2).sum() for a, _ in pairs)))


def show(spent: dict[str, list[float]], lengths: list[float], error: float) -> None:
    """A row a way: medians over the rounds, and ratios of rows that ran in the same round."""
    seconds = sum(lengths)
    print(f"{len(lengths)} utterances, {seconds:.0f} s of audio, the longest {max(lengths):.1f} s; one thread, medians")
    table = Table()
    for column in ("", "CPU s", "audio s / CPU s", "mer is x", "relative error"):
        table.add_column(column, justify="right" if column else "left")
    for name, times in spent.items():
        ratio = statistics.median(t / m for t, m in zip(times, spent["mer extract"], strict=False))
        middle = statistics.median(times)
        rough = f"{error:.1e}" if "bfloat16" in name else ""
        table.add_row(name, f"{middle:.1f}", f"{seconds / middle:.2f}", f"{ratio:.2f}", rough)
    Console().print(table)


if __name__ == "__main__":
    main()
