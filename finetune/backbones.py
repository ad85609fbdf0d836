"""Both encoders as they are trained: exact padded batches in, last hidden states with gradients out."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mer.extract.exact_padding import ExactPadding
from mer.extract.speech_checkpoint import SpeechCheckpoint
from mer.extract.text_checkpoint import TextCheckpoint
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences, real_units
from mer.finetune.spec_augment import mask_utterances_apart
from mer.finetune.utterance_dropout import recomputation


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
        self.model = model
        # A dropped layer has no gradient: several processes would wait for it for ever.
        self.model.config.layerdrop = 0.0
        self.model.config.apply_spec_augment = False
        self._spec_augment = config.spec_augment
        if config.spec_augment:
            mask_utterances_apart(model)
        self._padding = ExactPadding(model)
        if not config.train_cnn:
            self.model.feature_extractor._freeze_parameters()
        if config.checkpointing:
            _recompute(self.model, f"--speech-model {checkpoint.name}", context_fn=self._recomputation)
        probe = torch.linspace(-1, 1, 4 * checkpoint.frame_length)[None]
        _freeze_unreached(model, model(probe).last_hidden_state)
        if masks_frames:
            self.model.masked_spec_embed.requires_grad_(True)

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
        self.model.config.apply_spec_augment = self._spec_augment and self.training
        if min(samples) == waves.shape[1]:
            output = self.model(inputs)
        else:
            output = self._padding.run(inputs, samples, frames)
        return Sequences(states=output.last_hidden_state, real=real_units(frames, longest, waves.device))

    def _recomputation(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """What a layer that is recomputed needs to know again: lengths, and what it has dropped."""
        lengths, drops = self._padding.recomputation()[1], recomputation()[1]

        @contextmanager
        def both() -> Iterator[None]:
            with lengths, drops:
                yield

        return nullcontext(), both()


class TextBackbone(nn.Module):
    """A text encoder with gradients for everything that its last hidden states depend on."""

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
        if config.checkpointing:
            _recompute(self.model, f"--text-model {checkpoint.name}", context_fn=recomputation)
        probe = torch.tensor(checkpoint.tokenize(["a"]))
        _freeze_unreached(model, model(input_ids=probe, attention_mask=torch.ones_like(probe)).last_hidden_state)

    def forward(self, tokens: Int64[Tensor, "utterances wordpieces"], wordpieces: Sequence[int]) -> Sequences:
        """Last hidden states of every wordpiece, special tokens included.

        Args:
            tokens: ids, the tokenizer's padding after each text's own.
            wordpieces: own wordpieces of each text.
        """
        real = real_units(tuple(wordpieces), tokens.shape[1], tokens.device)
        mask = torch.ones_like(tokens) if real is None else real.long()
        return Sequences(states=self.model(input_ids=tokens, attention_mask=mask).last_hidden_state, real=real)


def refuse_untrainable(checkpoint: SpeechCheckpoint | TextCheckpoint) -> None:
    """Look at an encoder's config before its weights are read.

    Raises:
        FinetuneError: weights that have no gradients, or utterances that change with the batch they are in.
    """
    option = "--speech-model" if isinstance(checkpoint, SpeechCheckpoint) else "--text-model"
    if getattr(checkpoint.config, "quantization_config", None) is not None:
        raise FinetuneError(
            f"{option} {checkpoint.name}: not trainable here, its weights are quantised; use the same checkpoint in float"
        )
    if isinstance(checkpoint, SpeechCheckpoint) and not checkpoint.batches:
        raise FinetuneError(
            f"{option} {checkpoint.name}: not trainable here, its batch norm before the positional convolution mixes the "
            "utterances of a batch and their padding; use an encoder without conv_pos_batch_norm"
        )


def _masks_frames(checkpoint: SpeechCheckpoint) -> bool:
    """Whether SpecAugment replaces frames, rather than only channels.

    Raises:
        FinetuneError: it does neither.
    """
    times, features = (getattr(checkpoint.config, f"mask_{name}_prob", 0.0) for name in ("time", "feature"))
    if times <= 0 and features <= 0:
        raise FinetuneError(
            f"spec_augment: the config of --speech-model {checkpoint.name} masks nothing (mask_time_prob and mask_feature_prob "
            "are 0); set one in its config.json, or leave SpecAugment off"
        )
    return bool(times > 0)


def _recompute(model: Any, option: str, **settings: Any) -> None:
    """Drop activations in the forward pass by transformers' own switch."""
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise FinetuneError(f"{option}: this architecture cannot recompute activations; leave --checkpointing off")
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
