"""Plans of corpora without audio or encoders: lengths are stated, features are shards of failures."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.cache import CacheFolder, FailedUtterance, Sidecar, build_shard
from mer.corpus import Corpus, Utterance, manifest, open_corpus
from mer.extract import ExtractConfig, Resources, extract
from mer.extract import planning as planning_module
from mer.extract.inputs import fingerprint
from mer.extract.planning import CorpusShard, Planning

SPEC: dict[str, Any] = {
    "format_version": 1,
    "corpus": {"name": "toy", "kind": "manifest", "synthetic": True},
    "granularities": ["P"],
    "layers": {"speech": [1]},
    "dim": {"speech": 4},
    "storage": {"dtype": "float16"},
}
Shape = list[tuple[str, list[str], float]]
MakeCorpus = Callable[..., Corpus]
MakeManifest = Callable[..., Path]


class Counted(Sequence[Utterance]):
    """Utterances of which it is known which were looked at."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._utterances = utterances
        self.seen: list[int] = []

    def __getitem__(self, place: Any) -> Any:
        self.seen.append(place)
        return self._utterances[place]

    def __len__(self) -> int:
        return len(self._utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._utterances)


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    def make(count: int, *, sessions: int = 2, seconds: float | None = 1.0) -> Corpus:
        utterances = tuple(
            Utterance(
                id=f"u{number:05d}",
                wav=tmp_path / f"u{number:05d}.wav",
                text="",
                label="joy",
                speaker="s",
                session=str(1 + number * sessions // count),
                seconds=seconds,
            )
            for number in range(count)
        )
        return Corpus(name="toy", kind="manifest", synthetic=True, utterances=Counted(utterances))

    return make


def looks_at(corpus: Corpus) -> list[int]:
    """The places that are looked at from now on; what the type checks looked at is forgotten."""
    assert isinstance(corpus.utterances, Counted)
    corpus.utterances.seen.clear()
    return corpus.utterances.seen


def plan(corpus: Corpus, root: Path, target: float = 300) -> Planning:
    folder = CacheFolder.create(root, SPEC)
    return Planning(corpus, folder, expected_bytes=lambda seconds: int(100 * seconds), target_bytes=target)


def fail(root: Path, corpus: Corpus, shard: CorpusShard) -> None:
    """Commit a shard of failures: a plan does not look at features."""
    folder = CacheFolder.create(root, SPEC)
    utterances = {each.id: each for each in corpus}
    failed = [FailedUtterance(id=i, reason="-", fingerprint=fingerprint(utterances[i])) for i in shard.planned.ids]
    folder.commit(shard.name, build_shard(folder.spec, [], failed), {})


def shape(shards: Iterator[CorpusShard]) -> Shape:
    return [(shard.name, shard.planned.ids, shard.cost) for shard in shards]


def test_shards_come_by_session_and_number_with_their_utterances(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(8)
    planned = plan(corpus, tmp_path)
    shards = list(planned.shards())
    assert [(shard.name, len(shard.rows), shard.cost) for shard in shards] == [
        ("session1-000", 3, 300.0),
        ("session1-001", 1, 100.0),
        ("session2-000", 3, 300.0),
        ("session2-001", 1, 100.0),
    ]
    assert [u.id for u in planned.utterances(shards[2])] == ["u00004", "u00005", "u00006"]
    assert list(planned.to_do(shards)) == shards


def test_only_the_first_shard_is_looked_at_before_it_is_made(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(1000)
    planned = plan(corpus, tmp_path)
    seen = looks_at(corpus)
    todo = planned.to_do(planned.shards())
    planned.utterances(next(todo))
    assert seen == [0, 1, 2]
    assert [path.name for path in tmp_path.glob("toy/*/plan/*")] == ["session1-000.json"]


def test_headers_are_read_a_little_ahead(make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, read = threading.Lock(), list[str]()

    def seconds(utterance: Utterance) -> float:
        with lock:
            read.append(utterance.id)
        return int(utterance.id[1:]) % 3 + 1.0

    monkeypatch.setattr(planning_module, "audio_seconds", seconds)
    planned = plan(make_corpus(3000, sessions=1, seconds=None), tmp_path, target=30_000)
    shards = planned.shards()
    first = next(shards)
    assert 29_700 < first.cost <= 30_000
    ahead = planning_module.CHUNK * (2 * planning_module.READERS + 2)
    assert 150 <= len(read) <= 150 + ahead < 1000
    rest = list(shards)
    assert len(read) == len(set(read)) == 3000
    assert sum(shard.cost for shard in [first, *rest]) == 600_000


def test_lengths_are_stated_or_measured_or_nothing(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(3, sessions=1, seconds=None)
    first, second, third = corpus
    soundfile.write(second.wav, np.zeros(8000), 16_000)
    third.wav.write_text("no audio")
    utterances = (dataclasses.replace(first, seconds=7.0), second, third)
    planned = plan(dataclasses.replace(corpus, utterances=utterances), tmp_path)
    assert list(planned.seconds(np.arange(3))) == [7.0, 0.5, 0.0]


@pytest.mark.parametrize("count", [100, 400])
def test_what_is_expected_is_exact_or_a_fair_estimate(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(planning_module, "PLANNED_WHOLE", 100)
    monkeypatch.setattr(planning_module, "SAMPLED", 50)
    monkeypatch.setattr(planning_module, "audio_seconds", lambda utterance: int(utterance.id[1:]) / 10)
    corpus = make_corpus(count, sessions=4, seconds=None)
    planned = plan(corpus, tmp_path)
    seen = looks_at(corpus)
    expected = planned.expected()
    assert len(seen) == (100 if count == 100 else 50)
    assert expected.utterances == count
    real = count * (count - 1) / 20
    assert expected.seconds == pytest.approx(real, rel=1e-9 if count == 100 else 0.03)
    assert expected.bytes == pytest.approx(100 * expected.seconds, rel=1e-3)


def test_what_is_committed_is_not_expected(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(12)
    shards = list(plan(corpus, tmp_path).shards())
    fail(tmp_path, corpus, shards[1])
    again = plan(corpus, tmp_path)
    assert again.expected().utterances == 9
    assert again.expected(shards[:3]).utterances == 9
    assert again.expected([]).bytes == 0


def test_committed_shards_are_looked_at_last_and_made_anew_when_their_inputs_changed(
    make_corpus: MakeCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(12)
    shards = list(plan(corpus, tmp_path).shards())
    for shard in shards[:3]:
        fail(tmp_path, corpus, shard)
    corpus.utterances[4].wav.write_text("was not there when it failed")
    read: list[str] = []
    sidecar = CacheFolder.sidecar

    def noted(self: CacheFolder, name: str) -> Sidecar:
        read.append(name)
        return sidecar(self, name)

    monkeypatch.setattr(CacheFolder, "sidecar", noted)
    planned = plan(corpus, tmp_path)
    todo = planned.to_do(planned.shards())
    assert next(todo).name == "session2-001"
    assert read == []
    assert [shard.name for shard in todo] == ["session1-001"]
    assert read == ["session1-000", "session1-001", "session2-000"]


def test_a_shard_made_anew_forgets_what_is_not_wanted(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(6, sessions=1)
    shards = list(plan(corpus, tmp_path).shards())
    for shard in shards:
        fail(tmp_path, corpus, shard)
    corpus.utterances[1].wav.write_text("changed")
    fewer = dataclasses.replace(corpus, utterances=corpus.utterances[1:])
    planned = plan(fewer, tmp_path)
    (stale,) = planned.to_do(planned.shards())
    assert stale.planned.ids == [u.id for u in planned.utterances(stale)] == ["u00001", "u00002"]
    fail(tmp_path, fewer, stale)
    after = plan(fewer, tmp_path)
    assert list(after.to_do(after.shards())) == []


def test_an_utterance_that_moves_to_another_session_leaves_its_shard(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(6)
    for shard in plan(corpus, tmp_path).shards():
        fail(tmp_path, corpus, shard)
    moved = dataclasses.replace(corpus.utterances[2], session="2")
    changed = dataclasses.replace(corpus, utterances=(*corpus.utterances[:2], moved, *corpus.utterances[3:]))
    planned = plan(changed, tmp_path)
    found = {shard.name: shard.planned.ids for shard in planned.to_do(planned.shards())}
    assert found == {"session2-001": ["u00002"], "session1-000": ["u00000", "u00001"]}


def test_a_selection_leaves_committed_shards_alone(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(6, sessions=1)
    for shard in plan(corpus, tmp_path).shards():
        fail(tmp_path, corpus, shard)
    some = dataclasses.replace(corpus, utterances=corpus.utterances[::2])
    planned = plan(some, tmp_path)
    shards = list(planned.shards())
    assert [len(shard.rows) for shard in shards] == [2, 1]
    assert list(planned.to_do(shards)) == []
    assert planned.asked(shards[0].planned.ids).tolist() == [True, False, True]


@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stream_does_not_depend_on_what_was_planned_and_committed_before(
    make_corpus: MakeCorpus, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    root: Path = tmp_path_factory.mktemp("plan")
    lengths = data.draw(st.lists(st.floats(0.1, 4.0), min_size=1, max_size=20))
    corpus = make_corpus(len(lengths), sessions=data.draw(st.integers(1, 3)))
    utterances = tuple(dataclasses.replace(u, seconds=s) for u, s in zip(corpus, lengths, strict=True))
    corpus = dataclasses.replace(corpus, utterances=utterances)
    whole = shape(plan(corpus, root / "whole").shards())
    for _ in range(2):
        stream = plan(corpus, root / "parts").shards()
        begun = [shard for _, shard in zip(range(data.draw(st.integers(0, len(whole)))), stream, strict=False)]
        for shard in begun:
            if data.draw(st.booleans()):
                fail(root / "parts", corpus, shard)
    assert shape(plan(corpus, root / "parts").shards()) == whole


def test_a_large_manifest_is_extracted_to_the_same_bytes(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_manifest(7)
    small_words = dataclasses.replace(config, granularities=("P", "W"))
    resources = Resources(device="cpu", workers=1, shard_bytes=60_000)
    found = []
    for rows in (1000, 0):
        monkeypatch.setattr(manifest, "LARGE", rows)
        corpus = open_corpus(path)
        assert isinstance(corpus.utterances, tuple) is (rows == 1000)
        result = extract(corpus, small_words, tmp_path / str(rows), resources=resources)
        found.append({shard.name: shard.read_bytes() for shard in result.folder.glob("shards/*.h5")})
        assert extract(corpus, small_words, tmp_path / str(rows), resources=resources).shards_made == 0
    assert len(found[0]) > 3
    assert found[0] == found[1]


def test_two_commands_that_plan_at_the_same_time_plan_the_same(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    corpus = make_corpus(30)
    one, other = plan(corpus, tmp_path).shards(), plan(corpus, tmp_path).shards()
    found = list(zip(one, other, strict=True))
    assert shape(iter([first for first, _ in found])) == shape(iter([second for _, second in found]))
    assert len(found) == 10


def test_two_commands_that_want_different_utterances_at_the_same_time_double_none(
    make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    corpus = make_corpus(30, sessions=1)
    some = dataclasses.replace(corpus, utterances=tuple(corpus)[::2])
    one, other = plan(corpus, tmp_path).shards(), plan(some, tmp_path).shards()
    ids = [i for shards in (next(one), next(other), next(other), *one, *other) for i in shards.planned.ids]
    assert sorted(ids) == [u.id for u in corpus]
