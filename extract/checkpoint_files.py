"""What is wrong with the files of an encoder's folder, told from their first bytes and lengths: no weights are loaded."""

import importlib.util
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mer.files.regular_file import open_file, read_file

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files that weights are read from: the first that is there, as `transformers` has it."""
POINTER = b"version https://git-lfs"
COPY_AGAIN = "copy it again from where the checkpoint comes from"
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings")
"""Values of a config that are positive whole numbers, where it has them."""
MOST = {"hidden_size": 1 << 16, "num_hidden_layers": 1000, "num_attention_heads": 1 << 12, "intermediate_size": 1 << 18}
"""The largest of them: no encoder that has them fits into a machine, and such a config is damaged or made to use one up."""
_INPUTS = ("*.json", "vocab.txt", "merges.txt", "*.model")
_HEADER_LIMIT = 100_000_000
"""Bytes of the longest safetensors header that is read anywhere."""


def damage(folder: Path) -> str | None:
    """What of a checkpoint was not downloaded, or not to its end; None where nothing can be seen."""
    weights = list(weight_files(folder))
    inputs = {each for pattern in _INPUTS for each in folder.glob(pattern)}
    files = sorted((inputs | {each for each in weights if each.exists()}) - _other_weights(folder, weights))
    absent = [each.name for each in weights if not each.exists()]
    found = next((each for each in map(_damage_of, files) if each), None)
    return found or (f"{absent[0]} is not there, and the weights' index names it: {COPY_AGAIN}" if absent else None)


def weight_files(folder: Path) -> Iterator[Path]:
    """The files that an index names, or the one file there is; nothing in a folder without weights."""
    chosen = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if chosen is None:
        return
    yield chosen
    if chosen.suffix == ".json":
        index = _json(chosen)
        named = index.get("weight_map") if isinstance(index, dict) else None
        yield from sorted({folder / str(name) for name in named.values()} if isinstance(named, dict) else ())


def unreadable_pickle(folder: Path) -> str | None:
    """Why PyTorch does not read weights that are pickles (`.bin`); their numbers are passed over where the file lets it."""
    for path in weight_files(folder):
        if path.suffix == ".bin":
            try:
                torch.load(path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path))
            except Exception as problem:  # PyTorch's own unpickler runs into whatever a damaged file holds
                return f"{path.name}: {refused_pickle(problem)}"
    return None


def refused_pickle(problem: Exception) -> str:
    """What to do about a pickle that PyTorch does not take."""
    if "weights_only" in str(problem):
        return (
            "holds more than weights, and such a file could run any program; load it once where you trust it, and save it "
            "with `model.save_pretrained(DIR)`"
        )
    return (
        f"no weights that PyTorch can read ({str(problem).strip().splitlines()[0] if str(problem) else 'cut off'}); {COPY_AGAIN}"
    )


def wrong_value(config: Any) -> str | None:
    """A size in a config that is none, or an activation without a name."""
    for name in SIZES:
        value = getattr(config, name, 1)
        if name == "vocab_size" and value is None and not hasattr(config, "max_position_embeddings"):
            continue  # letters of a speech recogniser, which is no part of the encoder
        if type(value) is not int or value < 1:
            return f"config.json has {name} = {value!r}, and a whole number above 0 is expected there; {COPY_AGAIN}"
        most = MOST.get(name, 1 << 24)
        if value > most:
            return f"config.json has {name} = {value:,}, and {most:,} is the most that is loaded; {COPY_AGAIN}"
    act = getattr(config, "hidden_act", "gelu")
    if not isinstance(act, str) or not act:  # older versions of transformers fail in the first batch only
        return f"config.json has hidden_act = {act!r}, and the name of a function such as 'gelu' is expected there; {COPY_AGAIN}"
    return None


def lacking_package(folder: Path) -> str | None:
    """The package without which a tokenizer cannot be read, and how to get it."""
    model = next(iter(sorted(folder.glob("*.model"))), None)
    if model is None or (folder / "tokenizer.json").exists() or importlib.util.find_spec("sentencepiece"):
        return None
    return (
        f"its tokenizer is {model.name}, which needs the package sentencepiece: `python -m pip install sentencepiece protobuf` "
        "(or put the tokenizer.json of the same checkpoint beside it)"
    )


def _other_weights(folder: Path, chosen: list[Path]) -> set[Path]:
    """Indices of weights in another format: whoever downloads one format may leave pointers of the other."""
    return {folder / name for name in WEIGHTS} - set(chosen)


def _damage_of(path: Path) -> str | None:
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            begin = file.read(len(POINTER))
    except OSError as problem:
        return f"{path.name} cannot be read ({problem.strerror})"
    if not size:
        return None if path.name == "merges.txt" else f"{path.name} is empty: {COPY_AGAIN}"
    if begin == POINTER:
        return (
            f"{path.name} is a pointer of Git LFS, not the file itself: run `git lfs pull` in the folder (git-lfs must be "
            "installed), or download it with `hf download`"
        )
    if path.suffix == ".safetensors":
        return _cut_safetensors(path, size)
    if path.suffix == ".json" and _json(path) is None:
        return f"{path.name} is no whole JSON: {COPY_AGAIN}"
    return None


def _json(path: Path) -> Any:
    try:
        return json.loads(read_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None


def _cut_safetensors(path: Path, size: int) -> str | None:
    """Eight bytes say how long the header is; its offsets must end where the file does."""
    try:
        with open_file(path) as file:
            length = int.from_bytes(file.read(8), "little")
            head = file.read(length) if length <= min(size, _HEADER_LIMIT) else b""
        entries: Mapping[str, Any] = json.loads(head)
        promised = 8 + length + max((_end_of(entry) for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{path.name} does not begin as a safetensors file: {COPY_AGAIN}"
    if promised == size:
        return None
    return f"{path.name} has {size:,} bytes and its header promises {promised:,}: {COPY_AGAIN}"


def _end_of(entry: Mapping[str, Any]) -> int:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end or any(side < 0 for side in entry["shape"]) or (end == start and math.prod(entry["shape"])):
        raise ValueError
    return int(end)
