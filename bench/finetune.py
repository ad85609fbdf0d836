"""Time of a fine-tuning step: no auxiliary task, both tasks, and both when their batches are encoded again.

wav2vec 2.0 base and BERT base with random weights, cross-attention of `--fusion-layers` layers, utterances with IEMOCAP's
durations; forward pass, backward pass and AdamW. The rows take turns on one model in one process, on one CPU thread and
in CPU time, because machines are shared; on a GPU in wall time, with peak memory and the share of the bfloat16 rate that
a product of two large matrices reaches there. With `--passes` the step is cut, as `--batch-seconds` cuts it; no row is
encoded again then.

    python bench/finetune.py --seconds 24 --rounds 3
    python bench/finetune.py --seconds 48 --rounds 3 --passes 3
    python bench/finetune.py --device cuda --seconds 60 --rounds 20
"""

import argparse
import dataclasses
import itertools
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, BertTokenizer, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.utils import logging

from mer.finetune.auxiliary import draw_pairing, pair_classes
from mer.finetune.batch import Batch, Pairing
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.model import FinetuneModel
from mer.finetune.optimizer import Optimizer
from mer.finetune.processes import Position
from mer.finetune.sampler import StepPlan
from mer.finetune.step import Stepper
from mer.finetune.trainable import load_encoders

CLASSES = 4
RATE = 16_000
PIECES_PER_SECOND = 3.5
VOCABULARY = 30_522
PLAIN, BOTH, AGAIN = "no auxiliary task", "both tasks", "both tasks, encoded again"

Row = Callable[[], None]


def main() -> None:
    """Time every row in turn, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=24.0, help="padded audio of a batch")
    parser.add_argument("--rounds", type=int, default=3, help="steps of every row that are timed; one more goes first")
    parser.add_argument("--passes", type=int, default=1, help="forward passes that the step is cut into")
    parser.add_argument("--fusion-layers", type=int, default=1, help="K")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    parser.add_argument("--float32", action="store_true", help="on a GPU: no autocast")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        model = base_model(Path(scratch), arguments.fusion_layers, arguments.checkpointing).to(device).train()
    batch = iemocap_like_batch(arguments.seconds)
    step = OneStep(batch, arguments.passes)
    pairing = draw_pairing(batch.labels, np.random.default_rng(0)).to(device)
    steps = Steps(model, device, bfloat16=device.type == "cuda" and not arguments.float32)
    rows: dict[str, Row] = {PLAIN: lambda: steps.whole("none", step), BOTH: lambda: steps.whole("1+2", step)}
    if arguments.passes == 1:
        rows[AGAIN] = lambda: steps.again(batch.to(device), pairing)
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(arguments.rounds + 1):
        for name, row in rows.items():
            seconds = steps.take(row)
            if turn:
                spent[name].append(seconds)
                print(f"round {turn}: {name}: {seconds:.3f} s", file=sys.stderr)
    audio = sum(batch.samples) / RATE
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "one CPU thread, CPU time"
    print(f"{len(batch.rows)} utterances, {audio:.1f} s of audio, {sum(batch.wordpieces)} wordpieces")
    print(f"K = {arguments.fusion_layers}; {arguments.passes} passes a step; {where}; medians")
    measured = {name: steps.measure(row) for name, row in rows.items()} if device.type == "cuda" else {}
    show(spent, audio, measured)


class OneStep(BatchReader):
    """The passes of one step, longest first, as `BatchReader` reads them."""

    def __init__(self, batch: Batch, passes: int) -> None:
        """Cut a batch whose utterances are sorted by length."""
        order = [int(row) for row in reversed(range(len(batch.rows)))]
        bounds = [len(order) * number // passes for number in range(passes + 1)]
        cut = tuple(tuple(order[first:end]) for first, end in itertools.pairwise(bounds))
        self.plan = StepPlan(step=0, micro_batches=cut, processes=1)
        self.labels = batch.labels.tolist()
        self.seconds = {row: samples / RATE for row, samples in enumerate(batch.samples)}
        self._batch = batch

    def wordpieces(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Own wordpieces of each row."""
        return tuple(self._batch.wordpieces[row] for row in rows)

    def batches(self) -> Iterator[Batch]:
        """One per pass."""
        chosen = torch.arange(len(self._batch.rows))
        for rows in self.plan.micro_batches:
            picked = recombined(self._batch, chosen[list(rows)], chosen[list(rows)])
            assert picked.waves is not None
            assert picked.tokens is not None
            waves = picked.waves[:, : max(picked.samples)]
            yield dataclasses.replace(picked, waves=waves, tokens=picked.tokens[:, : max(picked.wordpieces)])


