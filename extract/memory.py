"""Whether an encoder's weights fit, told from its config before they are read."""

from contextlib import suppress

import psutil
import torch

from mer.extract.families.checkpoint import Checkpoint
from mer.extract.pretrained import EncoderError

SMALL = 500_000_000
"""Bytes of weights that any machine has room for; what seems to be less is not looked at."""


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of an encoder's weights in float32; nothing of it is allocated."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # some parts draw at random, on the CPU all the same
        return sum(weight.numel() for weight in checkpoint.build().parameters()) * 4


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device; for the CPU, what can be had without swapping."""
    return int(torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available)


def check_memory(checkpoint: Checkpoint, device: torch.device) -> None:
    """Refuse an encoder whose weights do not fit: they pass through the CPU's memory to the device's, in float32.

    Args:
        checkpoint: without its weights; one that loads itself is not looked at.
        device: where it is to run.

    Raises:
        EncoderError: what is needed, what there is, and what would fit.
    """
    if checkpoint.loads_itself or 12 * checkpoint.dim**2 * checkpoint.layer_count * 4 < SMALL:
        return
    needed = 0
    with suppress(NotImplementedError, RuntimeError):  # an architecture that cannot be built without numbers
        needed = weight_bytes(checkpoint)
    for place in dict.fromkeys((torch.device("cpu"), device)):
        if needed > free_bytes(place):
            raise EncoderError(
                f"{checkpoint.title}: its weights take {needed / 1e9:.1f} GB in float32, and {_named(place)} has "
                f"{free_bytes(place) / 1e9:.1f} GB free; an encoder of up to {free_bytes(place) / 4e6:,.0f} million weights fits"
                + (", and this one fits the CPU: `--device cpu`" if place.type == "cuda" else "")
            )


def _named(device: torch.device) -> str:
    return "this machine" if device.type == "cpu" else f"the GPU {device}"
