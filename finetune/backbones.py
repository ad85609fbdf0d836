"""Both encoders as they are trained: exact padded batches in, last hidden states with gradients out."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mer.extract.batch_trial import batches_are_exact
from mer.extract.families.checkpoint import Checkpoint
from mer.extract.families.speech_checkpoint import SpeechCheckpoint, trial_waves
from mer.extract.families.text_checkpoint import TextCheckpoint, trial_texts
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences, real_units
from mer.finetune.spec_augment import mask_utterances_apart
from mer.finetune.utterance_dropout import only, recomputation


class SpeechBackbone(nn.Module):
    """A speech encoder whose every utterance comes out of a batch as if it were alone, while training, too.

    What is trained is everything that the last hidden states depend on, less the convolutional front-end unless asked for.
    """

    def __init__(self, checkpoint: SpeechCheckpoint, model: Any, config: FinetuneConfig) -> None:
        """Make a loaded encoder trainable.

        Args:
            checkpoint: where `model` comes from.
            model: the encoder with its weights, in evaluation mode; it is changed in place.
            config: front-end, SpecAugment and recomputation.

        Raises:
            FinetuneError: SpecAugment without anything to mask, or an architecture that cannot recompute activations.
        """
        super().__init__()
        masks_frames = config.spec_augment and _masks_frames(checkpoint)
        self.checkpoint = checkpoint
        self.model: Any = checkpoint.bare(model)
        checkpoint.train(self.model, front_end=config.train_cnn)
        self._spec_augment = config.spec_augment
        if config.spec_augment:
            mask_utterances_apart(model)
        self._padding = checkpoint.padding(self.model)
        self._refuse_inexact()
        if config.checkpointing:
            _recompute(self.model, checkpoint.title, context_fn=self._recomputation)
        probe = torch.linspace(-1, 1, 4 * checkpoint.frame_length)[None]
        with torch.random.fork_rng(devices=[]):  # transformers 5.0 draws a number for every layer, in evaluation too
            samples = probe.shape[1]
            _freeze_unreached(model, self._padding.run(probe, [samples], [checkpoint.frame_count(samples)]))
        vector = checkpoint.mask_vector(self.model) if masks_frames else None
        if vector is not None:
            vector.requires_grad_(True)

    def forward(self, waves: Float[Tensor, "utterances samples"], samples: Sequence[int]) -> Sequences:
        """Last hidden states of every frame.

        Args:
            waves: prepared audio, zeros after each utterance's own samples.
            samples: own samples of each utterance.

        Raises:
            FinetuneError: an utterance that is too short for one frame.
        """
        if min(samples) < self.checkpoint.frame_length:
            raise FinetuneError(
                f"an utterance has {min(samples)} samples; the speech encoder needs {self.checkpoint.frame_length} for one frame"
            )
        inputs = waves.to(next(self.model.parameters()).dtype)
        frames = tuple(self.checkpoint.frame_count(count) for count in samples)
        longest = self.checkpoint.frame_count(waves.shape[1])
        if self._spec_augment:
            self.model.config.apply_spec_augment = self.training
        states = self._padding.run(inputs, samples, frames)
        return Sequences(states=states, real=real_units(frames, longest, waves.device))

    def _refuse_inexact(self) -> None:
        """Try two utterances alone and together.

        Raises:
            FinetuneError: they differ.
        """
        waves = [torch.from_numpy(wave) for wave in trial_waves(self.checkpoint)]
        samples = [len(wave) for wave in waves]

        def together() -> list[Tensor]:
            states = self(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), samples).states
            return [states[row, : self.checkpoint.frame_count(count), None] for row, count in enumerate(samples)]

        name = self.checkpoint.title
        self.eval()  # in training, SpecAugment would draw from the global generator
        if not batches_are_exact(name, lambda number: self(waves[number][None], [samples[number]]).states[0, :, None], together):
            raise FinetuneError(f"{name}: not trainable here, what it makes of an utterance depends on the others in its batch")
        self.training = True

    def _recomputation(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """What a layer that is recomputed needs to know again: lengths, and what it has dropped."""
        lengths, drops = self._padding.recomputation()[1], recomputation()[1]

        @contextmanager
        def both() -> Iterator[None]:
            with lengths, drops:
                yield

        return nullcontext(), both()


class TextBackbone(nn.Module):
    """A text encoder with gradients for everything that its last hidden states depend on.

    One whose padded batches are not exact (FNet, ConvBERT, ...) takes the texts of a batch one by one.
    """

    def __init__(self, checkpoint: TextCheckpoint, model: Any, config: FinetuneConfig) -> None:
        """Make a loaded encoder trainable.

        Args:
            checkpoint: where `model` comes from.
            model: the encoder with its weights, in evaluation mode; it is changed in place.
            config: recomputation.

        Raises:
            FinetuneError: an architecture that cannot recompute activations.
        """
        super().__init__()
        self.checkpoint = checkpoint
        self.model = model
        checkpoint.limit_to(model)
        self.one_by_one = False
        self.one_by_one = not self._try_batch()
        """Whether texts go through it alone."""
        if config.checkpointing:
            _recompute(self.model, checkpoint.title, context_fn=recomputation)
        probe = torch.tensor(checkpoint.tokenize(["a"]))
        _freeze_unreached(model, self._states(probe))

    def forward(self, tokens: Int64[Tensor, "utterances wordpieces"], wordpieces: Sequence[int]) -> Sequences:
        """Last hidden states of every wordpiece, special tokens included.

        Args:
            tokens: ids, the tokenizer's padding after each text's own.
            wordpieces: own wordpieces of each text.
        """
        real = real_units(tuple(wordpieces), tokens.shape[1], tokens.device)
        if self.one_by_one:
            rows = []
            for row, count in enumerate(wordpieces):
                with only(row):
                    rows.append(self._states(tokens[row : row + 1, :count]))
            return Sequences(
                states=torch.cat([F.pad(each, (0, 0, 0, tokens.shape[1] - each.shape[1])) for each in rows]), real=real
            )
        return Sequences(states=self._states(tokens, real), real=real)

    def _states(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """One forward pass; every wordpiece is a text's own unless `real` says which are."""
        mask = torch.ones_like(tokens) if real is None else real.long()
        return self.checkpoint.last_state(self.model, tokens, mask)

    def _try_batch(self) -> bool:
        texts = [torch.tensor(ids) for ids in trial_texts(self.checkpoint)]
        counts = [len(ids) for ids in texts]

        def together() -> list[Tensor]:
            tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=self.checkpoint.pad_token)
            states = self(tokens, counts).states
            return [states[row, :count, None] for row, count in enumerate(counts)]

        return batches_are_exact(self.checkpoint.title, lambda number: self._states(texts[number][None])[0, :, None], together)


