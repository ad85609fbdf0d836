"""Audio seconds per CPU-second: `mer extract`, writing included, beside two plain `transformers` loops.

All rows of a family use the same encoder with random weights, the same audio with IEMOCAP's durations and one CPU
thread, each in a process of its own, taking turns; CPU time, because machines are shared. Loading is left out of every
row: `mer extract` is charged for the command less the same command with nothing left to do.

    python bench/extract.py --seconds 240 --rounds 2
    python bench/extract.py --seconds 20 --rounds 2 --family whisper-base,wavlm-large
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
from typing import Any

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table
from textgrid import IntervalTier, TextGrid
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    PretrainedConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from mer.cache import open_cache

BATCH = 8
FAMILIES: dict[str, tuple[PretrainedConfig, Callable[[], Any]]] = {
    "wav2vec2-base": (Wav2Vec2Config(), lambda: Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)),
    "wavlm-large": (
        WavLMConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
        ),
        lambda: Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True),
    ),
    "whisper-base": (
        WhisperConfig(d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048, decoder_attention_heads=8),
        WhisperFeatureExtractor,
    ),
}
"""Config and preprocessor of each, of the shape of the real checkpoint; Whisper's decoder takes no part."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    """Measure every row in turn, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="audio in the corpus")
    parser.add_argument("--rounds", type=int, default=2, help="turns of every row; bfloat16 takes one")
    parser.add_argument("--loop", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--family", default="wav2vec2-base", help=f"some of {','.join(FAMILIES)}")
    arguments = parser.parse_args()
    if arguments.loop:
        print(plain_loop(arguments.folder, batch=arguments.loop))
        return
    for family in arguments.family.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch), family, arguments.seconds, arguments.rounds)


def measure(folder: Path, family: str, seconds: float, rounds: int) -> None:
    """Run the rows and print the table."""
    write_encoder(folder / "encoder", family)
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
    print(family)
    show(spent, lengths, bfloat16_error(folder / "features-0"))


def write_encoder(folder: Path, family: str = "wav2vec2-base") -> Path:
    """An encoder of a family with random weights, and its preprocessor."""
    config, preprocessor = FAMILIES[family]
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    preprocessor().save_pretrained(folder)
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
    encoder = folder / "encoder"
    model = AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    whisper = model.config.model_type == "whisper"
    model = model.get_encoder() if whisper else model
    prepare = AutoFeatureExtractor.from_pretrained(encoder)
    started = time.process_time()
    waves = waves_of(folder / "corpus" / "noise.jsonl")
    for group in grouped(sorted(waves, key=len, reverse=True) if batch > 1 else waves, batch):
        mask = batch > 1 and not whisper
        padding = "max_length" if whisper else mask
        inputs = prepare(group, sampling_rate=16_000, return_tensors="pt", padding=padding, return_attention_mask=mask)
        model(**inputs, output_hidden_states=True)
    return time.process_time() - started


def grouped(waves: list[np.ndarray], batch: int) -> Iterator[list[np.ndarray]]:
    """Neighbours in groups of `batch`."""
    for start in range(0, len(waves), batch):
        yield waves[start : start + batch]


def mer_extract(folder: Path, turn: int, dtype: str) -> float:
    """CPU-seconds of the command to disk, less those of the same command with nothing left to do (loading)."""
    places: list[str | Path] = ["--corpus", folder / "corpus" / "noise.jsonl", "--cache", folder / f"features-{turn}"]
    what: list[str | Path] = ["--speech-model", folder / "encoder", "--granularity", "F+P+S+W", "--dtype", dtype]
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
