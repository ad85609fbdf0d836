"""What a cache is made of: the spec that is hashed into its key, and the provenance that is only recorded."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile
import torch

from mer.backends.agreement import versions
from mer.cache import FORMAT_VERSION
from mer.cache.encoder_folders import NOTE, places_from
from mer.corpus import Corpus
from mer.corpus.audio import RESAMPLER
from mer.corpus.given_texts import read_texts
from mer.extract.batch_trial import ONE_BY_ONE, PADDED
from mer.extract.config import ExtractConfig
from mer.extract.encoders import Encoders
from mer.extract.segments import POOLING_VERSION

SOFTWARE = ("mer", "torch", "transformers", "numpy")
"""What makes the numbers: workers on other machines must have the same versions."""
STATEMENTS = {
    "last_layer": "its last layer is as transformers handed it out, after the encoder's closing norm up to 5.14 and before it "
    "from 5.16 on, and now it always carries that norm",
    "batches": "its numbers depend on which utterances shared a batch, and now each goes through the encoder alone",
}
"""Parts of an encoder's identity that features of earlier versions lack: why those are others."""


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
        # Absent for the corpus' own, whose caches keep their key.
        given = {} if config.texts is None else {"transcripts": read_texts(config.texts).sha256}
        spec["text"] = text.identity | {"tags": config.text_tags} | given
    return spec


def segment_rule(config: ExtractConfig) -> dict[str, Any]:
    """What decides segments besides the times, each utterance's of which are in its fingerprint."""
    rule: dict[str, Any] = {"rule": "frame centre", "version": POOLING_VERSION, "fillers": config.fillers}
    # Absent for the corpus' own: caches from before there was a choice keep their key.
    return rule if config.alignment == "corpus" else rule | {"alignment": config.alignment}


def earlier_spec(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """The spec under which an earlier version kept the same encoders' numbers as they came; None where it is this one.

    Args:
        spec: of `make_spec`.
    """
    earlier = {name: dict(value) if name in ("speech", "text") else value for name, value in spec.items()}
    for name in ("speech", "text"):
        for statement in STATEMENTS:
            earlier.get(name, {}).pop(statement, None)
    return None if earlier == spec else earlier


def encoder_notes(encoders: Encoders, cache: Path) -> dict[str, Any]:
    """How the encoders of a shard ran, for its provenance; `encoder_layers` also says that layers are as stated.

    Args:
        encoders: that ran.
        cache: folder of the cache, from where those that are folders are found again.
    """
    used = {"speech": encoders.speech, "text": encoders.text}
    running = {name: encoder for name, encoder in used.items() if encoder is not None}
    return {
        "encoder_layers": {name: encoder.checkpoint.layer_count for name, encoder in running.items()},
        NOTE: places_from(cache, {name: encoder.checkpoint.place for name, encoder in running.items()}),
        "encoded": {name: ONE_BY_ONE if encoder.one_by_one else PADDED for name, encoder in running.items()},
    }


def provenance(device: torch.device) -> dict[str, Any]:
    """Who computed: recorded in each sidecar, never part of the identity."""
    return {
        **versions(*SOFTWARE),
        "python": platform.python_version(),
        "h5py": version("h5py"),
        "tokenizers": version("tokenizers"),
        "soxr": version("soxr"),
        "libsndfile": soundfile.__libsndfile_version__,
        "platform": platform.platform(),
        "host": platform.node(),
        "process": os.getpid(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }
