"""The same float32 numbers on every machine of a kind."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """TF32 off: PyTorch allows it in convolutions by default, a thousand times float32's rounding."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


@contextmanager
def one_thread_on_cpu(device: torch.device) -> Iterator[None]:
    """One thread from the loading on, so that one worker and many, here and elsewhere, give the same bytes.

    Loading counts: the weight norm that is computed once there differs in its last bit between one thread and two.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
