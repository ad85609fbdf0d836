"""Cached features as a dataset of PyTorch: which utterances, which numbers, in which process."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mer.cache import CacheFolder, CacheSet, FeatureCache, Units, UtteranceRecord, build_shard, open_cache, open_features
from mer.cache.cache_set import set_spec, write_set
from mer.heads import Batch, HeadConfig, HeadError, Item, UtteranceDataset
from mer.heads.training.planned_head import plan_head

ARCHIVE = Path(__file__).parents[1] / "data" / "results-v1"
LABELS = ("ang", "hap", "exc", "sad", "neu", "fru")
DIMS = {"S": (2, 4), "T": (3, 5)}


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    """Nine utterances in three sessions, in every granularity."""
    return open_cache(shutil.copytree(ARCHIVE / "features", tmp_path_factory.mktemp("archive") / "features"))


def written(root: Path, model: str, granularities: str, seed: int) -> CacheFolder:
    """Six labels in each of three sessions of an IEMOCAP that never was."""
    spec: dict[str, Any] = {
        "format_version": 1,
        "corpus": {"name": "iemocap", "kind": "iemocap", "synthetic": True},
        "granularities": list(granularities),
        "layers": {"speech": [1, 3], "text": [1, 2, 3]},
        "dim": {"speech": 4, "text": 5},
        "storage": {"dtype": "float16"},
        "speech": {"model": model},
        "text": {"model": "words"},
    }
    folder, random = CacheFolder.create(root, spec), np.random.default_rng(seed)
    for session in "123":
        utterances = []
        for number, label in enumerate(LABELS):
            text = label if label == "exc" else f"{label} {session}"
            record = UtteranceRecord(
                id=f"{session}-{label}", label=label, speaker=f"{session}{'FM'[number % 2]}", session=session, text=text,
                seconds=1.0, alignment="corpus", fingerprint="0" * 64,
            )  # fmt: skip
            units = {}
            for name in granularities:
                count = 1 + (number + int(session)) % 4
                data = random.standard_normal((count, *DIMS[name])).astype(np.float16)
                span = np.linspace(0.0, 1.0, 2 * count).reshape(count, 2) if name == "S" else None
                units[name] = Units(data=data, span=span, labels=("u",) * count if name == "S" else None)
            utterances.append((record, units))
        folder.commit(f"session{session}-000", build_shard(folder.spec, utterances, []), {"host": "test"})
    return folder


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return open_cache(written(tmp_path_factory.mktemp("iemocap"), "one", "ST", 0).path)


@pytest.fixture(scope="module")
def two_encoders(tmp_path_factory: pytest.TempPathFactory) -> CacheSet:
    root = tmp_path_factory.mktemp("two")
    made = [
        (written(root, "one", "ST", 1), {"speech": "one", "text": "words"}),
        (written(root, "two", "S", 2), {"speech": "two"}),
    ]
    write_set(root, set_spec([(folder.spec, names) for folder, names in made]))
    found = open_features(root)
    assert isinstance(found, CacheSet)
    return found


def test_the_test_parts_are_those_that_the_heads_of_that_cache_were_tested_on(archived: FeatureCache) -> None:
    (run,) = (ARCHIVE / "runs").glob("corpus-late-*")
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for fold in {row["fold"] for row in rows}:
        data = archived.dataset("S", fold=fold, split="test")
        assert set(data.ids) == {row["id"] for row in rows if row["fold"] == fold}
        told = {row["id"]: row["label"] for row in rows}
        assert [data.classes[int(target)] for target in data.targets] == [told[name] for name in data.ids]


@pytest.mark.parametrize(
    "settings",
    [{}, {"validation": "session"}, {"leave_out": "speaker", "fold_count": 3}, {"text_disjoint": True, "validation_share": 0.4}],
)
def test_folds_and_parts_are_those_of_a_training(iemocap: FeatureCache, settings: dict[str, Any], tmp_path: Path) -> None:
    config = HeadConfig(granularities=("S",), fusion="linear", modality="speech", seeds=(0, 3), **settings)
    head = plan_head(iemocap, config, tmp_path)
    assert iemocap.folds(**settings) == tuple(dict.fromkeys(fold.test_session for fold, _ in head.plan))
    for fold, seed in head.plan:
        for part in ("train", "validation", "test"):
            data = iemocap.dataset("S", fold=fold.test_session, split=part, seed=seed, **settings)
            assert data.ids == tuple(head.selection.ids[row] for row in getattr(fold, part))
            assert data.targets.tolist() == head.selection.targets[getattr(fold, part)].tolist()
            assert data.classes == head.classes.classes


def test_labels_are_merged_as_this_kind_of_corpus_has_it(iemocap: FeatureCache) -> None:
    data = iemocap.dataset("S")
    assert len(data) == 15  # fru is no class
    told = {name: data.classes[int(target)] for name, target in zip(data.ids, data.targets, strict=True)}
    assert told["1-exc"] == told["1-hap"] == "happy"
    assert len(iemocap.dataset("S", classes="as-is")) == 18
    assert iemocap.dataset("S", drop_class=["sad"]).classes == ("angry", "happy", "neutral")


def test_a_batch_is_padded_with_zeros_behind_what_the_cache_holds(iemocap: FeatureCache) -> None:
    data = iemocap.dataset("S+T", layers=[3], classes="as-is")
    batch = next(iter(DataLoader(data, batch_size=len(data))))
    assert isinstance(batch, Batch)
    assert batch.ids == data.ids
    assert batch.targets.tolist() == data.targets.tolist()
    for name, layer in (("S", 1), ("T", 2)):
        assert batch.units[name].dtype == torch.float32
        longest = int(batch.lengths[name].max())
        assert batch.units[name].shape == (18, longest, 1, DIMS[name][1])
        for row, utterance in enumerate(batch.ids):
            stored = iemocap.read(utterance, name)[:, layer : layer + 1].astype(np.float32)
            count = int(batch.lengths[name][row])
            assert count == len(stored)
            np.testing.assert_array_equal(batch.units[name][row, :count].numpy(), stored)
            assert not batch.units[name][row, count:].any()
            assert batch.mask(name)[row].tolist() == [place < count for place in range(longest)]
            mean = stored.astype(np.float64).mean(0)
            np.testing.assert_allclose(batch.mean(name)[row].numpy(), mean, rtol=1e-5, atol=1e-6)


def test_tensors_may_be_written_to_and_the_cache_stays_as_it_is(iemocap: FeatureCache) -> None:
    before = np.array(iemocap.read("1-ang", "S"))
    item = iemocap.dataset("S", dtype=torch.float16)[0]
    assert item.units["S"].dtype == torch.float16
    item.units["S"].zero_()
    np.testing.assert_array_equal(iemocap.read("1-ang", "S"), before)


def test_a_set_gives_the_units_of_each_encoder(two_encoders: CacheSet) -> None:
    data = two_encoders.dataset(("S@one", "S@two", "T"), fold=2, split="test")
    assert data.granularities == ("S@one", "S@two", "T@words")
    item = data[0]
    for name in data.granularities:
        np.testing.assert_array_equal(item.units[name].numpy(), two_encoders.read(item.id, name).astype(np.float32))
    assert {name.partition("-")[0] for name in data.ids} == {"2"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"granularity": "F"}, r"the cache holds S\+T, not F: `mer extract"),
        ({"granularity": "S", "layers": [2]}, "layers 2 of S are not in the cache, which holds 1, 3"),
        ({"granularity": "S", "fold": "1"}, "fold '1': which part of it\\? Give split train, validation or test, got None"),
        ({"granularity": "S", "split": "dev", "fold": "1"}, "got 'dev'"),
        ({"granularity": "S", "split": "test"}, "give one of 1, 2, 3 as fold, got None"),
        ({"granularity": "S", "split": "test", "fold": "Ses01"}, "give one of 1, 2, 3 as fold, got 'Ses01'"),
        ({"granularity": "S", "learning_rate": 1.0}, "unknown setting learning_rate, expected some of classes, drop_class"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(iemocap: FeatureCache, given: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        iemocap.dataset(**given)


def test_reprs_are_short(iemocap: FeatureCache) -> None:
    data = iemocap.dataset("S", fold="1", split="train", seed=2)
    assert repr(data) == f"<UtteranceDataset: train of fold 1, seed 2, {len(data)} utterances, S 2 x 4, 4 classes>"
    assert '<th scope="row">angry</th><td>' in data._repr_html_()
    assert repr(iemocap.dataset("S+T")[0]) == "<Item 1-ang: class 0, S 2 x 2 x 4, T 2 x 3 x 5>"
    assert repr(data.collate([data[0]])).startswith("<Batch of 1 utterances: S 1 x ")


def batches(data: UtteranceDataset, **how: Any) -> Iterator[Batch]:
    return iter(DataLoader(data, batch_size=4, **how))


def assert_same_batches(data: UtteranceDataset, **how: Any) -> None:
    count = 0
    for mine, theirs in zip(batches(data), batches(data, **how), strict=True):
        assert mine.ids == theirs.ids
        torch.testing.assert_close(mine.units["S"], theirs.units["S"], rtol=0, atol=0)
        torch.testing.assert_close(mine.lengths["S"], theirs.lengths["S"], rtol=0, atol=0)
        count += len(theirs)
    assert count == len(data)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_workers_that_are_forked_give_the_same_batches(iemocap: FeatureCache) -> None:
    assert_same_batches(iemocap.dataset("S"), num_workers=2, multiprocessing_context="fork")


def test_a_worker_that_is_spawned_gives_the_same_batches(iemocap: FeatureCache) -> None:
    assert_same_batches(iemocap.dataset("S"), num_workers=1, multiprocessing_context="spawn")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_both_kinds_give_the_same_batches(iemocap: FeatureCache, two_encoders: CacheSet, method: str) -> None:
    """Each worker imports PyTorch, which takes two core-seconds."""
    assert_same_batches(iemocap.dataset("S"), num_workers=2, multiprocessing_context=method)
    items = list(DataLoader(two_encoders.dataset("S@two"), num_workers=2, multiprocessing_context=method))
    assert [each.ids for each in items] == [(name,) for name in two_encoders.dataset("S@two").ids]


def test_a_shard_that_is_damaged_is_an_error_of_the_cache_in_a_worker_too(tmp_path: Path) -> None:
    folder = written(tmp_path, "one", "ST", 0)
    data = open_cache(folder.path).dataset("S")
    shard = folder.shard_path("session2-000")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match="the content was altered since it was committed"):
        list(DataLoader(data, num_workers=1, multiprocessing_context="fork"))


def test_items_know_how_they_are_put_together(iemocap: FeatureCache) -> None:
    data = iemocap.dataset("S")
    assert isinstance(data[0], Item)
    by_name = data.collate([data[0], data[1]])
    by_default = next(iter(DataLoader(data, batch_size=2)))
    torch.testing.assert_close(by_name.units["S"], by_default.units["S"], rtol=0, atol=0)
