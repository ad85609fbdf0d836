from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mer.heads import DivergedError, Epoch, FeatureSource, HeadConfig, HeadError, Job, StackListener, StackTrainer, TrainedRun
from mer.heads.features.statistics import membership_of, training_statistics
from mer.heads.fusion.build_head import build_head
from mer.heads.training.trained_run import EarlyStopping
from mer.protocol import Cut, Fold, make_fold

CPU = torch.device("cpu")
CONFIG = HeadConfig(granularities=("F",), modality="both", hidden=8, max_epochs=6, learning_rate=0.01, batch=8)
CacheMaker = Callable[..., Any]


def fold_of(cache: Any, seed: int = 0, session: str = "2") -> tuple[Fold, np.ndarray]:
    targets = np.array([("ang", "hap", "sad", "neu").index(label) for label in cache.utterances.labels])
    sessions, none = np.array(cache.utterances.sessions), np.zeros(0, dtype=np.int64)
    test = np.flatnonzero(sessions == session)
    cut = Cut(name=session, train=np.flatnonzero(sessions != session), dev=none, test=test)
    columns = {"sessions": sessions.tolist(), "groups": sessions.tolist(), "classes": ["angry", "happy", "sad", "neutral"]}
    fold = make_fold(cut, **columns, targets=targets, seed=seed)
    return fold, targets


def train_all(
    cache: Any,
    config: HeadConfig,
    runs: Sequence[tuple[str, int]],
    *,
    stack: int = 1,
    packed: dict[str, Any] | None = None,
    targets: np.ndarray | None = None,
    normalize: bool = True,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_stack: Callable[[int], None] = lambda runs: None,
) -> dict[tuple[str, int], TrainedRun | DivergedError]:
    """What became of each (session, seed)."""
    units = packed or {name: cache.packed(name) for name in config.branches}
    jobs = []
    _, own_targets = fold_of(cache)
    for session, seed in runs:
        fold, _ = fold_of(cache, seed, session)
        members = membership_of([fold.train], len(own_targets))
        statistics = {name: training_statistics(each, members)[0] for name, each in units.items()} if normalize else {}
        jobs.append(Job(fold=fold, seed=seed, statistics=statistics))
    sources = {name: FeatureSource(each, device=CPU) for name, each in units.items()}
    trainer = StackTrainer(sources, own_targets if targets is None else targets, 4, config, CPU)
    found: dict[tuple[str, int], TrainedRun | DivergedError] = {}

    def on_run(job: Job, outcome: TrainedRun | DivergedError) -> None:
        found[job.fold.test_session, job.seed] = outcome

    trainer.train(jobs, stack=stack, listener=StackListener(epoch=lambda job, epoch: on_epoch(epoch), run=on_run, stack=on_stack))
    return found


def train(cache: Any, config: HeadConfig = CONFIG, *, seed: int = 0, **other: Any) -> TrainedRun:
    (outcome,) = train_all(cache, config, [("2", seed)], **other).values()
    if isinstance(outcome, DivergedError):
        raise outcome
    return outcome


def test_a_planted_signal_is_learned_and_found_in_its_layer(make_cache: CacheMaker) -> None:
    cache = make_cache(signal=3.0, each=40)
    config = HeadConfig(granularities=("F",), hidden=16, max_epochs=15, learning_rate=0.05, batch=8)
    run = train(cache, config)
    fold, targets = fold_of(cache)
    assert (run.logits.argmax(1) == targets[fold.test]).mean() > 0.75
    assert int(np.argmax(run.layer_shares["F"])) == 1


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(make_cache: CacheMaker) -> None:
    cache = make_cache()
    first, second, third = train(cache), train(cache), train(cache, seed=1)
    assert first.epochs == second.epochs
    for name, value in first.weights.items():
        assert torch.equal(value, second.weights[name])
    np.testing.assert_array_equal(first.logits, second.logits)
    assert first.epochs != third.epochs


def test_the_global_generators_are_left_alone(make_cache: CacheMaker) -> None:
    cache = make_cache()
    before = torch.get_rng_state()
    first = train(cache)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert train(cache).epochs == first.epochs


class LateTest:
    """Features that raise when a test row is read while training goes on."""

    def __init__(self, packed: Any, test: Sequence[int]) -> None:
        self.inner, self.test, self.allowed = packed, set(test), False
        self.lengths, self.nbytes, self.layers, self.dim = packed.lengths, packed.nbytes, packed.layers, packed.dim

    def views(self, rows: Sequence[int]) -> Any:
        if not self.allowed and self.test & set(rows):
            raise AssertionError("a test utterance was read while training")
        return self.inner.views(rows)

    def release(self, rows: Sequence[int]) -> None:
        self.inner.release(rows)

    def prefetch(self, rows: Sequence[int]) -> None:
        if not self.allowed and self.test & set(rows):
            raise AssertionError("a test utterance was asked for while training")
        self.inner.prefetch(rows)


