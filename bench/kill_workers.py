"""Two workers of `mer extract`, killed with SIGKILL again and again: what is lost, what is doubled, what is done twice.

A kill follows something that was seen: so many events of the workers, or an unfinished file of a worker in the cache's
`tmp/`, which is a worker in the middle of a commit. A shard that is hit twice is recorded as failed; then the command is
given again, as people would, and counted.

    python bench/kill_workers.py --kills 100
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import soundfile

from mer.cache import CacheFolder, verify
from mer.corpus import Corpus, open_corpus
from mer.demo.small_encoders import write_small_speech_encoder, write_small_text_encoder
from mer.extract import ExtractConfig, Extraction, ExtractionProgress, Resources, extract

SHARD_BYTES = 2_000_000
EVENTS = (1, 40)
"""Between two kills, at random."""
TEXT = "we lost it all and nothing will bring it back"


def main() -> None:
    """Extract undisturbed and killed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--utterances", type=int, default=2_400, help="of 1 to 4 s")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), arguments.kills, arguments.utterances, arguments.seed)


def measure(folder: Path, kills: int, utterances: int, seed: int) -> None:
    """Print what the kills did."""
    corpus, config = write_inputs(folder, utterances)
    one = extract(corpus, config, folder / "one", resources=Resources(device="cpu", workers=1, shard_bytes=SHARD_BYTES))
    killer = Killer(kills, random.Random(seed))
    results: list[Extraction] = []
    started = time.monotonic()
    while not results or results[-1].failed_shards:
        results.append(killed(corpus, config, folder / "killed", killer))
    seconds = time.monotonic() - started
    held = Counter(name for sidecar in CacheFolder.find(folder / "killed").sidecars().values() for name in sidecar.ids)
    wanted = Counter(utterance.id for utterance in corpus)
    print(f"{one.utterances} utterances, {one.audio_seconds:.0f} s of audio, {one.shards} shards; alone {one.wall_seconds:.0f} s")
    print(f"{killer.kills} kills ({killer.in_commit} of them while a shard was written) in {seconds:.0f} s")
    print(
        f"the command was given {len(results) - 1} times more, for {sum(len(r.failed_shards) for r in results)} shards hit twice"
    )
    print(
        f"lost: {len(wanted - held)} utterances; doubled: {len(held - wanted)}; shards that differ: {differing(one, results[-1])}"
    )
    print(
        f"`mer cache verify --full`: {len(verify(CacheFolder.find(folder / 'killed'), full=True).findings)} findings; "
        f"unfinished files left: {len(list(results[-1].folder.glob('tmp/*')))}"
    )
    repeated = sum(result.repeated_seconds for result in results)
    print(f"encoded again: {repeated:.0f} s of audio, {repeated / one.audio_seconds:.1%} of the corpus")
    if held != wanted or differing(one, results[-1]) or killer.kills < kills:
        sys.exit(1)


def write_inputs(folder: Path, utterances: int) -> tuple[Corpus, ExtractConfig]:
    """Noise in five sessions, and small encoders with random weights."""
    write_small_speech_encoder(folder / "speech", seed=0)
    write_small_text_encoder(folder / "text", [TEXT], seed=0)
    (folder / "corpus").mkdir()
    noise = np.random.default_rng(0)
    rows = []
    for number in range(utterances):
        name, session = f"utt{number:05d}", str(1 + number % 5)
        samples = 0.1 * noise.normal(size=int(16_000 * noise.uniform(1, 4)))
        soundfile.write(folder / "corpus" / f"{name}.wav", samples, 16_000, subtype="PCM_16")
        rows.append({"id": name, "wav": f"{name}.wav", "text": TEXT, "label": "x", "speaker": session, "session": session})
    manifest = folder / "corpus" / "noise.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_corpus(manifest), ExtractConfig(speech_model=str(folder / "speech"), text_model=str(folder / "text"))


class Killer:
    """Kills a worker, some random number of events after the last kill or in the middle of the next commit."""

    def __init__(self, kills: int, chance: random.Random) -> None:
        self.kills, self.in_commit = 0, 0
        self._wanted, self._chance = kills, chance
        self._lock = threading.Lock()
        self._choose()

    def _choose(self) -> None:
        self._events = self._chance.randint(*EVENTS)
        self._waits_for_commit = self._chance.random() < 0.3

    def event(self) -> None:
        """A worker has told something."""
        with self._lock:
            self._events -= 1
            workers = workers_here()
            if self._events <= 0 and not self._waits_for_commit and workers:
                self._kill(self._chance.choice(workers))

    def unfinished(self, file: Path) -> None:
        """An unfinished file of a worker is there."""
        with self._lock:
            writers = [worker for worker in workers_here() if worker.pid == int(file.name.split("~")[2])]
            if self._events <= 0 and self._waits_for_commit and writers:
                self.in_commit += self.kills < self._wanted
                self._kill(writers[0])

    def _kill(self, worker: psutil.Process) -> None:
        if self.kills >= self._wanted:
            return
        worker.kill()
        self.kills += 1
        self._choose()
        print(f"\r{self.kills} kills", end="", file=sys.stderr, flush=True)


def workers_here() -> list[psutil.Process]:
    """Worker processes of this one, the oldest first."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def killed(corpus: Corpus, config: ExtractConfig, cache: Path, killer: Killer) -> Extraction:
    """The command once, with two workers in danger."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for file in cache.glob("*/*/tmp/*.h5~*"):
                killer.unfinished(file)
            time.sleep(0.001)

    def progress(_: ExtractionProgress) -> None:
        killer.event()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        resources = Resources(device="cpu", workers=2, shard_bytes=SHARD_BYTES)
        return extract(corpus, config, cache, resources=resources, on_progress=progress)
    finally:
        ended.set()
        watcher.join()


def differing(one: Extraction, other: Extraction) -> int:
    """Shard files that are not byte for byte the same, or only in one cache."""
    ours, theirs = ({p.name: p.read_bytes() for p in r.folder.glob("shards/*.h5")} for r in (one, other))
    return sum(ours.get(name) != theirs.get(name) for name in ours.keys() | theirs.keys())


if __name__ == "__main__":
    main()
