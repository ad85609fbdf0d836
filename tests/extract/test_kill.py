"""SIGKILL at random moments, resumed each time: what is left is what an uninterrupted run leaves."""

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
from mer.extract import ExtractConfig, Resources, extract

MakeManifest = Callable[..., Path]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mer.extract"])


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").glob("*.h5"))}


def start(corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources) -> ForkServerProcess:
    process = CONTEXT.Process(target=extract, args=(corpus, config, cache), kwargs={"resources": resources})
    process.start()
    return process


def seconds_to_first_shard(corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources) -> float:
    """Time from the start of a process to its first committed shard, on this machine as busy as it is now."""
    start(corpus, config, cache / "warm-up", resources).join()  # the first process waits for imports, the later ones do not
    started = time.monotonic()
    process = start(corpus, config, cache / "timed", resources)
    while process.is_alive() and not list(cache.rglob("timed/**/shards/*.json")):
        time.sleep(0.01)
    process.kill()
    process.join()
    return time.monotonic() - started


def kill_and_resume(
    corpus: Corpus, config: ExtractConfig, cache: Path, resources: Resources, *, kills: int, longest: float
) -> int:
    """Kill `kills` extractions at random moments over 0 to `longest` s; the number of those not finished by then."""
    random_ = random.Random(20)
    moments = [(number + random_.random()) * longest / kills for number in range(kills)]
    random_.shuffle(moments)
    unfinished = 0
    for moment in moments:
        process = start(corpus, config, cache, resources)
        time.sleep(moment)
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
def test_twenty_kills_leave_the_bytes_of_an_uninterrupted_run(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(90, seconds=(1.0, 3.0)))
    resources = Resources(device="cpu", workers=1, shard_bytes=1_000_000)
    whole = extract(corpus, config, tmp_path / "whole", resources=resources)
    assert whole.shards > 10
    first = seconds_to_first_shard(corpus, config, tmp_path / "first", resources)
    unfinished = kill_and_resume(
        corpus, config, tmp_path / "killed", resources, kills=20, longest=first + whole.wall_seconds / 20
    )
    assert unfinished >= 15
    final = extract(corpus, config, tmp_path / "killed", resources=resources)
    assert final.shards_made < whole.shards  # the killed runs did part of the work
    assert shard_bytes(final.folder) == shard_bytes(whole.folder)
    check_nothing_lost_or_doubled(corpus, final.folder)


@pytest.mark.slow
def test_kills_of_the_parent_of_two_workers_lose_nothing(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    corpus = open_corpus(make_manifest(60, seconds=(1.0, 3.0)))
    resources = Resources(device="cpu", workers=2, shard_bytes=1_000_000)
    whole = extract(corpus, config, tmp_path / "whole", resources=resources)
    first = seconds_to_first_shard(corpus, config, tmp_path / "first", resources)
    unfinished = kill_and_resume(corpus, config, tmp_path / "killed", resources, kills=4, longest=1.2 * first)
    assert unfinished >= 2
    final = extract(corpus, config, tmp_path / "killed", resources=resources)
    assert shard_bytes(final.folder) == shard_bytes(whole.folder)
    check_nothing_lost_or_doubled(corpus, final.folder)
