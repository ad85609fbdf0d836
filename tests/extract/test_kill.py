"""SIGKILL at random moments, of the command or of its workers: what is left is what an uninterrupted run leaves."""

import dataclasses
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from mer.cache import CacheFolder, open_cache, verify
from mer.corpus import Corpus, open_corpus
from mer.extract import ExtractConfig, Extraction, ExtractionProgress, Resources, extract

MakeManifest = Callable[..., Path]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mer.extract"])


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").glob("*.h5"))}


def start(corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources) -> ForkServerProcess:
    process = CONTEXT.Process(target=extract, args=(corpus, config, cache), kwargs={"resources": resources})
    process.start()
    return process


def committed(cache: Path) -> int:
    return len(list(cache.rglob("shards/*.json")))


def kill_and_resume(corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources, *, kills: int) -> int:
    """Kill `kills` extractions at random moments; the number of those that had not finished by then.

    Every second one is killed only after it has committed one or two shards, however slow this machine is now, and a moment
    later; the others at a random moment from their start to as long as the first shard took.
    """
    random_ = random.Random(20)
    # The first process waits for imports, the later ones do not.
    start(corpus, config, cache.with_name("warm-up"), resources).join()
    unfinished, to_first = 0, 0.0
    for number in range(kills):
        process, begun, before = start(corpus, config, cache, resources), time.monotonic(), committed(cache)
        if number % 2 == 0:
            wanted = before + random_.choice((1, 2))
            while process.is_alive() and committed(cache) < wanted:
                time.sleep(0.002)
            to_first = time.monotonic() - begun
            time.sleep(0.03 * random_.random())
        else:
            time.sleep(0.9 * random_.random() * to_first)
        process.kill()
        process.join()
        unfinished += process.exitcode != 0
    return unfinished


def check_nothing_lost_or_doubled(corpus: Corpus, folder: Path) -> None:
    held = Counter(name for sidecar in CacheFolder.find(folder).sidecars().values() for name in sidecar.ids)
    assert held == Counter(utterance.id for utterance in corpus)
    assert sorted(open_cache(folder).utterances.ids) == sorted(held)
    assert verify(CacheFolder.find(folder), full=True).findings == ()
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.slow
def test_kills_of_the_parent_of_two_workers_lose_nothing(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(40, seconds=(1.0, 3.0)))
    resources = Resources(device="cpu", workers=2, shard_bytes=300_000)
    whole = extract(corpus, config, tmp_path / "whole", resources=resources)
    unfinished = kill_and_resume(corpus, config, tmp_path / "killed", resources, kills=4)
    assert unfinished >= 2
    final = extract(corpus, config, tmp_path / "killed", resources=resources)
    assert final.shards_made < whole.shards
    assert shard_bytes(final.folder) == shard_bytes(whole.folder)
    check_nothing_lost_or_doubled(corpus, final.folder)


class Killer:
    """Kills one of the workers a random number of their events after the last kill."""

    def __init__(self, kills: int) -> None:
        self.kills = kills
        self._chance = random.Random(3)
        self._events = 1

    def __call__(self, progress: ExtractionProgress) -> None:
        workers = multiprocessing.active_children()
        self._events -= 1
        if self.kills and self._events <= 0 and workers:
            self._chance.choice(workers).kill()
            self.kills -= 1
            self._events = self._chance.randint(1, 20)


@pytest.mark.slow
def test_kills_of_workers_lose_nothing_and_double_nothing(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(90, seconds=(1.0, 3.0)))
    alone = Resources(device="cpu", workers=1, shard_bytes=600_000)
    whole = extract(corpus, config, tmp_path / "whole", resources=alone)
    killer, notices = Killer(6), list[str]()
    both, results = dataclasses.replace(alone, workers=2), list[Extraction]()
    while not results or results[-1].failed_shards:  # a shard that was hit twice has failed: the command is given again
        results.append(extract(corpus, config, tmp_path / "killed", resources=both, on_progress=killer, on_notice=notices.append))
        assert len(results) < 8
    assert killer.kills == 0
    assert sum("killed by SIGKILL" in notice and "(worker " in notice for notice in notices) == 6
    assert sum(result.shards_made for result in results) == whole.shards
    assert sum(result.repeated_seconds for result in results) > 0
    assert shard_bytes(results[-1].folder) == shard_bytes(whole.folder)
    check_nothing_lost_or_doubled(corpus, results[-1].folder)
    assert not list((results[-1].folder / "failed").glob("*"))
