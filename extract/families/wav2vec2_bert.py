"""w2v-BERT 2.0: Conformer layers on pairs of log-mel spectra, each mel band normalised over its own utterance.

Its convolutions look back only and its attention is masked, so that padding reaches nothing; what has to be seen to is that
the statistics of an utterance are those of its own spectra.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

from mer.backends.device import device_of_the_rest
from mer.extract.families.preprocessor import load_preprocessor, takes_spectra
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.hidden_states import LayerTap
from mer.extract.pretrained import EncoderError

LENGTH, HOP, FOURIER = 400, 160, 512
"""Samples of a spectrum, from one to the next, and of its Fourier transform: Kaldi's at 16 kHz, and not in any file."""
PREEMPHASIS, FLOOR = 0.97, 2.0**-23
"""As Kaldi's filter banks have it: each sample less so much of the one before, and the least power in a mel band."""


class Wav2Vec2Bert(SpeechCheckpoint):
    """A checkpoint of w2v-BERT 2.0.

    Raises:
        EncoderError: no preprocessor config, or one that is not the encoder's.
    """

    normalize = False

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        super().__init__(name, revision, config)
        self.preprocessor, _ = load_preprocessor(self.title, name, revision)
        takes_spectra(self.title, self.preprocessor, SeamlessM4TFeatureExtractor)
        self.sample_rate = self.preprocessor.sampling_rate
        bands, self.stack = self.preprocessor.num_mel_bins, self.preprocessor.stride
        if bands * self.stack != config.feature_projection_input_dim:
            raise EncoderError(
                f"{self.title}: its preprocessor_config.json makes frames of {bands} x {self.stack} values, its encoder takes "
                f"{config.feature_projection_input_dim}: they are not of one checkpoint"
            )
        self.frame_stride = self.stack * HOP
        self.frame_length = LENGTH + (self.stack - 1) * HOP
        self.mask_shares = (config.mask_time_prob, config.mask_feature_prob)

    @property
    def adapter_padding(self) -> int:
        """Half a stride."""
        return int(self.config.adapter_stride) // 2

    def bare(self, model: Any) -> Any:
        """The model without the adapter that may be behind its encoder."""
        model.adapter = model.intermediate_ffn = None
        return model

    def padding(self, model: Any) -> "OwnStatistics":
        """Statistics over each utterance's own spectra, and masks."""
        return OwnStatistics(model, self)

    def tap(self, model: nn.Module, layers: Sequence[int]) -> LayerTap:
        """The encoder's layers, and the encoder as the last one."""
        encoder = model.get_submodule("encoder")
        return LayerTap(encoder, list(encoder.get_submodule("layers").children()), layers, self.layer_count, self.title)

    def train(self, model: Any, *, front_end: bool) -> None:
        """No layer drop and no SpecAugment; there are no convolutions before the transformer."""
        model.config.layerdrop = 0.0
        model.config.apply_spec_augment = False

    def mask_vector(self, model: Any) -> nn.Parameter | None:
        """There where the config masks frames."""
        found: nn.Parameter = model.masked_spec_embed
        return found

    def save_inputs(self, folder: Path) -> None:
        """The preprocessor's config."""
        self.preprocessor.save_pretrained(folder)

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """With what decides the spectra."""
        settings = {name: getattr(self.preprocessor, name) for name in ("num_mel_bins", "stride")}
        return super().describe(model) | {"preprocessor": {"kind": "log-mel of Kaldi, normalised per band"} | settings}


class OwnStatistics:
    """Runs an encoder on frames that are made of each row's own samples."""

    def __init__(self, model: Any, checkpoint: Wav2Vec2Bert) -> None:
        self._model, self._stack = model, checkpoint.stack
        self._filters = torch.from_numpy(checkpoint.preprocessor.mel_filters)
        self._window = torch.from_numpy(checkpoint.preprocessor.window)

    def run(
        self, waves: Float[Tensor, "batch samples"], samples: Sequence[int], frames: Sequence[int]
    ) -> Float[Tensor, "batch frames dim"]:
        """The last hidden states of a batch; see `Padding`."""
        exact = waves.to(device_of_the_rest(waves.device))
        filters, window = (each.to(exact.device, non_blocking=True) for each in (self._filters, self._window))
        spectra = filter_banks(exact.double(), filters, window)
        own = (torch.tensor(samples).to(exact.device, non_blocking=True) - LENGTH) // HOP + 1
        normal = normalised(spectra, own)[:, : max(frames) * self._stack]
        inputs = normal.reshape(len(waves), max(frames), -1).to(next(self._model.parameters()).dtype).to(waves.device)
        mask = None
        if min(frames) < max(frames):
            mask = (torch.arange(max(frames)) < torch.tensor(frames)[:, None]).to(waves.device, non_blocking=True)
        states: Tensor = self._model(inputs, attention_mask=mask).last_hidden_state
        return states

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """A layer is given what it needs to know of its batch."""
        return nullcontext(), nullcontext()


def filter_banks(
    waves: Float64[Tensor, "rows samples"],
    filters: Float64[Tensor, "frequencies bands"],
    window: Float64[Tensor, " length"],
) -> Float64[Tensor, "rows spectra bands"]:
    """Kaldi's log-mel filter banks, as `transformers`' SeamlessM4TFeatureExtractor has them; each sees its own 400 samples.

    Args:
        waves: between -1 and 1.
        filters: mel filters, of the preprocessor.
        window: Povey's, of the preprocessor.
    """
    pieces = waves.unfold(1, LENGTH, HOP) * 2.0**15
    pieces = pieces - pieces.mean(2, keepdim=True)
    before = torch.cat([pieces[..., :1], pieces[..., :-1]], 2)
    power = torch.fft.rfft((pieces - PREEMPHASIS * before) * window, FOURIER).abs() ** 2
    found: Tensor = (power @ filters).clamp(min=FLOOR).log()
    return found


def normalised(
    spectra: Float64[Tensor, "rows spectra bands"], own: Int64[Tensor, " rows"]
) -> Float64[Tensor, "rows spectra bands"]:
    """Zero mean and unit variance of every band over a row's own spectra (with n - 1), and zeros beyond them.

    Args:
        spectra: some of which see padding.
        own: how many of each row do not, at least 2; (rows).
    """
    real = (torch.arange(spectra.shape[1], device=spectra.device) < own[:, None])[..., None]
    count = own[:, None, None]
    mean = torch.where(real, spectra, 0.0).sum(1, keepdim=True) / count
    centred = torch.where(real, spectra - mean, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (count - 1)
    return centred / (variance + 1e-7).sqrt()
