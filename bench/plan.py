"""How soon `mer extract` begins with a manifest of a million utterances, and what the plan takes in memory.

Each row is a process of its own: the column `seconds` is there or is not; `half committed` goes on with a cache of whose
shards every second one is committed (without features: a plan does not look at them). No encoder is loaded: the clock stops
when the first shard is ready for one. Memory is the peak over a process that has imported the same.

    python bench/plan.py [--rows 1000000] [--all-shards]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from mer.corpus.manifest import LARGE

if TYPE_CHECKING:
    from mer.cache import CacheFolder

WAVS = 32
"""Recordings of different length; the corpus is made of links to them, of which a file system takes some ten thousand each."""
SESSIONS = 5
BYTES_PER_SECOND = 23 * 12 * 768 * 2  # P, S, W and T of the default encoders
SHARD_BYTES = 256_000_000
KEYS = ("read", "first", "cpu", "last", "peak")


def main() -> None:
    """Write the manifests, and print a row per process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--all-shards", action="store_true", help="also plan to the end, and go on from half of it (minutes)")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--manifest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(plan_here(arguments.folder, arguments.manifest, whole=arguments.all_shards)))
        return
    table = Table(title=f"{arguments.rows:,} utterances")
    for column in ("manifest", "read s", "first shard s", "its CPU s", "last shard s", "peak MB"):
        table.add_column(column, justify="left" if column == "manifest" else "right")

    def row(name: str, manifest: str, *, whole: bool = False) -> None:
        found = measure(folder, manifest, whole=whole)
        table.add_row(name, *(f"{found[key]:,.1f}" if key in found else "" for key in KEYS))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_manifests(folder, arguments.rows)
        row("lengths stated", "stated.jsonl")
        row("lengths stated, CSV", "table.csv")
        row("lengths from headers", "headers.jsonl")
        if arguments.all_shards:
            row("lengths stated, to the end", "stated.jsonl", whole=True)
            commit_every_second(folder)
            row("lengths stated, half committed", "stated.jsonl")
    Console().print(table)


def measure(folder: Path, manifest: str, *, whole: bool) -> dict[str, float]:
    """One process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--manifest", manifest]
    done = subprocess.run([*command, *(["--all-shards"] if whole else [])], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_manifests(folder: Path, count: int) -> None:
    """The same corpus three times. Rows that name one file are refused: the first have files of their own, the others links."""
    random = np.random.default_rng(0)
    lengths = random.uniform(2.0, 7.0, WAVS)
    (folder / "audio").mkdir()
    bases = [folder / f"{number}.flac" for number in range(WAVS)]
    for base, seconds in zip(bases, lengths, strict=True):
        soundfile.write(base, np.zeros(int(16_000 * seconds)), 16_000)
    for number in range(count):
        path, base = folder / "audio" / f"{number}.flac", bases[number % WAVS]
        if number < LARGE:
            path.write_bytes(base.read_bytes())
        else:
            path.hardlink_to(base)
    with (folder / "stated.jsonl").open("w") as stated, (folder / "headers.jsonl").open("w") as headers:
        with (folder / "table.csv").open("w") as table:
            table.write("id,wav,text,label,speaker,session,textgrid,seconds\n")
            for number in range(count):
                row = {
                    "id": f"utt{number:07d}",
                    "wav": f"audio/{number}.flac",
                    "text": "we have been here before, and nobody told me",
                    "label": ("angry", "happy", "neutral", "sad")[number % 4],
                    "speaker": f"speaker{number // 200}",
                    "session": str(1 + number * SESSIONS // count),
                    "textgrid": f"grids/{number:07d}.TextGrid",
                }
                headers.write(json.dumps(row) + "\n")
                row["seconds"] = f"{lengths[number % WAVS]:.3f}"
                stated.write(json.dumps(row) + "\n")
                row["text"] = '"we have been here before, and nobody told me"'
                table.write(",".join(row.values()) + "\n")


def plan_here(folder: Path, manifest: str, *, whole: bool) -> dict[str, float]:
    """Read and plan in this process."""
    from mer.corpus import open_corpus
    from mer.extract.planning import Planning

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.monotonic(), time.process_time()
    corpus = open_corpus(folder / manifest)
    found = {"read": time.monotonic() - started}
    planning = Planning(
        corpus, make_cache(folder, corpus.name), expected_bytes=lambda s: int(s * BYTES_PER_SECOND), target_bytes=SHARD_BYTES
    )
    planning.expected()
    shards = planning.to_do(planning.shards())
    first = next(shards)
    assert planning.utterances(first)
    found |= {"first": time.monotonic() - started, "cpu": time.process_time() - used}
    if whole:
        for _ in shards:
            pass
        found["last"] = time.monotonic() - started
    found["peak"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return found


def make_cache(folder: Path, name: str) -> "CacheFolder":
    """An empty cache, or the one that is there."""
    from mer.cache import CacheFolder

    spec = {
        "format_version": 1,
        "corpus": {"name": name, "kind": "manifest", "synthetic": False},
        "granularities": ["P", "S", "W", "T"],
        "layers": {"speech": [1], "text": [1]},
        "dim": {"speech": 4, "text": 4},
        "storage": {"dtype": "float16"},
    }
    return CacheFolder.create(folder / "features", spec)


def commit_every_second(folder: Path) -> None:
    """As a run leaves them that was stopped."""
    from mer.cache import FailedUtterance, build_shard
    from mer.cache.plan import read_plan

    cache = make_cache(folder, "stated")
    for number, (name, ids) in enumerate(read_plan(cache).items()):
        if number % 2:
            failed = [FailedUtterance(id=each, reason="left out by a measurement", fingerprint="") for each in ids]
            cache.commit(name, build_shard(cache.spec, [], failed), {})


if __name__ == "__main__":
    main()
