"""The encoders of one run: loaded for training, and the preparation of their inputs, which needs no weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mer.extract import ExtractError
from mer.extract.batch_trial import ONE_BY_ONE, one_by_one_notice
from mer.extract.families.checkpoint import Checkpoint
from mer.extract.families.open_checkpoint import open_speech, open_text
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.families.text_checkpoint import TextCheckpoint
from mer.finetune.backbones import SpeechBackbone, TextBackbone, refuse_untrainable
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError


class TrainableEncoders:
    """Speech and text encoder of one run; the one that is not used is None.

    They become parts of the model that is trained: load them again for another run. Preparation is safe in threads.
    """

    def __init__(self, speech: SpeechBackbone | None, text: TextBackbone | None, identity: dict[str, Any]) -> None:
        """Hold both.

        Args:
            speech: None where only text is used.
            text: None where only speech is used.
            identity: `speech` and `text`, each with id, revision and weight hash before training.
        """
        self.speech = speech
        self.text = text
        self.identity = identity

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of how they run."""
        if self.text is None or not self.text.one_by_one:
            return ()
        return (one_by_one_notice(self.text.checkpoint.title),)

    @property
    def sample_rate(self) -> int:
        """Hz that the speech encoder expects."""
        return self._spoken.sample_rate

    @property
    def frame_length(self) -> int:
        """Samples of the shortest audio there can be."""
        return self._spoken.frame_length

    @property
    def frame_stride(self) -> int:
        """Samples between the starts of two frames."""
        return self._spoken.frame_stride

    def prepare(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio at `sample_rate`, normalised over this utterance alone where the checkpoint asks for it."""
        return self._spoken.prepare(wave)

    def padded_seconds(self, seconds: float) -> float:
        """What an utterance, or a text that counts as so many seconds, takes in a batch."""
        return seconds if self.speech is None else self.speech.checkpoint.padded_seconds(seconds)

    @property
    def pad_token(self) -> int:
        """Id that fills up the shorter texts of a batch."""
        return self._written.pad_token

    @property
    def max_tokens(self) -> int:
        """Wordpieces of the longest text there can be."""
        return self._written.max_tokens

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with the encoder's special tokens.

        Raises:
            FinetuneError: a text that the encoder has no positions for.
        """
        found = self._written.tokenize(texts)
        for text, ids in zip(texts, found, strict=True):
            if len(ids) > self.max_tokens:
                raise FinetuneError(
                    f"the transcript {text[:40]!r}... has {len(ids)} wordpieces, the text encoder takes {self.max_tokens}; "
                    "split the utterance, or use a text encoder with more positions"
                )
        return found

    @property
    def _spoken(self) -> SpeechCheckpoint:
        if self.speech is None:
            raise FinetuneError("modality text reads no audio: there is no speech encoder to prepare it for")
        return self.speech.checkpoint

    @property
    def _written(self) -> TextCheckpoint:
        if self.text is None:
            raise FinetuneError("modality speech reads no text: there is no text encoder to prepare it for")
        return self.text.checkpoint


def load_encoders(config: FinetuneConfig) -> TrainableEncoders:
    """Load the encoders that the config names, with their pretrained weights, on the CPU in float32.

    Raises:
        FinetuneError: an encoder that cannot be had, is of the wrong kind, incomplete, or not trainable here.
    """
    speech, text = None, None
    identity: dict[str, Any] = {}
    try:
        if "speech" in config.modalities:
            spoken = open_speech(config.speech_model, config.speech_revision)
            model = _load(spoken)
            identity["speech"] = spoken.describe(model)
            speech = SpeechBackbone(spoken, model, config)
        if "text" in config.modalities:
            written = open_text(config.text_model, config.text_revision)
            model = _load(written)
            identity["text"] = written.describe(model)
            text = TextBackbone(written, model, config)
            if text.one_by_one:
                identity["text"]["batches"] = ONE_BY_ONE
    except ExtractError as problem:
        raise FinetuneError(str(problem)) from problem
    return TrainableEncoders(speech, text, identity)


def _load(checkpoint: Checkpoint) -> nn.Module:
    refuse_untrainable(checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # draws what a checkpoint may lack: a pooler, the vector in place of masked frames
        return checkpoint.load()
