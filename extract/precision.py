"""The same float32 numbers on every machine of a kind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

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
def threads_on_cpu(device: torch.device, threads: int) -> Iterator[None]:
    """A number of threads from the loading on, so that one worker and many, here and elsewhere, give the same bytes.

    Loading counts: the weight norm that is computed once there differs in its last bit between one thread and two.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread_on_cpu(device: torch.device) -> AbstractContextManager[None]:
    """One thread from the loading on: two processes of one do 1.96 times the work of one, two threads 1.77 times."""
    return threads_on_cpu(device, 1)