def refuse_untrainable(checkpoint: Checkpoint) -> None:
    """Look at an encoder's config before its weights are read.

    Raises:
        FinetuneError: weights that have no gradients, or utterances that change with the batch they are in.
    """
    if getattr(checkpoint.config, "quantization_config", None) is not None:
        raise FinetuneError(
            f"{checkpoint.title}: not trainable here, its weights are quantised; use the same checkpoint in float"
        )
    if checkpoint.lacks_for_training:
        raise FinetuneError(
            f"{checkpoint.title}: not trainable here, its family {type(checkpoint).__name__} has a `load` of its own and no "
            f"{' and '.join(f'`{each}`' for each in checkpoint.lacks_for_training)} (docs/extending.md)"
        )
    if isinstance(checkpoint, SpeechCheckpoint) and (why := checkpoint.leak or checkpoint.untrainable):
        raise FinetuneError(f"{checkpoint.title}: not trainable here, {why}")


def _masks_frames(checkpoint: SpeechCheckpoint) -> bool:
    """Whether SpecAugment replaces frames, rather than only channels.

    Raises:
        FinetuneError: it does neither.
    """
    times, features = checkpoint.mask_shares
    if times <= 0 and features <= 0:
        raise FinetuneError(
            f"spec_augment: the config of --speech-model {checkpoint.name} masks nothing (mask_time_prob and mask_feature_prob "
            "are 0); set one in its config.json, or leave SpecAugment off"
        )
    return bool(times > 0)


def _recompute(model: Any, option: str, **settings: Any) -> None:
    """Drop activations in the forward pass by transformers' own switch."""
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise FinetuneError(f"{option}: this architecture cannot recompute activations; leave --gradient-checkpointing off")
    options = {"use_reentrant": False} | settings
    if hasattr(model, "activation_checkpointing_enable"):  # transformers before 5.23 knows the other name only
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def _freeze_unreached(model: nn.Module, output: Tensor) -> None:
    """Freeze parameters that the output does not depend on, such as BERT's pooler.

    They would be saved by the optimiser for nothing, and several processes would wait for their gradients.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(output.sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)
