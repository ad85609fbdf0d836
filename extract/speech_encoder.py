"""A frozen speech encoder: padded batches of waveforms in, exact hidden states out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mer.backends.device import resolve_device
from mer.corpus.audio import AudioError
from mer.extract.batch_trial import ONE_BY_ONE, batches_are_exact, one_by_one_notice, trial_dtype
from mer.extract.config import ExtractError
from mer.extract.device_path import DevicePath, path_to
from mer.extract.families.checkpoint import Checkpoint
from mer.extract.families.open_checkpoint import open_speech
from mer.extract.families.speech_checkpoint import trial_waves
from mer.extract.hidden_states import CLOSING_NORM
from mer.extract.memory import check_memory


class SpeechEncoder:
    """All hidden states of a frozen speech encoder, each utterance as if it were alone.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.
        layers: Hidden states to return, 0 = input of the first layer; None = 1..N. The last one carries the encoder's
            closing norm, where it has one.
        dtype: Precision of the forward pass.
        device: `cpu`, `cuda`, ...
        long: What becomes of audio that the encoder does not take at once: `windows`, or `refuse`.
        path: How inputs come to the device; None = what `device` has.

    Raises:
        EncoderError: no such encoder, of no registered family, weights or preprocessor config missing, or layers that cannot
            be told apart.
        ExtractError: a layer that the encoder does not have.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        long: str = "windows",
        path: DevicePath | None = None,
    ) -> None:
        family = self.checkpoint = open_speech(name, revision)
        self.dim, self.sample_rate, self._long = family.dim, family.sample_rate, long
        self.frame_length, self.frame_stride, self.frame_count = family.frame_length, family.frame_stride, family.frame_count
        self.device = resolve_device(device)
        self.path = path or path_to(self.device)
        check_memory(family, self.device)
        model = family.load()
        self.layers = pick_layers(layers, family)
        self.identity: dict[str, Any] = family.describe(model) | {"layers": list(self.layers)}
        if family.closing_norm and family.layer_count in self.layers:
            # Absent where it says nothing new: caches of other encoders, or of lower layers, keep their key.
            self.identity["last_layer"] = CLOSING_NORM
        if family.window is not None:
            self.identity["long"] = long
        family.freeze(model)
        self.model = family.bare(model).to(self.device, trial_dtype(dtype))
        self._padding = family.padding(self.model)
        self._tap = family.tap(self.model, self.layers)
        self.one_by_one = family.leak is not None or not (family.alike or self._try_batch())
        """Whether utterances go through it alone, since its padded batches are not exact."""
        if self.one_by_one and family.leak is None:
            self.identity["batches"] = ONE_BY_ONE
        self.model = self.model.to(dtype)
        self.dtype = dtype

    @property
    def notice(self) -> str | None:
        """What a user should know of how it runs."""
        return one_by_one_notice(self.checkpoint.title) if self.one_by_one else None

    def prepare(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio at `sample_rate` as its family has it.

        Raises:
            AudioError: it is longer than the encoder takes at once, and such audio is to be refused.
        """
        if self._long == "refuse" and (count := self.checkpoint.windows(len(wave))) > 1:
            assert self.checkpoint.window is not None
            raise AudioError(
                f"{len(wave) / self.sample_rate:.1f} s of audio, and {self.checkpoint.title} takes "
                f"{self.checkpoint.window / self.sample_rate:g} s at once; split the utterance, or give `--long windows` for "
                f"{count} windows"
            )
        return self.checkpoint.prepare(wave)

    def conversions(self, wave: NDArray[np.float32] | None) -> tuple[str, ...]:
        """What is done to prepared audio, in words that can be counted."""
        if wave is None or self.checkpoint.windows(len(wave)) == 1:
            return ()
        assert self.checkpoint.window is not None
        return (f"longer than {self.checkpoint.window / self.sample_rate:g} s, read in windows",)

    @torch.inference_mode()
    def __call__(self, waves: Sequence[NDArray[np.float32]]) -> list[Float[Tensor, "frames layers dim"]]:
        """Hidden states of prepared waveforms, one tensor per utterance, on the encoder's device.

        Args:
            waves: 1-D float32 at `sample_rate`, already through `prepare`, at least `frame_length` samples each.

        Raises:
            ValueError: a waveform that is too short (inside a padded batch it would silently see everything).
        """
        samples = [len(wave) for wave in waves]
        if min(samples) < self.frame_length:
            raise ValueError(f"a waveform has {min(samples)} samples; one frame needs {self.frame_length}")
        if self.one_by_one:
            return [self._encode([wave])[0] for wave in waves]
        return self._encode(waves)

    def _encode(self, waves: Sequence[NDArray[np.float32]]) -> list[Float[Tensor, "frames layers dim"]]:
        """One forward pass."""
        samples = [len(wave) for wave in waves]
        frames = [self.frame_count(count) for count in samples]
        parameter = next(self.model.parameters())
        inputs = self.path.host_zeros(len(waves), max(samples))
        for row, wave in enumerate(waves):
            inputs[row, : len(wave)] = torch.from_numpy(wave)
        # Spectra of audio in bfloat16 would be noise: what is made of it is rounded, not the audio.
        inputs = self.path.to_device(inputs).to(trial_dtype(parameter.dtype))
        # Windows of one utterance are rows that follow each other.
        hidden = [
            layer.reshape(len(waves), -1, self.dim) for layer in self._tap.run(lambda: self._padding.run(inputs, samples, frames))
        ]
        return [torch.stack([layer[row, :count] for layer in hidden], dim=1) for row, count in enumerate(frames)]

    def _try_batch(self) -> bool:
        waves = trial_waves(self.checkpoint)
        return batches_are_exact(
            self.checkpoint.title, lambda number: self._encode([waves[number]])[0], lambda: self._encode(waves)
        )


def pick_layers(wanted: Sequence[int] | None, checkpoint: Checkpoint) -> tuple[int, ...]:
    """The hidden states to keep: all transformer layers by default.

    Raises:
        ExtractError: for a layer beyond the encoder's last.
    """
    count = checkpoint.layer_count
    if wanted is None:
        return tuple(range(1, count + 1))
    if max(wanted) > count:
        raise ExtractError(f"--layers asks for layer {max(wanted)}, but {checkpoint.title} has layers 1-{count}")
    return tuple(wanted)
