"""What the files of a run directory and of a grid are called, and the names of runs in them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

CONFIG, RESULT, GRID = "config.json", "result.json", "grid.json"
METRICS, PREDICTIONS, LOGITS, PROVENANCE = "metrics.jsonl", "predictions.csv", "logits.safetensors", "provenance.json"
VALIDATION = "validation.csv"
FINISHED, FAILED, RUNNING, STARTS, WEIGHTS = "finished", "failed", "running", "starts", "weights"
PROCESS = "process"
"""Key of a start: the process that it is in."""
RESULT_FORMAT = 1
"""Version of all of these files; a result of another one is refused."""

Key = tuple[str, int]
"""Test session and seed of a run."""
_STEM = re.compile(r"fold(?P<fold>.+)-seed(?P<seed>-?\d+)")


def run_stem(fold: str, seed: int) -> str:
    """What a run's files and tensors are called: `fold1-seed0`."""
    safe = re.sub(r"[^\w.-]", lambda match: f"%{ord(match[0]):02x}", fold)
    return f"fold{safe}-seed{seed}"


def run_of_stem(stem: str) -> Key | None:
    """The run that is called so; None where the name is no run's."""
    found = _STEM.fullmatch(stem)
    return None if found is None else (unquote(found["fold"]), int(found["seed"]))


def run_folder(corpus: str, parts: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Name of a run directory: the corpus, what was trained, and the start of the identity's hash."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return "-".join([corpus, *parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def corpus_of_folder(name: str, config: Mapping[str, Any]) -> str:
    """The corpus in the name of a run directory, which is all that an unfinished run says of it."""
    marker = "-finetune-" if "-finetune-" in name else f"-{str(config.get('fusion', '')).replace(':', '.')}-"
    return name.split(marker)[0] if marker in name else "unknown"
