"""A step learns the same however it is cut into forward passes: losses and gradients against the step in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from mer.finetune.batch import Batch
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.losses import Sums
from mer.finetune.model import FinetuneModel
from mer.finetune.optimizer import Optimizer
from mer.finetune.processes import Position
from mer.finetune.sampler import StepPlan
from mer.finetune.step import Stepper
from mer.finetune.trainable import load_encoders
from mer.heads.emotion_loss import emotion_loss

NarrowConfig = Callable[..., FinetuneConfig]
MakeBatch = Callable[..., Batch]
SAMPLES = (8_000, 3_333, 5_000, 400, 6_100, 2_000, 4_700)
LABELS = (0, 0, 1, 0, 1, 2, 0)
"""One utterance is lonely, so that task 2 has fewer items than the others."""
CUTS = (((0, 4), (2, 6), (1, 5, 3)), ((4, 2, 6), (0,), (5, 3), (1,)))


@dataclass(frozen=True)
class Taken:
    """What came of one step."""

    sums: Sums
    gradients: dict[str, Tensor]


class Reader(BatchReader):
    """Batches of the fixture's utterances as `BatchReader` gives them."""

    def __init__(self, make_batch: MakeBatch, encoders: Any) -> None:
        self._make, self._encoders = make_batch, encoders
        self.seconds = {row: samples / 16_000 for row, samples in enumerate(SAMPLES)}

    def read(self, rows: Sequence[int], *, pin: bool = False) -> Batch:
        return self._make(self._encoders, samples=SAMPLES, labels=LABELS, only=rows)

    def wordpieces(self, rows: Sequence[int]) -> tuple[int, ...]:
        return self.read(rows).wordpieces


Hook = Callable[[FinetuneModel], None]


@pytest.fixture
def take(make_batch: MakeBatch) -> Callable[..., Taken]:
    def taken(
        config: FinetuneConfig, cut: tuple[tuple[int, ...], ...], *, hook: Hook = lambda model: None, double: bool = True
    ) -> Taken:
        encoders = load_encoders(config)
        model = FinetuneModel(config, encoders, 3, seed_generator=torch.Generator().manual_seed(0)).train()
        model = model.double() if double else model
        hook(model)
        precision = "bf16" if config.precision == "bfloat16" else "no"
        reader = Reader(make_batch, encoders)
        AcceleratorState._reset_state(reset_partial_state=True)  # it keeps the precision of the first of a process
        optimizer, accelerator = Optimizer(model, config, 1), Accelerator(cpu=True, mixed_precision=precision)
        loss = emotion_loss(config, np.array(LABELS), np.arange(len(LABELS)), 3, torch.device("cpu"))
        stepper = Stepper(model, optimizer, reader, LABELS, "5", config, 3, accelerator, Position("run"), loss)
        torch.manual_seed(sum(map(len, cut)) * len(cut))  # of no consequence
        plan = StepPlan(step=4, micro_batches=cut, processes=1)
        step = stepper.take(2, plan, iter([reader.read(rows) for rows in cut]))
        main, aux1, aux2, _ = step.values.tolist()
        sums = replace(step.counts, main=main, aux1=aux1, aux2=aux2)
        found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert set(found) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        return Taken(sums, found)

    return taken


def assert_same_step(found: Taken, expected: Taken, tolerance: float = 1e-10) -> None:
    for name in ("main", "aux1", "aux2"):
        assert getattr(found.sums, name) == pytest.approx(getattr(expected.sums, name), rel=tolerance, abs=tolerance)
    counts = [(sums.utterances, sums.pairs, sums.unchanged, sums.same_class) for sums in (found.sums, expected.sums)]
    assert counts[0] == counts[1]
    largest = max(float(value.abs().max()) for value in expected.gradients.values())
    for name, value in expected.gradients.items():
        assert float((found.gradients[name] - value).abs().max()) <= tolerance * largest, name


WHOLE = (tuple(range(7)),)
TASKS = ("none", "1", "2", "1+2")


@pytest.mark.parametrize(("layers", "cut"), [(1, CUTS[0]), (3, CUTS[1])])
@pytest.mark.parametrize("aux", TASKS)
def test_a_step_that_is_cut_has_the_losses_and_gradients_of_one_pass(
    aux: str, layers: int, cut: tuple[tuple[int, ...], ...], narrow_config: NarrowConfig, take: Callable[..., Taken]
) -> None:
    """With dropout, too: of encoders and of the embedding."""
    config = narrow_config(aux=aux, fusion_layers=layers, aux_weights=(0.5, 3.0), dropout=0.3)
    whole = take(config, WHOLE)
    assert_same_step(take(config, cut), whole)
    if aux == "1+2" and layers == 1:
        calm = take(narrow_config(aux=aux, aux_weights=(0.5, 3.0), calm=True), WHOLE)
        assert abs(calm.sums.main - whole.sums.main) > 1e-3  # dropout was on


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "wavlm"},
        {"kind": "hubert", "fusion": "fc"},
        {"kind": "wav2vec2-layer-norm", "checkpointing": True},
        {"kind": "wavlm", "checkpointing": True, "calm": True},
        {"spec_augment": True, "train_cnn": True},
        {"calm": True},
    ],
    ids=str,
)
def test_no_encoder_and_no_setting_lets_the_cut_change_what_is_learned(
    settings: dict[str, Any], narrow_config: NarrowConfig, take: Callable[..., Taken]
) -> None:
    config = narrow_config(aux="1+2", **settings)
    assert_same_step(take(config, CUTS[0]), take(config, WHOLE))


