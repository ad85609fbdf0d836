"""What a family of speech encoders says of a checkpoint: inputs, where frames lie, layers, batches, and what is trained."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.extract.families.checkpoint import Checkpoint
from mer.extract.hidden_states import LayerTap


@runtime_checkable
class Padding(Protocol):
    """Runs one model on padded batches. A family that cannot keep utterances apart in them is found by a trial."""

    def run(
        self, waves: Float[Tensor, "batch samples"], samples: Sequence[int], frames: Sequence[int]
    ) -> Float[Tensor, "batch frames dim"]:
        """The last hidden states of a batch.

        Args:
            waves: each row's own samples, then zeros; float32 or better.
            samples: own samples of each row.
            frames: frames that come from them.

        Returns:
            As many frames as the longest row has, or more.
        """
        raise NotImplementedError

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For `context_fn` of `torch.utils.checkpoint`: a layer that is recomputed sees what it saw before."""
        raise NotImplementedError


class SpeechCheckpoint(Checkpoint):
    """A speech encoder's checkpoint, without its weights."""

    option: ClassVar[str] = "--speech-model"
    sample_rate: int
    """Hz that the encoder was trained with."""
    normalize: bool
    """Whether audio gets zero mean and unit variance."""
    frame_stride: int
    """Samples between the starts of two frames: 320 for wav2vec 2.0 (20 ms)."""
    frame_length: int
    """Samples that one frame sees, and the shortest audio there can be: 400 for wav2vec 2.0 (25 ms)."""
    frame_offset: int = 0
    """Where frame 0 begins, in samples from the first one; negative where it begins before the audio."""
    window: int | None = None
    """Samples that go through at once: shorter audio is padded to them, longer cut into windows. None where any length does."""
    alike: bool = False
    """Whether all rows of a batch have one length whatever their audio's, so that nothing of padding has to be tried."""
    leak: str | None = None
    """Why padding is known to reach an utterance's own frames; None where the trial is to tell."""
    untrainable: str | None = None
    """Why it can be read, and not trained; None where nothing is known against it."""
    mask_shares: tuple[float, float] = (0.0, 0.0)
    """What SpecAugment does: probabilities of masking frames and channels; zeros where the encoder has none."""

    @property
    def adapter_padding(self) -> int:
        """Frames of zeros before the first one in each convolution that `add_adapter` puts behind the encoder."""
        return 1

    @property
    def closing_norm(self) -> bool:
        """Whether a norm follows the last transformer layer, which the layers below do not have."""
        return False

    def frame_count(self, samples: int) -> int:
        """Frames of an utterance; 0 if it is shorter than one frame. (n - 400) // 320 + 1 for wav2vec 2.0."""
        return max(0, (samples - self.frame_length) // self.frame_stride + 1)

    def padded(self, samples: int) -> int:
        """Samples that an utterance takes in a batch, by which batches and their memory are measured."""
        return samples if self.window is None else self.windows(samples) * self.window

    def padded_seconds(self, seconds: float) -> float:
        """The same in seconds; those given, where any length goes through at once."""
        return seconds if self.window is None else self.padded(round(seconds * self.sample_rate)) / self.sample_rate

    def windows(self, samples: int) -> int:
        """How many windows an utterance goes through in; 1 where any length goes through at once."""
        return 1 if self.window is None else max(1, -(-samples // self.window))

    def prepare(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Zero mean and unit variance over this utterance alone, where the checkpoint asks for it.

        One utterance at a time: `transformers`' own batch call normalises over the padding when the checkpoint says
        `return_attention_mask: false`, as wav2vec2-base does.
        """
        if not self.normalize:
            return wave
        normal: NDArray[np.float32] = ((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)).astype(np.float32)
        return normal

    def bare(self, model: Any) -> Any:
        """A loaded model without what is behind its encoder; changed in place."""
        return model

    def freeze(self, model: nn.Module) -> None:
        """Make a model that is never trained faster, with the same bits; changed in place."""
        model.requires_grad_(False)

    @abstractmethod
    def padding(self, model: Any) -> Padding:
        """What runs a bare model on batches; the model may be changed in place."""

    @abstractmethod
    def tap(self, model: nn.Module, layers: Sequence[int]) -> LayerTap:
        """What reads the wanted layers while a bare model runs."""

    def train(self, model: Any, *, front_end: bool) -> None:
        """Ready a bare model for training; changed in place.

        Args:
            model: with gradients for everything.
            front_end: whether what is before the transformer is trained, too.
        """

    def mask_vector(self, model: Any) -> nn.Parameter | None:
        """What SpecAugment puts in place of a frame."""
        return None

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """What identifies the checkpoint with the weights that were loaded from it."""
        return super().describe(model) | {
            "sample_rate": self.sample_rate,
            "normalize": self.normalize,
            "frame_stride": self.frame_stride,
            "frame_length": self.frame_length,
            # Absent where frame 0 begins with the audio: caches of such encoders keep their key.
            **({"frame_offset": self.frame_offset} if self.frame_offset else {}),
        }


def trial_waves(checkpoint: SpeechCheckpoint) -> list[NDArray[np.float32]]:
    """Two prepared waveforms of noise, 10 and 40 frame lengths long, the same ones each time."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(2, 40 * checkpoint.frame_length)).astype(np.float32)
    return [checkpoint.prepare(noise[0, : 10 * checkpoint.frame_length]), checkpoint.prepare(noise[1])]
