"""One run: what it computes, that it goes on where it stopped, and what it says when it cannot."""

import itertools
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

import mer.finetune.trainer as module
from mer.finetune.auxiliary import draw_pairing, pair_classes
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import DivergedError, FinetuneError
from mer.finetune.evaluation import evaluate
from mer.finetune.events import CheckpointSkipped, CheckpointWritten, EpochDone, Event, RunStarted, StepDone
from mer.finetune.losses import Sums
from mer.finetune.model import FinetuneModel
from mer.finetune.sampler import plan_epoch
from mer.finetune.step import Stepper
from mer.finetune.trainable import load_encoders
from mer.finetune.trained import BestWeights, Trained
from mer.protocol import numpy_generator
from mer.tests.finetune import small_run as small

NarrowConfig = Callable[..., FinetuneConfig]


STEPS = 3  # of an epoch of 14 utterances in batches of 5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture
def config(narrow_config: NarrowConfig) -> FinetuneConfig:
    return narrow_config(**small.SETTINGS)


Outcome = tuple[Trained, dict[str, torch.Tensor]]


def finish(config: FinetuneConfig, corpus: Path, run: Path, listener: Callable[[Event], None] = lambda event: None) -> Outcome:
    trained, model = small.train(config, corpus, run, listener)
    return trained, model.state_dict()


def alone(model: FinetuneModel, config: FinetuneConfig, corpus: Path) -> np.ndarray:
    """Logits of the test utterances, one at a time."""
    reader = BatchReader(small.utterances(corpus), small.TARGETS, range(22), load_encoders(config), config)
    with torch.inference_mode():
        return torch.cat([model(reader.read([row])).logits for row in small.FOLD.test.tolist()]).numpy()


def assert_same(one: Outcome, two: Outcome) -> None:
    """In every bit, and in all but the time it took."""
    timeless = [[replace(epoch, seconds=0.0) for epoch in each.epochs] for each, _ in (one, two)]
    assert timeless[0] == timeless[1]
    assert one[0].best_epoch == two[0].best_epoch
    np.testing.assert_array_equal(one[0].logits, two[0].logits)
    assert one[1].keys() == two[1].keys()
    assert all(torch.equal(value, two[1][name]) for name, value in one[1].items())


