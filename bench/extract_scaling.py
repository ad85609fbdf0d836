"""`mer extract` with one worker and with two, one CPU thread each: how much more audio a second.

The encoder is of base size with random weights, durations are IEMOCAP's. Two figures a row: of the whole command, and
from the first forward pass to the last commit, as the sidecars have it: the start of a process is the same few seconds
for any corpus. The processes take turns, because machines are shared; give it a quiet one with two cores.

    python bench/extract_scaling.py --seconds 600 --rounds 2
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mer.bench.extract import ONE_THREAD, write_corpus, write_encoder
from mer.cache import CacheFolder

WORKERS = (1, 2)
SHARD_BYTES = 32_000_000
RUN = f"""
import sys
from pathlib import Path
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract

if __name__ == "__main__":
    folder, cache, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    config = ExtractConfig(speech_model=str(folder / "wav2vec2-base-random"), granularities=("F", "P", "S", "W"))
    resources = Resources(device="cpu", workers=workers, shard_bytes={SHARD_BYTES})
    extract(open_corpus(folder / "corpus" / "noise.jsonl"), config, cache, resources=resources)
"""


def main() -> None:
    """Measure in turn, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="audio in the corpus")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), arguments.seconds, arguments.rounds)


def measure(folder: Path, seconds: float, rounds: int) -> None:
    """Run every row in turn and print the table."""
    write_encoder(folder / "wav2vec2-base-random")
    audio = sum(write_corpus(folder / "corpus", seconds))
    (folder / "run.py").write_text(RUN)
    whole: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    encoding: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for turn in range(rounds):
        for workers in WORKERS:
            cache = folder / f"features-{turn}-{workers}"
            started = time.monotonic()
            command: list[str | Path] = [sys.executable, folder / "run.py", folder, cache, str(workers)]
            subprocess.run(command, env=os.environ | ONE_THREAD, check=True)
            whole[workers].append(audio / (time.monotonic() - started))
            encoding[workers].append(audio / encoding_seconds(cache))
            print(f"round {turn + 1}, {workers} workers: {encoding[workers][-1]:.2f} audio s / s", file=sys.stderr)
    show(audio, whole, encoding)


def encoding_seconds(cache: Path) -> float:
    """From the first shard's begin to the last one's commit."""
    notes = [sidecar.provenance for sidecar in CacheFolder.find(cache).sidecars().values()]
    return float(max(note["finished"] for note in notes) - min(note["started"] for note in notes))


def show(audio: float, whole: dict[int, list[float]], encoding: dict[int, list[float]]) -> None:
    """A row for each number of workers; ratios of runs of the same round."""
    print(f"{audio:.0f} s of audio, one thread per worker, medians of {len(whole[WORKERS[0]])} rounds")
    table = Table()
    for column in ("workers", "audio s / s, whole command", "ratio", "audio s / s, encoding to last commit", "ratio"):
        table.add_column(column, justify="right")
    for workers in WORKERS:
        cells = [str(workers)]
        for rates in (whole, encoding):
            ratio = statistics.median(many / one for many, one in zip(rates[workers], rates[WORKERS[0]], strict=True))
            cells += [f"{statistics.median(rates[workers]):.2f}", f"{ratio:.2f}"]
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
