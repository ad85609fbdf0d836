"""What a cache is made of: the spec that is hashed into its key, and the provenance that is only recorded."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

import mer
from mer.cache import FORMAT_VERSION
from mer.corpus import Corpus
from mer.corpus.audio import RESAMPLER
from mer.extract.config import ExtractConfig
from mer.extract.encode import Encoders
from mer.extract.segments import POOLING_VERSION


def make_spec(corpus: Corpus, config: ExtractConfig, encoders: Encoders) -> dict[str, Any]:
    """Everything that changes the cached numbers, as JSON-able data (docs/cache-format.md)."""
    speech, text = encoders.speech, encoders.text
    spec: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "corpus": {"name": corpus.name, "kind": corpus.kind, "synthetic": corpus.synthetic},
        "granularities": list(config.granularities),
        "layers": {},
        "dim": {},
        "compute": {"dtype": config.dtype, "tf32": False},
        "storage": {"dtype": config.storage},
    }
    if speech is not None:
        spec["layers"]["speech"] = list(speech.layers)
        spec["dim"]["speech"] = speech.dim
        spec["speech"] = speech.identity | {
            "resampler": RESAMPLER,
            "channels": "mean",
            "padding": "per-utterance statistics",
        }
    if config.needs_alignment:
        spec["segments"] = segment_rule(config)
    if text is not None:
        spec["layers"]["text"] = list(text.layers)
        spec["dim"]["text"] = text.dim
        spec["text"] = text.identity | {"tags": config.text_tags}
    return spec


def segment_rule(config: ExtractConfig) -> dict[str, Any]:
    """What decides segments besides the times, each utterance's of which are in its fingerprint."""
    rule: dict[str, Any] = {"rule": "frame centre", "version": POOLING_VERSION, "fillers": config.fillers}
    # Absent for the corpus' own: caches from before there was a choice keep their key.
    return rule if config.alignment == "corpus" else rule | {"alignment": config.alignment}


def versions() -> dict[str, str]:
    """Of the code that makes the numbers: workers on other machines must have the same."""
    return {
        "mer": mer.__version__,
        "torch": str(torch.__version__),
        "transformers": version("transformers"),
        "numpy": version("numpy"),
    }


def provenance(device: torch.device) -> dict[str, Any]:
    """Who computed: recorded in each sidecar, never part of the identity."""
    return {
        **versions(),
        "python": platform.python_version(),
        "h5py": version("h5py"),
        "platform": platform.platform(),
        "host": platform.node(),
        "process": os.getpid(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