class Steps:
    """Optimiser steps of one model."""

    def __init__(self, model: FinetuneModel, device: torch.device, *, bfloat16: bool) -> None:
        """Nothing is trained yet."""
        self._model, self._device = model, device
        self._optimizer = Optimizer(model, model.config, 1_000_000)
        precision = "bf16" if bfloat16 else "no"
        self._accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=precision)

    def whole(self, aux: str, step: OneStep) -> None:
        """Gradients as training takes them."""
        config = dataclasses.replace(self._model.config, aux=aux)
        stepper = Stepper(self._model, self._optimizer, step, step.labels, "1", config, 0, self._accelerator, Position("bench"))
        stepper.take(1, step.plan, step.batches())

    def again(self, batch: Batch, pairing: Pairing) -> None:
        """Gradients with every auxiliary batch encoded."""
        self._optimizer.zero()
        with self._accelerator.autocast():
            loss = encoded_again(self._model, batch, pairing)
        loss.backward()
        self._optimizer.clip()

    def take(self, row: Row) -> float:
        """Seconds of one step: of CPU time, or of wall time on a GPU."""
        clock = time.process_time if self._device.type == "cpu" else time.perf_counter
        self._wait()
        started = clock()
        row()
        self._optimizer.step(500_000)
        self._wait()
        return clock() - started

    def measure(self, row: Row) -> tuple[float, float]:
        """Peak GiB of a step on a GPU, and the seconds that its operations would take at the bfloat16 rate."""
        torch.cuda.reset_peak_memory_stats(self._device)
        with FlopCounterMode(display=False) as counter:
            self.take(row)
        peak = torch.cuda.max_memory_allocated(self._device) / 2**30
        return peak, counter.get_total_flops() / matrix_rate(self._device)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def encoded_again(model: FinetuneModel, batch: Batch, pairing: Pairing) -> Tensor:
    """The loss of both tasks as one writes it first: each auxiliary batch goes through the encoders."""
    assert model.fusion is not None
    assert model.pair is not None
    assert batch.tokens is not None
    assert batch.waves is not None
    everyone = torch.arange(len(batch.rows), device=pairing.permutation.device)
    first = recombined(batch, everyone, pairing.permutation)
    second = recombined(batch, pairing.audio, pairing.text)
    main, pair, partner = (model.encode(each) for each in (batch, first, second))
    embeddings = [
        F.dropout(model.fusion(each.audio, each.text), model.config.dropout, model.training) for each in (main, pair, partner)
    ]
    of_pairs = pair_classes(batch.labels, pairing.permutation, CLASSES)
    return (
        F.cross_entropy(model.emotion(embeddings[0]), batch.labels)
        + F.cross_entropy(model.pair(embeddings[1]), of_pairs)
        + F.cross_entropy(model.emotion(embeddings[2]), second.labels)
    )


def recombined(batch: Batch, audio: Tensor, text: Tensor) -> Batch:
    """Audio of some utterances with the text of others, before any encoder."""
    assert batch.tokens is not None
    assert batch.waves is not None
    return dataclasses.replace(
        batch,
        rows=tuple(audio.tolist()),
        labels=batch.labels[audio],
        waves=batch.waves[audio],
        samples=tuple(batch.samples[row] for row in audio.tolist()),
        tokens=batch.tokens[text],
        wordpieces=tuple(batch.wordpieces[row] for row in text.tolist()),
    )


def base_model(folder: Path, fusion_layers: int, checkpointing: bool) -> FinetuneModel:
    """Both encoders as transformers' own defaults describe them, and the fusion module over them."""
    torch.manual_seed(0)
    logging.disable_progress_bar()
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder / "speech")
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder / "speech")
    BertModel(BertConfig(vocab_size=VOCABULARY)).save_pretrained(folder / "text")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(VOCABULARY - 5))]
    BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder / "text")
    config = FinetuneConfig(
        speech_model=str(folder / "speech"),
        text_model=str(folder / "text"),
        fusion_layers=fusion_layers,
        aux="1+2",
        checkpointing=checkpointing,
    )
    return FinetuneModel(config, load_encoders(config), CLASSES, seed_generator=torch.Generator().manual_seed(0))


def iemocap_like_batch(seconds: float) -> Batch:
    """Noise of neighbouring lengths, as batches by length hold: about `seconds` of padded audio.

    Of a thousand utterances with IEMOCAP's durations (lognormal with mean 4.55 s and median 3.58 s), sorted, those around
    the mean.
    """
    random = np.random.default_rng(0)
    mu, sigma = math.log(3.58), math.sqrt(2 * math.log(4.55 / 3.58))
    lengths = np.sort(np.clip(random.lognormal(mu, sigma, 1000), 0.6, 20.0))
    middle = int(np.searchsorted(lengths, 4.55))
    chosen = lengths[middle : middle + max(2, int(seconds / 4.55))]
    samples = tuple(int(RATE * length) for length in chosen)
    pieces = tuple(2 + round(PIECES_PER_SECOND * length) for length in random.permutation(chosen))
    waves = torch.zeros(len(chosen), max(samples))
    tokens = torch.zeros(len(chosen), max(pieces), dtype=torch.int64)
    for row, (own, words) in enumerate(zip(samples, pieces, strict=True)):
        waves[row, :own] = torch.from_numpy(random.normal(size=own).astype(np.float32))
        tokens[row, :words] = torch.from_numpy(random.integers(5, VOCABULARY, words))
    labels = torch.arange(len(chosen)) % min(CLASSES, max(1, len(chosen) // 2))
    return Batch(rows=tuple(range(len(chosen))), labels=labels, waves=waves, samples=samples, tokens=tokens, wordpieces=pieces)


def matrix_rate(device: torch.device) -> float:
    """Operations per second of a bfloat16 product of two 8192 x 8192 matrices."""
    left, right = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = math.inf
    for _ in range(10):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        torch.mm(left, right)
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * 8192**3 / best


def show(spent: dict[str, list[float]], audio: float, measured: dict[str, tuple[float, float]]) -> None:
    """A row a way: medians over the rounds, and ratios of rows of the same round."""
    table = Table()
    columns = ["", "s / step", "x no task", "audio s / s", *(["peak GiB", "of bf16 rate"] if measured else [])]
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for name, times in spent.items():
        middle = statistics.median(times)
        ratio = statistics.median(own / plain for own, plain in zip(times, spent[PLAIN], strict=True))
        cells = [name, f"{middle:.3f}", f"{ratio:.3f}", f"{audio / middle:.2f}"]
        if measured:
            peak, ideal = measured[name]
            cells += [f"{peak:.1f}", f"{100 * ideal / middle:.0f} %"]
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
