"""Whisper as a speech recogniser: what is said in 30 s of speech, symbol by symbol, always the most probable one."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from transformers import WhisperForConditionalGeneration

from mer.backends.device import resolve_device
from mer.corpus.aligner.aligner_kind import SAMPLE_RATE
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.memory import check_memory
from mer.extract.precision import exact_float32
from mer.extract.pretrained import load_weights
from mer.recognise.checkpoint import load_tokenizer

KIND = "Whisper speech recogniser"


class WhisperModel:
    """A Whisper with its decoder."""

    architecture: ClassVar[Any] = WhisperForConditionalGeneration
    """Class of `transformers`, with the config that its checkpoints have."""

    def __init__(self, checkpoint: SpeechCheckpoint, device: str = "cpu") -> None:
        """Read the tokenizer and the weights.

        Args:
            checkpoint: of the family whisper.
            device: `cpu`, `cuda`, `mps` or `auto`.

        Raises:
            EncoderError: files that are missing, damaged, or too many for the machine.
        """
        assert checkpoint.window is not None
        self._window, self._preprocessor = checkpoint.window, getattr(checkpoint, "preprocessor")  # noqa: B009
        self._tokenizer, self._device = load_tokenizer(checkpoint), resolve_device(device)
        check_memory(checkpoint, self._device)
        model: Any = load_weights(
            checkpoint.name,
            checkpoint.revision,
            checkpoint.option,
            checkpoint.config,
            architecture=self.architecture,
            kind=KIND,
        )
        self._model = model.requires_grad_(False).to(self._device)
        settings = self._model.generation_config
        several = getattr(settings, "is_multilingual", True) and hasattr(settings, "task_to_id")
        self._task = {"task": "transcribe"} if several else {}

    @property
    def window_seconds(self) -> float:
        """Seconds that are heard at once; longer speech is cut there."""
        return self._window / SAMPLE_RATE

    def text(self, wave: Float32[np.ndarray, " samples"]) -> str:
        """What is heard. A checkpoint of several languages finds out which one, window by window.

        Args:
            wave: mono at `SAMPLE_RATE`; longer speech than a window goes through window by window.
        """
        return " ".join(filter(None, map(self._heard, self._windows(wave))))

    def _windows(self, wave: Float32[np.ndarray, " samples"]) -> Iterator[Float32[np.ndarray, " samples"]]:
        for start in range(0, len(wave), self._window):
            yield wave[start : start + self._window]

    @torch.inference_mode()
    def _heard(self, wave: Float32[np.ndarray, " samples"]) -> str:
        spectra = self._preprocessor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        with exact_float32():
            symbols = self._model.generate(spectra.to(self._device), do_sample=False, num_beams=1, **self._task)
        return " ".join(self._tokenizer.decode(symbols[0], skip_special_tokens=True).split())
