"""Audio seconds per CPU-second: `mer extract`, writing included, beside two plain `transformers` loops.

All rows use the same base-size wav2vec 2.0 with random weights, the same audio with IEMOCAP's durations, the same
process and the same number of threads, taking turns; CPU time, because machines are shared.

    python bench/extract.py --seconds 120 --rounds 3
"""

import argparse
import json
import statistics
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
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract

BATCH = 8


def main() -> None:
    """Measure every row in turn, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="audio in the corpus")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every row")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of every row")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        encoder = write_base_encoder(Path(scratch) / "wav2vec2-base-random")
        manifest, seconds = write_corpus(Path(scratch) / "corpus", arguments.seconds)
        rows: dict[str, Callable[[Path], float]] = {
            "transformers, batch 1": lambda folder: plain_loop(encoder, manifest, batch=1),
            f"transformers, sorted batches of {BATCH}": lambda folder: plain_loop(encoder, manifest, batch=BATCH),
            "mer extract": lambda folder: mer_extract(encoder, manifest, folder, "float32"),
            "mer extract --dtype bfloat16": lambda folder: mer_extract(encoder, manifest, folder, "bfloat16"),
        }
        spent: dict[str, list[float]] = {name: [] for name in rows}
        for turn in range(arguments.rounds):
            for name, run in rows.items():
                spent[name].append(run(Path(scratch) / f"features-{turn}"))
        error = bfloat16_error(Path(scratch) / "features-0")
    show(spent, seconds, error, arguments.threads)


def write_base_encoder(folder: Path) -> Path:
    """wav2vec 2.0 base as transformers' own defaults describe it, with random weights."""
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    return folder


def write_corpus(folder: Path, seconds: float) -> tuple[Path, float]:
    """Noise with IEMOCAP's durations (lognormal, mean 4.5 s, sd 3.2 s) and alignments at its usual density."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows: list[dict[str, str]] = []
    total = 0.0
    while total < seconds:
        length = float(np.clip(random.lognormal(1.30, 0.64), 0.6, 15.0))
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
        total += length
    manifest = folder / "noise.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest, total


def waves_of(manifest: Path) -> list[np.ndarray]:
    """Every wav of the corpus."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [soundfile.read(manifest.parent / row["wav"], dtype="float32")[0] for row in rows]


@torch.inference_mode()
def plain_loop(encoder: Path, manifest: Path, *, batch: int) -> float:
    """CPU-seconds of a loop as one writes it with transformers: nothing kept, nothing written."""
    model = AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    prepare = AutoFeatureExtractor.from_pretrained(encoder)
    started = time.process_time()
    waves = waves_of(manifest)
    for group in grouped(sorted(waves, key=len, reverse=True) if batch > 1 else waves, batch):
        mask = batch > 1
        inputs = prepare(group, sampling_rate=16_000, return_tensors="pt", padding=mask, return_attention_mask=mask)
        model(**inputs, output_hidden_states=True)
    return time.process_time() - started


def grouped(waves: list[np.ndarray], batch: int) -> Iterator[list[np.ndarray]]:
    """Neighbours in groups of `batch`."""
    for start in range(0, len(waves), batch):
        yield waves[start : start + batch]


def mer_extract(encoder: Path, manifest: Path, cache: Path, dtype: str) -> float:
    """CPU-seconds of an extraction to disk, less those of the same command with nothing left to do (loading)."""
    corpus = open_corpus(manifest)
    config = ExtractConfig(speech_model=str(encoder), granularities=("F", "P", "S", "W"), dtype=dtype)
    resources = Resources(device="cpu", workers=1)
    times = [time.process_time()]
    for _ in range(2):
        extract(corpus, config, cache, resources=resources)
        times.append(time.process_time())
    return (times[1] - times[0]) - (times[2] - times[1])


def bfloat16_error(cache: Path) -> float:
    """Relative L2 distance of the bfloat16 frames from the float32 ones, all layers."""
    caches = [open_cache(spec.parent) for spec in cache.glob("*/*/spec.json")]
    exact = next(c for c in caches if c.spec["compute"]["dtype"] == "float32")
    rough = next(c for c in caches if c.spec["compute"]["dtype"] == "bfloat16")
    pairs = [(exact.read(i, "F").astype(np.float32), rough.read(i, "F").astype(np.float32)) for i in exact.utterances.ids]
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((a**2).sum() for a, _ in pairs)))


def show(spent: dict[str, list[float]], seconds: float, error: float, threads: int) -> None:
    """A row a way: medians over the rounds, and ratios of rows that ran in the same round."""
    table = Table(title=f"{seconds:.0f} s of audio, {threads} thread, medians of {len(next(iter(spent.values())))} rounds")
    for column in ("", "CPU s", "audio s / CPU s", "mer is x", "relative error"):
        table.add_column(column, justify="right" if column else "left")
    for name, times in spent.items():
        ratio = statistics.median(t / m for t, m in zip(times, spent["mer extract"], strict=True))
        middle = statistics.median(times)
        rough = f"{error:.1e}" if "bfloat16" in name else ""
        table.add_row(name, f"{middle:.1f}", f"{seconds / middle:.2f}", f"{ratio:.2f}", rough)
    Console().print(table)


if __name__ == "__main__":
    main()
