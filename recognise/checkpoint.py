"""A recogniser's checkpoint before its weights are read: of which family it is, whether it fits, and its tokenizer."""

import hashlib
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from mer.corpus.aligner.aligner_kind import SAMPLE_RATE
from mer.extract.checkpoint_files import COPY_AGAIN, weight_files
from mer.extract.families.open_checkpoint import open_speech
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.lora import MERGE
from mer.extract.pretrained import EncoderError
from mer.files import file_sha256


def open_recogniser(name: str, revision: str | None, option: str) -> SpeechCheckpoint:
    """The checkpoint of a speech recogniser, as that of its encoder.

    Args:
        name: hub id or folder.
        revision: branch, tag or commit of a hub id.
        option: command-line option that names it, for errors.

    Raises:
        EncoderError: no such checkpoint, of no family that mer reads, damaged, or for speech of another rate.
    """
    found = open_speech(name, revision, option=option)
    if found.adapter is not None:
        raise EncoderError(f"{found.title}: an adapter of an encoder, and no speech recogniser; {MERGE}")
    if found.sample_rate != SAMPLE_RATE:
        raise EncoderError(
            f"{found.title}: it was trained on speech at {found.sample_rate:,} Hz, and recognisers are given {SAMPLE_RATE:,} Hz; "
            "give one of that rate"
        )
    return found


def load_tokenizer(checkpoint: SpeechCheckpoint) -> Any:
    """The tokenizer beside a recogniser's weights.

    Raises:
        EncoderError: there is none that can be read, or it has no symbols.
    """
    advice = f"no readable tokenizer (vocab.json and tokenizer_config.json), so nobody knows its letters; {COPY_AGAIN}"
    try:
        found: Any = AutoTokenizer.from_pretrained(checkpoint.name, revision=checkpoint.revision, trust_remote_code=False)
    except ImportError as problem:
        raise EncoderError(
            f"{checkpoint.title}: its tokenizer needs another package: {' '.join(str(problem).split())}"
        ) from problem
    except Exception as problem:  # damaged files end in whatever error the reading library happens to meet
        raise EncoderError(f"{checkpoint.title}: {advice}") from problem
    if len(found) <= len(found.all_special_tokens):
        raise EncoderError(f"{checkpoint.title}: {advice}")
    return found


def identity(checkpoint: SpeechCheckpoint) -> str:
    """Text that differs wherever another checkpoint may hear something else: the hub's commit, or the files of a folder.

    Args:
        checkpoint: its weights are read once to hash them, not loaded.
    """
    commit = getattr(checkpoint.config, "_commit_hash", None)
    if commit:
        return f"commit {commit}"
    folder = Path(checkpoint.name)
    digest = hashlib.sha256()
    files = {*weight_files(folder), *folder.glob("*.json"), *folder.glob("*.txt")}
    for path in sorted(each for each in files if each.is_file()):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return f"sha256 {digest.hexdigest()}"
