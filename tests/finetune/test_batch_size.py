"""How much audio a forward pass holds, where nobody says it: a model of bytes, held against the bytes themselves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import mer.finetune.trainer as trainer
from mer.corpus import Corpus
from mer.finetune.auxiliary import draw_pairing
from mer.finetune.batch_size import MOMENTS, fitting_seconds, meter_of
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.events import Event, RunStarted
from mer.finetune.model import FinetuneModel
from mer.finetune.sampler import plan_epoch
from mer.finetune.trainable import load_encoders
from mer.finetune.trainer import train_run
from mer.protocol import Fold

NarrowConfig = Callable[..., FinetuneConfig]
TARGETS = np.arange(24, dtype=np.int64) % 4


class SavedBytes:
    """Counts what the backward pass keeps, each tensor once: the part of a GPU's memory that grows with the batch."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.peaks: list[int] = []

    def peak(self, run: Callable[[], None]) -> int:
        kept: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            run()
        self.peaks.append(sum(storage.nbytes() for storage in kept.values()))
        return self.peaks[-1]


@pytest.fixture
def parts(narrow_config: NarrowConfig, corpus: Corpus) -> tuple[FinetuneModel, BatchReader, FinetuneConfig]:
    config = narrow_config(aux="1+2", batch=6, epochs=1, device="cpu", workers=0)
    encoders = load_encoders(config)
    model = FinetuneModel(config, encoders, 4, seed_generator=torch.Generator().manual_seed(0))
    return model, BatchReader(corpus.utterances, TARGETS, range(24), encoders, config), config


def test_the_largest_pass_that_fits_is_found_from_two_small_ones(
    parts: tuple[FinetuneModel, BatchReader, FinetuneConfig],
) -> None:
    model, reader, config = parts
    longest = max(reader.padded.values())
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    probe = SavedBytes(0)
    assert fitting_seconds(model, reader, range(24), config, Accelerator(cpu=True), probe) == pytest.approx(longest)
    assert len(probe.peaks) == 2
    assert all(each.grad is None for each in model.parameters())
    # Room for twelve utterances, counted: what twelve keep, and the moments.
    row = max(range(24), key=lambda row: reader.padded[row])
    twelve = SavedBytes(0)
    batch = replace(reader.read([row] * 12), seeds=tuple(range(12)))
    pairing = draw_pairing(np.zeros(12, dtype=np.int64), np.random.default_rng(0))
    bytes_of_twelve = twelve.peak(lambda: model(batch, pairing).loss.backward())
    room = SavedBytes(int(1.01 * bytes_of_twelve) + MOMENTS * trained)
    found = fitting_seconds(model, reader, range(24), config, Accelerator(cpu=True), room)
    assert found == pytest.approx(12 * longest)


def test_what_the_memory_holds_is_said_and_used_and_what_is_given_goes_before(
    narrow_config: NarrowConfig, corpus: Corpus, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert meter_of(torch.device("cpu")) is None
    told: list[Event] = []
    passes: list[float] = []

    def noted(lengths: Any, rows: Any, config: FinetuneConfig, *rest: Any) -> Any:
        passes.append(config.pass_seconds)
        return plan_epoch(lengths, rows, config, *rest)

    monkeypatch.setattr(trainer, "plan_epoch", noted)
    monkeypatch.setattr(trainer, "meter_of", lambda device: SavedBytes(0))
    config = narrow_config(batch=6, epochs=1, device="cpu", workers=0, modality="text")
    for given, name in ((None, "measured"), (7.0, "given")):
        config = replace(config, batch_seconds=given)
        encoders = load_encoders(config)
        model = FinetuneModel(config, encoders, 4, seed_generator=torch.Generator().manual_seed(0))
        fold = Fold(test_session="3", train=np.arange(12), validation=np.arange(12, 16), test=np.arange(16, 24))
        train_run(
            model, encoders, corpus.utterances, TARGETS, fold, config, 0, tmp_path / name, Accelerator(cpu=True), told.append
        )
    measured, own = [event.pass_seconds for event in told if isinstance(event, RunStarted)]
    assert own == 7.0
    assert 0 < measured < 7.0  # one text: there is no room for more
    assert passes == [60.0, measured, 7.0, 7.0]
