"""Weights on disk; apart from the other files, which need no torch."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mer.files.atomic_write import WriteError
from mer.files.refusals import GENERAL


def save_tensors(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; for folders that are put in their place when they are whole.

    Raises:
        WriteError: the file system refuses, which the library says in an error of its own.
    """
    try:
        save_file(dict(tensors), file, dict(metadata))
    except SafetensorError as problem:
        raise WriteError(f"{file}: could not be written ({problem}). {GENERAL}, then give the same command again") from problem
