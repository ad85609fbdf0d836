"""Logits of utterances without dropout, spread over the processes."""

import itertools
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from jaxtyping import Float64
from torch import Tensor

from mer.extract.batching import batches_by_budget
from mer.finetune.collate import BatchReader
from mer.finetune.config import FinetuneConfig
from mer.finetune.model import FinetuneModel
from mer.finetune.processes import Position, sum_over_processes


def evaluate(
    model: FinetuneModel,
    reader: BatchReader,
    rows: Sequence[int],
    config: FinetuneConfig,
    accelerator: Accelerator,
    position: Position,
) -> Float64[Tensor, "utterances classes"]:
    """Logits of each row, on the CPU of every process.

    Args:
        model: left in evaluation mode.
        reader: of batches.
        rows: in the order of the answer.
        config: `batch_seconds` bounds the padded audio of a forward pass.
        accelerator: its processes take turns over the batches.
        position: told of each forward pass.
    """
    seconds = [reader.seconds[row] for row in rows]
    batches = batches_by_budget([reader.padded[row] for row in rows], config.pass_seconds)[
        accelerator.process_index :: accelerator.num_processes
    ]
    found = list[Tensor]()
    model.eval()
    with torch.inference_mode():
        ahead = reader.ahead([[rows[place] for place in places] for places in batches], pin=accelerator.device.type == "cuda")
        for places, batch in zip(batches, ahead, strict=True):
            position.passes(len(places), len(places) * max(seconds[place] for place in places))
            with accelerator.autocast():
                found.append(model(batch.to(accelerator.device)).logits.double())
        # They stay on the device until the last one is computed.
        logits = torch.zeros(len(rows), model.classes, dtype=torch.float64, device=accelerator.device)
        if found:
            logits[list(itertools.chain(*batches))] = torch.cat(found)
        # Each row is another process' zero: the sum is the row itself, a NaN included.
        everyone = sum_over_processes(accelerator, logits)
    return everyone.cpu().clone()
