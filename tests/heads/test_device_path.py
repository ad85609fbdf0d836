"""Runs that are computed together on a device give what each gives alone, and what the CPU's own path gives."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mer.heads import FeatureSource, HeadConfig, HeadError, Job, StackListener, StackTrainer, Statistics, TrainedRun
from mer.heads.config import head_config
from mer.heads.features.feature_store import FeatureStore
from mer.heads.kinds import HEADS
from mer.heads.stacked.device.device_path import DevicePath, default_path
from mer.heads.training.step_plans import EpochOf, StepPlans
from mer.protocol import Fold

CPU = torch.device("cpu")
PLAIN = DevicePath(kernels=False)
BRANCHES = {"late": "F+T", "concatenation": "F+T", "coattention": "F+S+T", "linear": "F", "transformer": "F"}
UTTERANCES = 12


def config_of(fusion: str, **fields: Any) -> HeadConfig:
    single = {"modality": "speech"} if fusion in {"linear", "transformer"} else {}
    shape = {"hidden": 6, "batch": 3, "max_epochs": 2, "patience": 1, "learning_rate": 0.01, "attention_layers": 1}
    return head_config(fusion=fusion, granularities=tuple(BRANCHES[fusion].split("+")), **single, **(shape | fields))


def jobs_of(runs: int, layers: int = 3, dim: int = 8) -> list[Job]:
    """Folds of unequal size, so that some runs of a stack have no batch left when others have."""
    jobs = []
    for run in range(runs):
        random = np.random.default_rng(run)
        rest, test = (np.flatnonzero((np.arange(UTTERANCES) % 3 == run % 3) == other) for other in (False, True))
        fold = Fold(test_session=str(run % 3), train=rest[2 + 3 * (run % 2) :], validation=rest[:2], test=test)
        mean, std = (
            torch.from_numpy(random.standard_normal((layers, dim))),
            torch.from_numpy(random.uniform(0.5, 2, (layers, dim))),
        )
        jobs.append(Job(fold=fold, seed=run // 3, statistics={"F": Statistics(mean=mean.float(), std=std.float())}))
    return jobs


def train(
    cache: Any,
    config: HeadConfig,
    path: DevicePath | None,
    jobs: Sequence[Job],
    stack: int,
    sources: dict[str, FeatureSource] | None = None,
) -> dict[tuple[str, int], TrainedRun]:
    sources = sources or {
        name: FeatureSource(cache.packed(name, range(UTTERANCES)), device=CPU, resident=path is not None)
        for name in config.branches
    }
    trainer = StackTrainer(sources, np.arange(UTTERANCES) % 4, 4, config, CPU, path=path)
    found = {}

    def keep(job: Job, outcome: Any) -> None:
        found[job.fold.test_session, job.seed] = outcome

    trainer.train(jobs, stack=stack, listener=StackListener(run=keep))
    return found


def compare(
    found: dict[tuple[str, int], TrainedRun], expected: dict[tuple[str, int], TrainedRun], *, rtol: float, atol: float
) -> None:
    assert set(found) == set(expected)
    for key, run in expected.items():
        assert (len(found[key].epochs), found[key].best_epoch) == (len(run.epochs), run.best_epoch)
        pairs = [(found[key].logits, run.logits), *((found[key].weights[name], each) for name, each in run.weights.items())]
        pairs += [(found[key].layer_shares[name], each) for name, each in run.layer_shares.items()]
        pairs += [(each.train_loss, other.train_loss) for each, other in zip(found[key].epochs, run.epochs, strict=True)]
        for one, other in pairs:
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=rtol, atol=atol)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products of a few values: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FEW_SECONDS = [pytest.param(name, marks=[pytest.mark.slow] * (name == "coattention")) for name in HEADS.added]
"""Without kernels an attention head is computed run by run: one of them is enough."""


@pytest.mark.parametrize("fusion", FEW_SECONDS)
def test_it_gives_what_the_path_of_a_cpu_gives(make_cache: Callable[..., Any], fusion: str) -> None:
    config, cache = config_of(fusion, dropout=0.0, class_weights="balanced"), make_cache()
    # Three runs through two places: runs enter and leave.
    compare(train(cache, config, PLAIN, jobs_of(3), 2), train(cache, config, None, jobs_of(3), 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", FEW_SECONDS)
def test_a_run_alone_gives_the_same_with_dropout(make_cache: Callable[..., Any], fusion: str) -> None:
    config, cache = config_of(fusion, dropout=0.3, max_epochs=1), make_cache()
    together = train(cache, config, PLAIN, jobs_of(2), 2)
    alone = train(cache, config, PLAIN, jobs_of(2)[1:], 1)
    key = next(iter(alone))
    compare({key: together[key]}, alone, rtol=1e-5, atol=1e-6)
    if fusion == "linear":
        without = train(cache, config_of(fusion, dropout=0.0, max_epochs=1), PLAIN, jobs_of(2)[1:], 1)
        assert not np.allclose(alone[key].logits, without[key].logits, atol=1e-3)


def test_features_that_come_step_by_step_and_plans_ahead_give_the_same_bits(
    make_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three runs through two places, some stopped early: guesses of who stays are right and wrong.
    config, cache, found = config_of("late", dropout=0.3, max_epochs=5, patience=2), make_cache(), []
    text = cache.packed("T", range(UTTERANCES)).nbytes
    for ahead, limit, sentence in (
        (0, 1.0, r"features in GPU memory \(GiB: F 0.00, T 0.00\)"),
        (3, text / 2**30, r".*mapped from disk and copied to the GPU step by step \(GiB: F.*in GPU memory \(GiB: T"),
    ):
        monkeypatch.setattr("mer.heads.training.step_plans.AHEAD", ahead)
        store = FeatureStore(CPU, device_memory_gib=limit, own_memory=True)
        sources, _, said = store.open(cache, config.branches, range(UTTERANCES))
        assert re.match(sentence, said), said
        found.append(train(cache, config, PLAIN, jobs_of(3), 2, sources))
    # A limit of none, in a stream whose pages are let go: nothing stays behind.
    source = FeatureSource(cache.packed("F", range(UTTERANCES)), device=CPU, by_step=True, stream=True)
    found.append(train(cache, config, PLAIN, jobs_of(3), 2, sources | {"F": source}))
    assert set(cache.opened["F"].released) == set(range(UTTERANCES))
    for other in found[1:]:
        compare(other, found[0], rtol=0, atol=0)


def test_the_next_epoch_is_planned_before_the_validation_of_this_one_is_read(
    make_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[str, EpochOf]] = []
    begin, evaluate = StepPlans._begin, StackTrainer._evaluate
    waited: list[int] = []

    def begun(self: StepPlans, epoch: EpochOf, whole: bool) -> Any:
        planned.append((threading.current_thread().name, epoch))
        return begin(self, epoch, whole)

    def evaluated(self: StackTrainer, active: Any, rows: Any) -> Any:
        if self._plans._expected is not None:
            self._plans._expected[1].result(timeout=60)
        waited.append(len(planned))
        return evaluate(self, active, rows)

    monkeypatch.setattr(StepPlans, "_begin", begun)
    monkeypatch.setattr(StackTrainer, "_evaluate", evaluated)
    train(make_cache(), config_of("linear", max_epochs=3, patience=9), PLAIN, jobs_of(2), 2)
    # An evaluation after each epoch, and the test at the end: the third epoch was planned when the second was validated.
    assert waited == [2, 3, 3, 3]
    assert [epoch.keys for _, epoch in planned] == [[(0, number), (0, number)] for number in (1, 2, 3)]
    assert [name.startswith("expect") for name, _ in planned] == [False, True, True]


def test_bfloat16_is_another_result_and_the_others_differ_by_rounding_only() -> None:
    default, rounded, half = (config_of("late", precision=each).identity() for each in (None, "float32", "bfloat16"))
    assert default == rounded
    assert half == default | {"precision": "bfloat16"}
    with pytest.raises(HeadError, match="precision 'tf32' needs a GPU, and this is a CPU"):
        default_path(CPU, "tf32")
    found = default_path(torch.device("cuda"), None)
    assert found is not None
    assert found.precision == "tf32"
    assert default_path(CPU, None) is None
    path = DevicePath(kernels=True, precision="tf32")
    assert path.sentence(together=True) == "products in tf32, Triton kernels"
    assert path.sentence(together=False).startswith("products in float32, PyTorch operations run after run, as the head has")
    assert DevicePath(kernels=False, precision="tf32").products(together=True) == "float32"


def test_products_in_bfloat16_stay_close(make_cache: Callable[..., Any]) -> None:
    config, cache = config_of("linear", dropout=0.0), make_cache()
    half = train(cache, config, DevicePath(kernels=False, precision="bfloat16"), jobs_of(2), 2)
    single = train(cache, config, PLAIN, jobs_of(2), 2)
    for key, run in single.items():
        assert 1e-5 < np.abs(half[key].logits - run.logits).max() < 0.2


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:All-NaN")
def test_a_weight_that_its_copy_in_float16_cannot_hold_ends_its_run_and_no_other(
    make_cache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    build = StackTrainer._build

    def with_a_large_weight(trainer: StackTrainer, job: Job) -> Any:
        head = build(trainer, job)
        weights = next(each for name, each in head.named_parameters() if name.endswith(".w2"))
        weights.data[0, 0] = -7e4 if job.fold.test_session == "1" else -6e4
        return head

    monkeypatch.setattr(StackTrainer, "_build", with_a_large_weight)
    config = config_of("linear", max_epochs=1, dropout=0.0)
    found: dict[Any, Any] = dict(train(make_cache(), config, DevicePath(kernels=True, precision="tf32"), jobs_of(2), 2))
    assert isinstance(found["0", 0], TrainedRun)
    said = r"fold 1, seed 0, epoch 1: a weight of .* is beyond what products in this precision read of it \(65504 in TF32\)"
    assert re.match(said, str(found["1", 0]))


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["linear", "concatenation"])
def test_training_by_kernels_gives_what_training_by_operations_gives_dropout_included(
    make_cache: Callable[..., Any], fusion: str
) -> None:
    pytest.importorskip("triton")
    config, cache = config_of(fusion, dropout=0.3), make_cache()
    # One granularity is not on the device.
    sources = {
        name: FeatureSource(cache.packed(name, range(UTTERANCES)), device=CPU, resident=name != "F", by_step=True)
        for name in config.branches
    }
    kernels = train(cache, config, DevicePath(kernels=True), jobs_of(2), 2, sources)
    compare(kernels, train(cache, config, PLAIN, jobs_of(2), 2), rtol=1e-4, atol=1e-5)