@pytest.fixture(scope="module")
def whole(narrow_config: NarrowConfig, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run that nothing stopped, and that wrote no checkpoint."""
    config = narrow_config(**small.SETTINGS | {"checkpoint_minutes": 60.0})
    folder = tmp_path_factory.mktemp("whole")
    outcome = finish(config, corpus, folder)
    assert list(folder.iterdir()) == []
    return outcome


MORE_STOPS = [pytest.param(stops, marks=pytest.mark.slow) for stops in ((1,), (2,), (4,), (5,), (6,), (2, 2, 2))]


@pytest.mark.parametrize("stops", [(3,), (1, 2, 1, 2), *MORE_STOPS])
def test_a_run_that_was_stopped_and_resumed_ends_as_an_uninterrupted_one(
    stops: tuple[int, ...], config: FinetuneConfig, corpus: Path, whole: Outcome, tmp_path: Path
) -> None:
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            small.train(config, corpus, tmp_path, small.stop_after(stop))
    events: list[Event] = []
    assert_same(finish(config, corpus, tmp_path, events.append), whole)
    assert isinstance(events[0], RunStarted)
    done = sum(stops) - 1
    assert events[0].resumed == (done // STEPS + 1, done % STEPS + 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_in_the_middle_of_a_step_ends_it_after_the_step_with_a_checkpoint(
    number: signal.Signals,
    config: FinetuneConfig,
    corpus: Path,
    whole: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, calls, take = replace(config, checkpoint_minutes=60.0), itertools.count(1), Stepper.take

    def stopped(*arguments: Any) -> Any:
        if next(calls) == 2:
            signal.raise_signal(number)
        return take(*arguments)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "take", stopped)
        with pytest.raises(KeyboardInterrupt) as ended:
            small.train(config, corpus, tmp_path)
    assert getattr(ended.value, "code", 130) == 128 + number
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    events: list[Event] = []
    assert_same(finish(config, corpus, tmp_path, events.append), whole)
    assert isinstance(events[0], RunStarted)
    assert events[0].resumed == (1, 2)


def test_a_run_that_was_stopped_after_its_last_checkpoint_is_only_tested(
    config: FinetuneConfig, corpus: Path, whole: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        calls = itertools.count(1)

        def stopping(*arguments: Any) -> Any:
            if next(calls) == 3:
                raise KeyboardInterrupt
            return evaluate(*arguments)

        patched.setattr(module, "evaluate", stopping)
        with pytest.raises(KeyboardInterrupt):
            small.train(config, corpus, tmp_path)
    events: list[Event] = []
    assert_same(finish(config, corpus, tmp_path, events.append), whole)
    assert [type(event) for event in events] == [RunStarted]


def test_a_torn_checkpoint_is_passed_over_and_the_result_is_the_same(
    config: FinetuneConfig, corpus: Path, whole: Outcome, tmp_path: Path
) -> None:
    config = replace(config, keep=2)
    with pytest.raises(KeyboardInterrupt):
        small.train(config, corpus, tmp_path, small.stop_after(5))
    newest = max((tmp_path / "checkpoints").iterdir())
    (newest / "model.safetensors").write_bytes(b"torn")
    events: list[Event] = []
    assert_same(finish(config, corpus, tmp_path, events.append), whole)
    assert isinstance(events[0], CheckpointSkipped)
    assert (events[0].path, events[0].reason[:27]) == (newest, "model.safetensors has 4 byt")
    assert isinstance(events[1], RunStarted)
    assert events[1].resumed == (2, 1)


@pytest.mark.parametrize("rule", ["validation", pytest.param("last", marks=pytest.mark.slow)])
def test_the_weights_of_the_best_epoch_survive_a_resume(
    rule: str, config: FinetuneConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse_in_epoch_2(model: Any, reader: Any, rows: Any, config: Any, accelerator: Any, position: Any) -> Any:
        logits = evaluate(model, reader, rows, config, accelerator, position)
        return logits if 18 in rows else F.one_hot(torch.from_numpy(small.TARGETS[rows]), 4).double() / position.epoch

    monkeypatch.setattr(module, "evaluate", worse_in_epoch_2)
    config = replace(config, epoch_selection=rule)
    trained, model = small.train(config, corpus, tmp_path / "whole")
    np.testing.assert_allclose(trained.logits, alone(model, config, corpus), atol=2e-6)
    expected = trained, model.state_dict()
    assert expected[0].best_epoch == (1 if rule == "validation" else 2)
    with pytest.raises(KeyboardInterrupt):
        small.train(config, corpus, tmp_path / "stopped", small.stop_after(5))
    assert_same(finish(config, corpus, tmp_path / "stopped"), expected)
    last = load_file(tmp_path / "whole" / "checkpoints" / "step-000006" / "model.safetensors")
    assert all(torch.equal(value, last[name]) for name, value in expected[1].items()) == (rule == "last")


def test_only_a_lower_loss_changes_the_selection() -> None:
    selection, model = BestWeights("validation"), torch.nn.Linear(1, 1)
    for epoch, loss in enumerate((0.5, 0.4, 0.4, 0.6), start=1):
        torch.nn.init.constant_(model.weight, epoch)
        selection.note(epoch, loss, model)
    selection.apply(model)
    assert (selection.best_epoch, selection.lowest, model.weight.item()) == (2, 0.4, 2.0)


def test_the_result_does_not_depend_on_the_global_generators_and_leaves_them_alone(
    config: FinetuneConfig, corpus: Path, whole: Outcome, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before: Any = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    assert_same(finish(config, corpus, tmp_path), whole)
    assert torch.equal(torch.get_rng_state(), before[0])
    after: Any = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], before[1][1])


def first_moments(run: Path, step: int = 1) -> dict[str, torch.Tensor]:
    """A tenth of the gradients of the first step: AdamW's exp_avg after it."""
    saved = load_file(run / "checkpoints" / f"step-{step:06d}" / "optimizer.safetensors")
    return {name.removeprefix("exp_avg."): value for name, value in saved.items() if name.startswith("exp_avg.")}


@pytest.mark.parametrize("aux", ["none", "1+2"])
def test_the_gradient_of_a_step_is_that_of_the_mean_over_its_utterances_and_pairs(
    aux: str, narrow_config: NarrowConfig, corpus: Path, tmp_path: Path
) -> None:
    settings = small.SETTINGS | {"batch": 14, "epochs": 1, "aux": aux, "clip": 0.0, "aux_weights": (0.5, 3.0)}
    config = narrow_config(calm=True, **settings)
    small.train(config, corpus, tmp_path)
    encoders = load_encoders(config)
    model = FinetuneModel(config, encoders, 4, seed_generator=torch.Generator().manual_seed(7)).double()
    reader = BatchReader(small.utterances(corpus), small.TARGETS, range(14), encoders, config)
    (plan,) = plan_epoch(reader.lengths, range(14), config, 3, 1, 1)
    assert len(plan.micro_batches) > 2
    model.train()
    batch = reader.read(sorted(plan.placed))  # the whole step in one pass, in the order in which pairs are drawn
    pairing = draw_pairing(batch.labels, numpy_generator(3, "pairing", "5", 1, 0))
    encoded = model.encode(batch)
    assert encoded.audio is not None
    assert encoded.text is not None
    loss = F.cross_entropy(model.emotion(model._embed(encoded.audio, encoded.text)), batch.labels)
    if model.pair is not None:
        pairs = model.pair(model._embed(encoded.audio, encoded.text.pick(pairing.permutation)))
        loss = loss + 0.5 * F.cross_entropy(pairs, pair_classes(batch.labels, pairing.permutation, 4))
        same = model.emotion(model._embed(encoded.audio.pick(pairing.audio), encoded.text.pick(pairing.text)))
        loss = loss + 3.0 * F.cross_entropy(same, batch.labels[pairing.audio])
    loss.backward()
    moments = first_moments(tmp_path)
    expected = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moments.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values() if value is not None)
    for name, value in expected.items():
        assert value is not None
        torch.testing.assert_close(10 * moments[name].double(), value, rtol=1e-4, atol=1e-6 * largest, msg=name)


