"""A speech recogniser that writes down what it hears, of whichever kind a checkpoint is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING

from mer.extract.pretrained import EncoderError, model_label
from mer.recognise.checkpoint import open_recogniser
from mer.recognise.ctc_model import CtcCheckpoint, CtcModel
from mer.recognise.whisper_model import WhisperModel


@runtime_checkable  # beartype checks arguments by isinstance
class Hears(Protocol):
    """What makes text of speech."""

    def text(self, wave: Float32[np.ndarray, " samples"]) -> str:
        """What is said in mono speech at 16 kHz; empty where no word is heard."""
        ...


@dataclass(frozen=True, kw_only=True)
class Transcriber:
    """A recogniser with its weights."""

    name: str
    """The hub id, or the name of the folder."""
    model: Hears
    """What hears."""
    window_seconds: float | None
    """Longer speech is cut there, and a word at a cut may be heard wrongly; None where speech is heard whole."""

    def __call__(self, wave: Float32[np.ndarray, " samples"]) -> str:
        """What is said.

        Args:
            wave: mono, 16 kHz, full scale = 1.
        """
        return self.model.text(wave)


def open_transcriber(name: str, revision: str | None = None, *, option: str = "--transcribe", device: str = "cpu") -> Transcriber:
    """Read a recogniser: a Whisper, or any CTC model.

    Args:
        name: hub id or folder.
        revision: branch, tag or commit of a hub id.
        option: command-line option that names it, for errors.
        device: `cpu`, `cuda`, `mps` or `auto`.

    Raises:
        EncoderError: no such checkpoint, of another kind, or damaged.
    """
    found = open_recogniser(name, revision, option)
    if isinstance(found.config, WhisperModel.architecture.config_class):
        whisper = WhisperModel(found, device)
        return Transcriber(name=model_label(name), model=whisper, window_seconds=whisper.window_seconds)
    if type(found.config) not in MODEL_FOR_CTC_MAPPING:
        raise EncoderError(
            f"{found.title}: a {found.config.model_type!r} model is no speech recogniser that mer can read; expected a Whisper, "
            "or a CTC model such as a Wav2Vec2ForCTC"
        )
    model = CtcModel(CtcCheckpoint(name, revision, option), device)
    return Transcriber(name=model_label(name), model=model, window_seconds=None)