def test_class_weights_reach_the_emotion_of_every_pass(narrow_config: NarrowConfig, take: Callable[..., Taken]) -> None:
    plain, weighted = (narrow_config(aux="1+2", calm=True, class_weights=each) for each in ("none", "balanced"))
    cut, whole, other = take(weighted, CUTS[0]), take(weighted, WHOLE), take(plain, WHOLE)
    assert_same_step(cut, whole)
    assert abs(whole.sums.main - other.sums.main) > 1e-3
    assert whole.sums.aux1 == other.sums.aux1


def test_recomputation_drops_what_was_dropped(narrow_config: NarrowConfig, take: Callable[..., Taken]) -> None:
    config = narrow_config("wavlm", aux="1+2")
    assert_same_step(take(replace(config, checkpointing=True), CUTS[0]), take(config, CUTS[0]))


@pytest.mark.parametrize("modality", ["speech", "text"])
def test_one_modality_is_cut_likewise(modality: str, narrow_config: NarrowConfig, take: Callable[..., Taken]) -> None:
    config = narrow_config(modality=modality)
    assert_same_step(take(config, CUTS[0]), take(config, WHOLE))


def test_autocast_changes_a_step_that_is_cut_by_no_more_than_one_that_is_not(
    narrow_config: NarrowConfig, take: Callable[..., Taken]
) -> None:
    config = narrow_config(aux="1+2")
    exact = take(config, WHOLE, double=False)
    low = replace(config, precision="bfloat16")
    cut = take(low, CUTS[0], double=False)
    assert all(value.dtype == torch.float32 for value in cut.gradients.values())
    assert_same_step(cut, exact, tolerance=0.1)
    with pytest.raises(AssertionError):
        assert_same_step(cut, exact, tolerance=1e-5)


@pytest.mark.parametrize(("cut", "calls"), [(WHOLE, (1, 1)), (CUTS[0], (3, 6))])
def test_only_the_texts_of_a_step_that_is_cut_are_encoded_twice(
    cut: tuple[tuple[int, ...], ...], calls: tuple[int, int], narrow_config: NarrowConfig, take: Callable[..., Taken]
) -> None:
    seen = {"speech.model": 0, "text.model": 0}

    def count(model: FinetuneModel) -> None:
        for name in seen:
            model.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: seen.update({name: seen[name] + 1}))

    take(narrow_config(aux="1+2"), cut, hook=count)
    assert tuple(seen.values()) == calls
    seen |= {"speech.model": 0, "text.model": 0}
    take(narrow_config(), cut, hook=count)
    assert tuple(seen.values()) == (len(cut), len(cut))


def test_a_step_of_one_utterance_cannot_be_paired(narrow_config: NarrowConfig, take: Callable[..., Taken]) -> None:
    with pytest.raises(FinetuneError, match=r"a step of one utterance with aux 1: .*needs at least 2; use a larger --batch"):
        take(narrow_config(aux="1"), ((2,),))


def test_every_utterance_step_and_epoch_has_dropout_of_its_own(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config())
    model = FinetuneModel(narrow_config(), encoders, 3, seed_generator=torch.Generator().manual_seed(0)).train()
    batch = make_batch(encoders, samples=(5_000, 5_000), labels=(0, 0))
    assert batch.waves is not None
    assert batch.tokens is not None
    twice = replace(batch, waves=batch.waves[[0, 0]], tokens=batch.tokens[[0, 0]], wordpieces=(batch.wordpieces[0],) * 2)
    with torch.no_grad():
        first, again = (model(replace(twice, seeds=(11, 12))).logits for _ in range(2))
        other = model(replace(twice, seeds=(13, 12))).logits
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(first[1], other[1])


def test_evaluation_drops_nothing_whatever_the_seeds(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    encoders = load_encoders(narrow_config())
    model = FinetuneModel(narrow_config(), encoders, 3, seed_generator=torch.Generator().manual_seed(0)).eval()
    batch = make_batch(encoders)
    with torch.no_grad():
        assert torch.equal(model(replace(batch, seeds=(1, 2, 3, 4))).logits, model(batch).logits)


def test_the_plan_of_a_step_names_its_rows_whatever_the_cut() -> None:
    plans = [StepPlan(step=0, micro_batches=cut, processes=1) for cut in (*CUTS, WHOLE)]
    assert {plan.rows for plan in plans} == {tuple(range(7))}
    assert np.array_equal(plans[0].placed, (0, 4, 2, 6, 1, 5, 3))
