"""The frozen models of one process."""

from dataclasses import dataclass

import torch

from mer.corpus.audio import read_recording
from mer.extract.device_path import DevicePath
from mer.extract.inputs import Prepared, WaveReader
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The frozen models of one process, on one device."""

    speech: SpeechEncoder | None
    """None when only T is wanted."""
    text: TextEncoder | None
    """None when T is not wanted."""
    read: WaveReader = read_recording
    """Where waveforms come from: the recordings, or what another encoder has decoded of them."""

    @property
    def notices(self) -> list[str]:
        """What a user should know of how they run."""
        found = [encoder.notice for encoder in (self.speech, self.text) if encoder is not None]
        return [notice for notice in found if notice is not None]

    def conversions(self, item: Prepared) -> tuple[str, ...]:
        """What they do to an utterance that is longer than they take at once, in words that can be counted."""
        spoken = self.speech.conversions(item.wave) if self.speech is not None else ()
        return spoken + (self.text.conversions(item.tokens) if self.text is not None else ())

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(encoder.device for encoder in (self.speech, self.text) if encoder is not None)

    @property
    def path(self) -> DevicePath:
        """How their inputs come there and their activations back."""
        return next(encoder.path for encoder in (self.speech, self.text) if encoder is not None)
