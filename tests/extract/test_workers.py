"""One worker of an extraction: what it refuses to begin with, and what it tells."""

import dataclasses
import errno
import json
import pickle
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch

import mer.extract.workers
from mer.backends import BackendError, Slot, Task, TaskDone, TaskFailed
from mer.cache import CacheError, CacheFolder
from mer.corpus import Corpus, open_corpus
from mer.extract import ExtractConfig, Extraction, Resources, SpeechEncoder, extract
from mer.extract.encode import EncodedShard, encode_shard, scaled
from mer.extract.encoders import Encoders
from mer.extract.progress import Begun, Committed, Encoded
from mer.extract.workers import ExtractWork, ShardToMake
from mer.files import Disk

ONE = Resources(device="cpu", workers=1)
HERE = Slot(number=0, device="cpu", threads=1)


class FullDisk(Disk):
    """Takes nothing while it is full."""

    def __init__(self) -> None:
        self.full = True

    def write(self, descriptor: int, block: memoryview) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, block)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two utterances in session 1, one in session 2."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", np.random.default_rng(number).normal(size=10_000) / 9, 16_000)
        row = {"id": f"utt{number}", "wav": f"{number}.wav", "text": "noon", "label": "x", "speaker": "s"}
        rows.append(row | {"session": str(1 + number // 2)})
    (folder / "three.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_corpus(folder / "three.jsonl")


@pytest.fixture(scope="module")
def extracted(corpus: Corpus, config: ExtractConfig, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    return extract(corpus, config, tmp_path_factory.mktemp("features"), resources=ONE)


@pytest.fixture
def done(extracted: Extraction, tmp_path: Path) -> Extraction:
    """A copy that a test may change."""
    folder = tmp_path / "features" / extracted.folder.name
    shutil.copytree(extracted.folder, folder)
    return dataclasses.replace(extracted, folder=folder)


def work_on(done: Extraction, config: ExtractConfig, disk: Disk | None = None) -> ExtractWork:
    found = CacheFolder.find(done.folder)
    return ExtractWork(folder=CacheFolder(found.path, found.spec, disk=disk), config=config, resources=ONE)


def first_task(corpus: Corpus, work: ExtractWork, *, anew: bool = False) -> Task:
    utterances = tuple(u for u in corpus if u.session == "1")
    replaces = work.folder.mark("session1-000") if anew else None
    return Task(name="session1-000", cost=1.0, content=ShardToMake(utterances=utterances, replaces=replaces))


def shard_files(work: ExtractWork) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.folder.path.glob("shards/*")}


def test_a_shard_is_done_when_a_whole_sidecar_accounts_for_it(corpus: Corpus, config: ExtractConfig, done: Extraction) -> None:
    work = work_on(done, config)
    task = first_task(corpus, work)
    assert work.is_done(task)
    assert not work.is_done(dataclasses.replace(task, name="session1-001"))
    fewer = ShardToMake(utterances=task.content.utterances[1:])
    assert not work.is_done(dataclasses.replace(task, content=fewer))
    assert not work.is_done(first_task(corpus, work, anew=True))
    path = work.folder.shard_path(task.name)
    path.write_bytes(path.read_bytes()[:-1])
    assert not work.is_done(task)


def test_a_worker_tells_what_it_does_and_leaves_what_is_done(corpus: Corpus, config: ExtractConfig, done: Extraction) -> None:
    work = work_on(done, config)
    task = first_task(corpus, work, anew=True)
    before, told = shard_files(work), list[Any]()
    with work.open(HERE) as worker:
        worker.do(task, share=1.0, tell=told.append)
        worker.finish()
        again = len(told)
        worker.do(task, share=1.0, tell=told.append)
        worker.finish()
    begun, *encoded, committed, last = told[:again]
    assert begun == Begun(task.name)
    assert {type(event) for event in encoded} == {Encoded}
    assert sum(event.utterances for event in encoded) == len(task.content.utterances)
    assert committed == Committed(task.name, work.folder.shard_bytes(task.name))
    assert last == TaskDone(name=task.name)
    assert told[again:] == [last]
    after = shard_files(work)
    assert {name for name in before if before[name] != after[name]} == {"session1-000.json"}


def test_who_comes_second_leaves_the_first_ones_shard(
    corpus: Corpus, config: ExtractConfig, done: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_on(done, config)
    task = first_task(corpus, work, anew=True)
    told: list[Any] = []
    files: list[dict[str, bytes]] = []
    with work.open(HERE) as first, work.open(HERE) as second:

        def overtake(event: object) -> None:
            told.append(event)
            if event == Begun(task.name):
                first.do(task, share=1.0, tell=lambda _: None)
                first.finish()
                files.append(shard_files(work))

        second.do(task, share=1.0, tell=overtake)
        second.finish()
    assert {type(event) for event in told} == {Begun, Encoded, TaskDone}
    assert shard_files(work) == files[0]


def test_after_a_commit_that_fails_nothing_is_encoded_until_the_disk_takes_it(
    corpus: Corpus, config: ExtractConfig, done: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk()
    work = work_on(done, config, disk)
    task = first_task(corpus, work, anew=True)
    calls: list[str] = []

    def count(*given: Any) -> EncodedShard:
        calls.append("encode")
        return encode_shard(*given)

    monkeypatch.setattr(mer.extract.workers, "encode_shard", count)
    told: list[Any] = []
    with work.open(HERE) as worker:
        worker.do(task, share=1.0, tell=told.append)
        worker.finish()
        assert isinstance(told[-1], TaskFailed)
        assert "No space left on device" in told[-1].reason
        assert calls == ["encode"]
        with pytest.raises(CacheError, match="still takes no 0 MB"):
            worker.do(task, share=1.0, tell=told.append)
        assert calls == ["encode"]
        disk.full = False
        worker.do(task, share=1.0, tell=told.append)
        worker.finish()
    assert told[-2:] == [Committed(task.name, work.folder.shard_bytes(task.name)), TaskDone(name=task.name)]
    assert work.is_done(task)
    assert list(work.folder.path.glob("tmp/*")) == []


def test_code_of_another_version_is_refused(config: ExtractConfig, done: Extraction) -> None:
    work = dataclasses.replace(work_on(done, config), versions={"mer": "0", "torch": str(torch.__version__)})
    with pytest.raises(BackendError, match=r"has .*\(the launcher has 0\)"), work.open(HERE):
        pass


def test_models_other_than_the_launchers_are_refused(config: ExtractConfig, done: Extraction, tmp_path: Path) -> None:
    from mer.demo.small_encoders import write_small_speech_encoder

    other = tmp_path / "other" / Path(config.speech_model).name
    write_small_speech_encoder(other, seed=2)
    work = work_on(done, dataclasses.replace(config, speech_model=str(other)))
    with pytest.raises(BackendError, match=rf"not those that {done.folder} was begun with \(different: speech weights"):
        work.open(HERE).__enter__()
    work = work_on(done, dataclasses.replace(config, speech_model=str(tmp_path / "nowhere")))
    with pytest.raises(BackendError, match=r"--speech-model .*nowhere: not a folder here.* \(on "):
        work.open(HERE).__enter__()


def test_a_device_or_a_cache_that_is_not_there_is_refused(config: ExtractConfig, done: Extraction) -> None:
    work = work_on(done, config)
    with pytest.raises(BackendError, match=r"device 'cuda:99': this machine shows \d+ CUDA devices; use auto or cpu \(on "):
        work.open(dataclasses.replace(HERE, device="cuda:99")).__enter__()
    (done.folder / "spec.json").unlink()
    with pytest.raises(BackendError, match=r"spec\.json is not on .*every machine must see the cache at the same path"):
        work.open(HERE).__enter__()


def test_relative_paths_mean_what_they_meant_to_the_launcher(
    corpus: Corpus, config: ExtractConfig, done: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = CacheFolder(done.folder.relative_to(tmp_path), work_on(done, config).folder.spec)
    work = ExtractWork(folder=folder, config=config, resources=ONE)
    task = first_task(corpus, work, anew=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    told: list[Any] = []
    with work.open(HERE) as worker:
        worker.do(task, share=1.0, tell=told.append)
        worker.finish()
    assert told[-1] == TaskDone(name=task.name)
    assert Path.cwd() == elsewhere


def test_a_pickled_work_leaves_the_models_behind(config: ExtractConfig, done: Extraction) -> None:
    work = dataclasses.replace(work_on(done, config), encoders=Mock(spec=Encoders))
    copy = pickle.loads(pickle.dumps(work))
    assert copy.encoders is None
    assert (copy.folder.path, copy.versions, copy.directory) == (done.folder, work.versions, str(Path.cwd()))
    assert work.encoders is not None


def test_a_worker_has_the_threads_of_its_slot(config: ExtractConfig, done: Extraction) -> None:
    before = torch.get_num_threads()
    with work_on(done, config).open(dataclasses.replace(HERE, threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("device", "given", "seconds", "tokens"),
    [("cuda", None, 150.0, 512), ("cuda", 40.0, 20.0, 512), ("cpu", None, None, 1024), ("cpu", 40.0, 20.0, 1024)],
)
def test_half_a_share_is_half_a_batch(device: str, given: float | None, seconds: float | None, tokens: int) -> None:
    """On a CPU wordpieces stay together: another batch would round otherwise, and they are small."""
    encoders = Encoders(speech=Mock(spec=SpeechEncoder, device=torch.device(device)), text=None)
    resources = Resources(batch_seconds=given)
    half = scaled(resources, encoders, 0.5)
    assert (half.batch_seconds, half.batch_tokens) == (seconds, tokens)
    assert scaled(resources, encoders, 1.0) == resources