def test_gradients_are_clipped_together(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    small.train(replace(config, clip=0.25, epochs=1, keep=5), corpus, tmp_path, events.append)
    norm = next(event.gradient_norm for event in events if isinstance(event, StepDone))
    assert norm > 0.25
    clipped = torch.cat([10 * value.flatten() for value in first_moments(tmp_path).values()]).norm()
    assert float(clipped) == pytest.approx(0.25, rel=1e-4)


def test_rates_follow_the_schedule_and_the_groups(
    config: FinetuneConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []
    step = torch.optim.AdamW.step

    def spying(self: torch.optim.AdamW, *arguments: Any) -> Any:
        seen.append({group["name"]: group["lr"] for group in self.param_groups})
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spying)
    small.train(replace(config, warmup=0.34, encoder_rate=3e-5, fusion_rate=2e-4), corpus, tmp_path)
    factors = [1 / 3, 2 / 3, 1, 3 / 4, 1 / 2, 1 / 4]
    assert [each["encoders.matrices"] for each in seen] == pytest.approx([3e-5 * factor for factor in factors])
    assert [each["fusion.vectors"] for each in seen] == pytest.approx([2e-4 * factor for factor in factors])


def test_the_test_part_is_looked_at_once_and_last(
    config: FinetuneConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[list[int]] = []

    def noted(model: Any, reader: Any, rows: list[int], *rest: Any) -> Any:
        looked.append(rows)
        return evaluate(model, reader, rows, *rest)

    monkeypatch.setattr(module, "evaluate", noted)
    small.train(config, corpus, tmp_path)
    assert looked == [*[[14, 15, 16, 17]] * 3, [18, 19, 20, 21]]


def test_test_logits_are_those_of_the_model_one_utterance_at_a_time(
    narrow_config: NarrowConfig, corpus: Path, tmp_path: Path
) -> None:
    config = narrow_config(**small.SETTINGS | {"epochs": 1})
    trained, model = small.train(config, corpus, tmp_path)
    assert not model.training
    assert trained.logits.dtype == np.float64
    np.testing.assert_allclose(trained.logits, alone(model, config, corpus), atol=2e-6)


def test_long_utterances_are_cut_and_counted_in_every_part(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    trained, _ = small.train(replace(config, max_seconds=0.3, epochs=1), corpus, tmp_path, events.append)
    lengths = np.array([int(np.random.default_rng(row).integers(1_600, 8_000)) for row in range(small.UTTERANCES)])
    # The noise of the file was drawn after its length.
    parts = {"train": small.FOLD.train, "validation": small.FOLD.validation, "test": small.FOLD.test}
    expected = {name: int((lengths[rows] > 0.3 * 16_000).sum()) for name, rows in parts.items()}
    assert sum(expected.values()) > 0
    assert trained.cut == expected
    assert isinstance(events[0], RunStarted)
    assert events[0].cut == expected


def test_steps_and_epochs_are_told_with_all_losses(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    trained, _ = small.train(config, corpus, tmp_path, events.append)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [(step.epoch, step.step) for step in steps] == [(epoch, step) for epoch in (1, 2) for step in (1, 2, 3)]
    for step in steps:
        assert step.aux1_loss is not None
        assert step.loss == pytest.approx(step.main_loss + step.aux1_loss + (step.aux2_loss or 0.0))
        assert step.memory > 0
        assert step.audio_seconds_per_second > 0
    assert steps[0].seconds_left is None
    assert all(step.seconds_left is not None and step.seconds_left > 0 for step in steps[1:])
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == list(trained.epochs)
    sizes = [4, 5, 5]  # as equal as can be
    mean = sum(size * step.main_loss for size, step in zip(sizes, steps, strict=False)) / 14
    assert trained.epochs[0].main_loss == pytest.approx(mean)
    assert len([event for event in events if isinstance(event, CheckpointWritten)]) == 6


@pytest.mark.parametrize(
    ("aux", "pairs", "expected"),
    [
        ("none", 0, (2.0, None, None, None, None, None)),
        ("1", 0, (2.5, 1.0, None, None, 0.25, 0.5)),
        ("2", 4, (11.0, None, 3.0, 0.5, None, None)),
        ("2", 0, (2.0, None, None, 1.0, None, None)),
    ],
)
def test_means_are_over_what_each_task_has(aux: str, pairs: int, expected: tuple[float | None, ...]) -> None:
    sums = Sums(utterances=3, main=6.0, aux1=3.0, unchanged=2, same_class=3)
    sums += Sums(utterances=5, pairs=pairs, main=10.0, aux1=5.0, aux2=3.0 * pairs, same_class=1)
    losses = sums.means(FinetuneConfig(aux=aux, aux_weights=(0.5, 3.0)))
    shares = (losses.lonely_share, losses.unchanged_share, losses.same_class_share)
    assert (losses.total, losses.aux1, losses.aux2, *shares) == expected


def test_a_loss_that_is_no_number_ends_the_run_before_it_reaches_the_weights(
    config: FinetuneConfig, corpus: Path, tmp_path: Path
) -> None:
    def spoil(model: FinetuneModel) -> None:
        with torch.no_grad():
            model.emotion.weight[0, 0] = torch.nan

    with pytest.raises(DivergedError, match="fold 5, seed 3, epoch 1, step 1: the loss is nan; lower --encoder-rate"):
        small.train(config, corpus, tmp_path, prepare=spoil)
    assert list(tmp_path.iterdir()) == []


def test_a_gradient_that_is_no_number_ends_the_run(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    def spoil(model: FinetuneModel) -> None:
        model.emotion.bias.register_hook(lambda gradient: gradient * torch.inf)

    with pytest.raises(DivergedError, match=r"epoch 1, step 1: the norm of the gradients is (inf|nan); lower"):
        small.train(config, corpus, tmp_path, prepare=spoil)


def test_a_validation_loss_that_is_no_number_ends_the_run(
    config: FinetuneConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "evaluate", lambda *arguments: torch.full((4, 4), torch.nan, dtype=torch.float64))
    with pytest.raises(DivergedError, match="epoch 1, step 3: the validation loss is nan"):
        small.train(config, corpus, tmp_path)


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        MemoryError(),
    ],
)
def test_no_memory_names_the_two_options_to_turn(
    problem: Exception, config: FinetuneConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    encode_audio = FinetuneModel.encode_audio

    def scarce(self: FinetuneModel, batch: Any) -> Any:
        if next(calls) == 3:
            raise problem
        return encode_audio(self, batch)

    monkeypatch.setattr(FinetuneModel, "encode_audio", scarce)
    told = r"epoch 1, step \d: out of memory on cpu in a forward pass of \d utterances, \d\.\d s with padding .*"
    with pytest.raises(FinetuneError, match=told + r"--batch-seconds \(now 1\), or --gradient-checkpointing"):
        small.train(config, corpus, tmp_path)


def test_any_other_error_is_left_as_it_is(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("a nccl listener of its own")

    with pytest.raises(RuntimeError, match="a nccl listener of its own") as caught:
        small.train(config, corpus, tmp_path, listener)
    assert type(caught.value) is RuntimeError


def test_a_checkpoint_of_other_settings_is_refused(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        small.train(config, corpus, tmp_path, small.stop_after(2))
    with pytest.raises(FinetuneError, match=r"is of another run: batch 5 there, 4 here, dropout 0.1 there, 0.2 here; give"):
        small.train(replace(config, batch=4, dropout=0.2), corpus, tmp_path)


def test_settings_that_change_no_number_may_change(config: FinetuneConfig, corpus: Path, whole: Outcome, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        small.train(config, corpus, tmp_path, small.stop_after(2))
    changed = replace(config, keep=3, checkpoint_minutes=5.0, workers=0, seeds=(3,))
    assert_same(finish(changed, corpus, tmp_path), whole)


def test_autocast_is_told_and_taken_out_of_the_model_again(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    trained, model = small.train(replace(config, precision="bfloat16", epochs=1), corpus, tmp_path)
    assert trained.precision == "bfloat16"
    assert "_original_forward" not in model.__dict__
    assert 1e-5 < np.abs(alone(model, config, corpus) - trained.logits).max() < 0.1


@pytest.mark.parametrize("modality", ["speech", "text"])
def test_one_modality_is_trained_alone(modality: str, config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    trained, model = small.train(replace(config, modality=modality, aux="none", epochs=1), corpus, tmp_path)
    assert trained.logits.shape == (4, 4)
    assert (model.speech is None) == (modality == "text")


def test_the_state_is_json_and_safetensors_only(config: FinetuneConfig, corpus: Path, tmp_path: Path) -> None:
    small.train(replace(config, epochs=1), corpus, tmp_path)
    (path,) = (tmp_path / "checkpoints").iterdir()
    names = {"model.safetensors", "optimizer.safetensors", "selected.safetensors", "state.json"}
    assert {file.name for file in path.iterdir()} == names
    assert json.loads((path / "state.json").read_text())["run"]["fold"] == "5"
