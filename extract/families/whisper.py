"""Whisper's encoder: log-mel spectra of 30 s, then a transformer that was trained on nothing shorter.

Audio is padded with zeros to the 30 s, as in training, and the frames beyond it are dropped: rows of a batch have one length
and no mask, so that utterances cannot reach each other. Frame f is made of the five spectra around sample 320 f, and its
centre is there: half a frame earlier than wav2vec 2.0's, whose frame f begins there.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mer.extract.families.preprocessor import load_preprocessor, takes_spectra
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.hidden_states import LayerTap
from mer.extract.pretrained import EncoderError

STRIDE = 2
"""Spectra from one frame to the next: the second convolution's."""


class Whisper(SpeechCheckpoint):
    """The encoder of a checkpoint of Whisper; its decoder is not read.

    Raises:
        EncoderError: no preprocessor config, or one that is not the encoder's.
    """

    architecture = WhisperEncoder
    renamed: ClassVar[Mapping[str, str] | None] = {r"^(model\.)?encoder\.": ""}
    normalize = False
    alike = True

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        super().__init__(name, revision, config)
        self.preprocessor, _ = load_preprocessor(self.title, name, revision)
        takes_spectra(self.title, self.preprocessor, WhisperFeatureExtractor)
        self.sample_rate = self.preprocessor.sampling_rate
        hop, self.window = self.preprocessor.hop_length, self.preprocessor.n_samples
        found = (self.preprocessor.feature_size, self.window // hop)
        expected = (config.num_mel_bins, STRIDE * config.max_source_positions)
        if found != expected:
            raise EncoderError(
                f"{self.title}: its preprocessor_config.json makes {found[1]} spectra of {found[0]} mel bands, its encoder takes "
                f"{expected[1]} of {expected[0]}: they are not of one checkpoint"
            )
        if getattr(self.preprocessor, "dither", 0.0):
            raise EncoderError(
                f"{self.title}: its preprocessor_config.json has dither = {self.preprocessor.dither}, which adds noise drawn at "
                "random, so nothing of it can be cached or compared; set it to 0"
            )
        self.frame_stride = STRIDE * hop
        self.frame_length = self.preprocessor.n_fft
        self.frame_offset = -(self.frame_length // 2)

    @property
    def closing_norm(self) -> bool:
        """Always."""
        return True

    def frame_count(self, samples: int) -> int:
        """Frames whose centre lies in the audio: ceil(n / 320), in one window as in several."""
        return 0 if samples < self.frame_length else -(-samples // self.frame_stride)

    def padding(self, model: Any) -> "FullWindows":
        """Rows of one length."""
        return FullWindows(model, self)

    def tap(self, model: nn.Module, layers: Sequence[int]) -> LayerTap:
        """The encoder's layers, and the encoder as the last one."""
        return LayerTap(model, list(model.get_submodule("layers").children()), layers, self.layer_count, self.title)

    def train(self, model: Any, *, front_end: bool) -> None:
        """No layer drop, as of wav2vec 2.0. Its positions are sines and never trained."""
        model.layerdrop = 0.0
        for part in (model.embed_positions, *(() if front_end else (model.conv1, model.conv2))):
            part.requires_grad_(False)

    def save_inputs(self, folder: Path) -> None:
        """The preprocessor's config."""
        self.preprocessor.save_pretrained(folder)

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """With what decides the spectra."""
        settings = {name: getattr(self.preprocessor, name) for name in ("n_fft", "hop_length", "feature_size", "n_samples")}
        return super().describe(model) | {"preprocessor": {"kind": "log-mel"} | settings}


class FullWindows:
    """Runs an encoder on whole windows: shorter audio is padded with silence, longer audio goes through window by window.

    Windows begin at multiples of 30 s and do not overlap, and none sees another. A batch is computed as its longest
    utterance needs it, so that all windows of an utterance are rows that follow each other.
    """

    def __init__(self, model: Any, checkpoint: Whisper) -> None:
        self._model, self._checkpoint = model, checkpoint
        self._filters = torch.from_numpy(checkpoint.preprocessor.mel_filters)

    def run(
        self, waves: Float[Tensor, "batch samples"], samples: Sequence[int], frames: Sequence[int]
    ) -> Float[Tensor, "batch frames dim"]:
        """The last hidden states of a batch; see `Padding`."""
        window = self._checkpoint.window
        assert window is not None
        full = torch.nn.functional.pad(waves, (0, self._checkpoint.padded(waves.shape[1]) - waves.shape[1]))
        settings = self._checkpoint.preprocessor
        spectra = log_mel(full.reshape(-1, window), self._filters, length=settings.n_fft, hop=settings.hop_length)
        states: Tensor = self._model(spectra.to(next(self._model.parameters()).dtype)).last_hidden_state
        return states.reshape(len(waves), -1, states.shape[2])[:, : max(frames)]

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """A layer needs to know nothing of its batch."""
        return nullcontext(), nullcontext()


def log_mel(
    waves: Float[Tensor, "rows samples"], filters: Float[Tensor, "frequencies bands"], *, length: int, hop: int
) -> Float[Tensor, "rows bands spectra"]:
    """Whisper's input: log10 of mel power spectra, 8 (80 dB) below the row's loudest at least, scaled as in training.

    Radford et al. (2022), section 2.2; the numbers are those of `transformers`' WhisperFeatureExtractor.

    Args:
        waves: float32 or float64, which the spectra are made in; each row is a whole window.
        filters: mel filters, of the preprocessor.
        length: samples of a spectrum, under a Hann window.
        hop: samples from the centre of one spectrum to the next; the first is at sample 0.
    """
    window = torch.hann_window(length, dtype=waves.dtype, device=waves.device)
    bins = torch.stft(waves, length, hop, window=window, return_complex=True)[..., :-1]
    power = (bins.abs() ** 2).contiguous()
    found = (filters.to(waves).T @ power).clamp(min=1e-10).log10()
    loudest = found.amax((1, 2), keepdim=True)
    return (found.maximum(loudest - 8.0) + 4.0) / 4.0
