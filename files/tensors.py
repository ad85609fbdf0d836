"""Weights on disk; apart from the other files, which need no torch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mer.files.atomic_write import WriteError
from mer.files.refusals import GENERAL


@contextmanager
def refusals_of_tensors(place: Path) -> Iterator[None]:
    """Where weights are written: what a file system refuses, the library says in an error of its own.

    Args:
        place: file or folder that is written.

    Raises:
        WriteError: it was refused.
    """
    try:
        yield
    except SafetensorError as problem:
        raise WriteError(f"{place}: could not be written ({problem}). {GENERAL}, then give the same command again") from problem


def save_tensors(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; for folders that are put in their place when they are whole.

    Raises:
        WriteError: the file system refuses.
    """
    with refusals_of_tensors(file):
        save_file(dict(tensors), file, dict(metadata))