def test_no_test_utterance_is_read_before_the_last_epoch_is_over(make_cache: CacheMaker) -> None:
    cache = make_cache()
    fold, _ = fold_of(cache)
    guarded = {name: LateTest(cache.packed(name), fold.test.tolist()) for name in CONFIG.branches}

    def on_epoch(epoch: Epoch) -> None:
        for each in guarded.values():
            each.allowed = epoch.epoch == CONFIG.max_epochs

    config = HeadConfig(granularities=("F",), hidden=8, max_epochs=6, patience=6, learning_rate=0.01, batch=8)
    run = train(cache, config, packed=guarded, on_epoch=on_epoch)
    assert len(run.epochs) == 6
    guarded["F"].allowed = False
    with pytest.raises(AssertionError, match="was read while training"):
        guarded["F"].views(fold.test.tolist())


def test_what_the_test_labels_are_changes_no_weight(make_cache: CacheMaker) -> None:
    cache = make_cache()
    fold, targets = fold_of(cache)
    others = targets.copy()
    others[fold.test] = (others[fold.test] + 1) % 4
    first, second = train(cache), train(cache, targets=others)
    assert first.epochs == second.epochs
    assert all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())


def test_every_training_utterance_is_visited_once_an_epoch(make_cache: CacheMaker) -> None:
    cache = make_cache()
    fold, _ = fold_of(cache)
    packed = {name: cache.packed(name) for name in CONFIG.branches}
    seen: list[list[int]] = []

    def on_epoch(epoch: Epoch) -> None:
        seen.append(list(packed["T"].viewed))
        packed["T"].viewed.clear()

    config = HeadConfig(granularities=("F",), hidden=4, max_epochs=2, batch=8)
    train(cache, config, packed=packed, normalize=False, on_epoch=on_epoch)
    for rows in seen:
        assert sorted(rows[: len(fold.train)]) == fold.train.tolist()
        assert rows[len(fold.train) :] == fold.validation.tolist()
    assert seen[0] != seen[1]


def test_stopping_waits_for_patience_and_the_lowest_loss_is_kept() -> None:
    head = build_head(CONFIG, {"F": (2, 3)}, 4, 0, "1")
    stopping = EarlyStopping(2)
    said = []
    for epoch, loss in enumerate([1.0, 0.5, 0.7, 0.4, 0.4, 0.6], start=1):
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.fill_(epoch)
        said.append(stopping.should_stop(epoch, loss, head))
    assert said == [False, False, False, False, False, True]
    assert stopping.best_epoch == 4
    assert all((value == 4).all() for value in stopping.weights.values())


def test_training_stops_early_and_predicts_with_the_best_epoch(make_cache: CacheMaker) -> None:
    """Labels are noise and steps are large, so that the validation loss soon rises."""
    cache = make_cache(signal=0.0)
    wild = HeadConfig(granularities=("F",), hidden=16, max_epochs=60, patience=3, learning_rate=0.05, batch=8)
    run = train(cache, wild)
    losses = [epoch.validation_loss for epoch in run.epochs]
    assert len(losses) == run.best_epoch + 3 < 60
    assert run.best_epoch == int(np.argmin(losses)) + 1
    shorter = train(cache, HeadConfig(**{**wild_fields(wild), "max_epochs": run.best_epoch}))
    np.testing.assert_array_equal(shorter.logits, run.logits)
    for name, value in run.weights.items():
        assert torch.equal(value, shorter.weights[name])


def wild_fields(config: HeadConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("granularities", "hidden", "patience", "learning_rate", "batch")}


def test_a_loss_that_is_no_number_ends_the_run_with_epoch_and_step(make_cache: CacheMaker) -> None:
    cache = make_cache()
    fold, _ = fold_of(cache)
    row = int(fold.train[0])
    poisoned = cache.units["F"][row].copy()
    poisoned[0, 0, 0] = np.nan
    packed = {name: cache.packed(name) for name in CONFIG.branches}

    def poison(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            packed["F"].arrays[row] = poisoned

    with pytest.raises(DivergedError, match=r"fold 2, seed 0, epoch 3, step \d: the loss is nan"):
        train(cache, packed=packed, on_epoch=poison)


def test_weights_start_from_the_seed_and_the_fold() -> None:
    shapes = {"F": (2, 3)}
    first = build_head(CONFIG, shapes, 4, 0, "1").state_dict()["branches.F.w1"]
    assert torch.equal(first, build_head(CONFIG, shapes, 4, 0, "1").state_dict()["branches.F.w1"])
    assert not torch.equal(first, build_head(CONFIG, shapes, 4, 1, "1").state_dict()["branches.F.w1"])
    assert not torch.equal(first, build_head(CONFIG, shapes, 4, 0, "2").state_dict()["branches.F.w1"])
    assert float(first.abs().max()) <= 1 / np.sqrt(3)


HEADS = {
    "linear": HeadConfig(granularities=("F",), modality="speech", fusion="linear", hidden=16, max_epochs=5, batch=8),
    "late": HeadConfig(granularities=("F", "S"), hidden=16, max_epochs=5, batch=8, learning_rate=0.01, patience=2),
    "weighted": HeadConfig(
        modality="text", fusion="linear", hidden=8, max_epochs=3, batch=8, class_weights="balanced", loss="focal"
    ),
    "concatenation": HeadConfig(granularities=("F",), fusion="concatenation", hidden=16, max_epochs=4, batch=8),
    "transformer": HeadConfig(
        granularities=("S",), modality="speech", fusion="transformer", hidden=16, max_epochs=3, batch=8, attention_heads=4
    ),
    "coattention": HeadConfig(
        granularities=("F", "S"),
        fusion="coattention",
        max_epochs=2,
        batch=8,
        attention_heads=4,
        attention_layers=2,
        learning_rate=1e-3,
    ),
}
RUNS = [("1", 0), ("2", 0), ("3", 0), ("1", 1), ("2", 1), ("3", 1)]


@pytest.mark.parametrize("name", HEADS)
def test_a_run_trained_in_a_stack_is_the_run_trained_alone(make_cache: CacheMaker, name: str) -> None:
    """Runs of other folds and seeds, which stop at other epochs, change nothing; neither does filling free places."""
    cache, config = make_cache(dim=16), HEADS[name]
    alone = train_all(cache, config, RUNS)
    for stack in (6, 4):
        together = train_all(cache, config, RUNS, stack=stack)
        for key, run in alone.items():
            other = together[key]
            assert isinstance(run, TrainedRun)
            assert isinstance(other, TrainedRun)
            np.testing.assert_allclose(other.logits, run.logits, rtol=1e-4, atol=1e-5)
            assert other.best_epoch == run.best_epoch
            assert len(other.epochs) == len(run.epochs)
    assert not np.allclose(alone["1", 0].logits, alone["1", 1].logits)  # type: ignore[union-attr]


def test_late_runs_in_a_stack_have_the_very_bits_they_have_alone(make_cache: CacheMaker) -> None:
    cache = make_cache(dim=16)
    alone, together = train_all(cache, HEADS["late"], RUNS), train_all(cache, HEADS["late"], RUNS, stack=6)
    for key, run in alone.items():
        np.testing.assert_array_equal(run.logits, together[key].logits)  # type: ignore[union-attr]


def test_a_run_that_diverges_leaves_the_stack_and_the_others_go_on_untouched(make_cache: CacheMaker) -> None:
    cache = make_cache(dim=16)
    config = HEADS["late"]
    clean = train_all(cache, config, RUNS, stack=6, normalize=False)
    # Session 1's utterances are poisoned: every run but those that test on it sees them in training.
    for row, session in enumerate(cache.utterances.sessions):
        if session == "1":
            poisoned = cache.units["F"][row].copy()
            poisoned[:, 0] = np.inf
            cache.units["F"][row] = poisoned
    found = train_all(cache, config, RUNS, stack=6, normalize=False)
    for key in RUNS:
        assert isinstance(found[key], DivergedError)
    assert "epoch 1, step 1: the loss is nan" in str(found["2", 0])
    assert "test utterances are no numbers" in str(found["1", 0])
    half = [("1", 0), ("1", 1)]
    assert all(isinstance(clean[key], TrainedRun) for key in half)


def test_the_stack_is_halved_when_memory_runs_out_and_the_numbers_are_the_same(
    make_cache: CacheMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, config, halved = make_cache(dim=16), HEADS["late"], list[int]()
    expected = train_all(cache, config, RUNS)
    forward = StackTrainer._forward

    def too_much(self: StackTrainer, runs: Sequence[Any], *rest: Any) -> torch.Tensor:
        if len(runs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, runs, *rest)

    monkeypatch.setattr(StackTrainer, "_forward", too_much)
    found = train_all(cache, config, RUNS, stack=6, on_stack=halved.append)
    assert halved == [3, 1]
    for key, run in expected.items():
        np.testing.assert_array_equal(found[key].logits, run.logits)  # type: ignore[union-attr]


def test_a_single_run_that_does_not_fit_says_what_to_turn(make_cache: CacheMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*anything: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(StackTrainer, "_forward", full)
    with pytest.raises(
        HeadError, match=r"fold 2, seed 0: out of memory with a single run .*: use --device cpu|a smaller --batch"
    ):
        train(make_cache())


def test_other_errors_of_torch_are_not_taken_for_memory(make_cache: CacheMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*anything: Any) -> torch.Tensor:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(StackTrainer, "_forward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        train(make_cache())
