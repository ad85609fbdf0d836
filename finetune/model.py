"""The whole model of Sun 2023: encoders, fusion, classifier and auxiliary tasks in one forward pass."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from mer.finetune.auxiliary import pair_classes
from mer.finetune.batch import Batch, Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.cross_attention import FusionModule
from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences
from mer.finetune.trainable import Encoders
from mer.heads.linear_branch import uniform_linear


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What the encoders made of a batch; the modality that is not used is None."""

    audio: Sequences | None
    """Frames."""
    text: Sequences | None
    """Wordpieces."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """Result of one forward pass."""

    logits: Float[Tensor, "utterances classes"]
    """Of the emotion, for the utterances as they are."""
    loss: Float[Tensor, ""]
    """L_MER + a1 L_aux1 + a2 L_aux2 (Sun 2023 names the terms, not their weights)."""
    main: Float[Tensor, ""]
    """L_MER, mean cross-entropy over the utterances."""
    aux1: Float[Tensor, ""] | None
    """L_aux1, mean cross-entropy over the recombined pairs; None without task 1."""
    aux2: Float[Tensor, ""] | None
    """L_aux2, mean cross-entropy over the pairs that have a partner, 0 if none has; None without task 2."""


class Classifier(nn.Module):
    """A linear layer, in the precision of its weights under autocast, too: its logits are what is tested."""

    def __init__(self, dim: int, classes: int, generator: torch.Generator) -> None:
        """Make the parameters; `generator` draws the initial weights."""
        super().__init__()
        self.weight, self.bias = uniform_linear(classes, dim, generator)

    def forward(self, embedding: Float[Tensor, "utterances dim"]) -> Float[Tensor, "utterances classes"]:
        """Logits."""
        with torch.autocast(embedding.device.type, enabled=False):
            return F.linear(embedding.to(self.weight.dtype), self.weight, self.bias)


class FinetuneModel(nn.Module):
    """One row of the tables of Sun 2023.

    Cross-attention (`ca`): the fusion module over both encoders' sequences. `fc`: the means of both, concatenated. One
    modality: its mean. Then dropout and a linear classifier. Encoders run once a batch; the auxiliary batches (section
    2.4) recombine what they made.
    """

    def __init__(self, config: FinetuneConfig, encoders: Encoders, classes: int, *, seed_generator: torch.Generator) -> None:
        """Put the model together.

        Args:
            config: the row.
            encoders: become part of this model.
            classes: C.
            seed_generator: draws the initial weights of what is not pretrained; the global generator is never used.

        Raises:
            FinetuneError: attention heads that do not divide an encoder's width, or fewer than 2 classes.
        """
        super().__init__()
        if classes < 2:
            raise FinetuneError(f"{classes} classes: expected 2 or more")
        self.config = config
        self.classes = classes
        self.speech = encoders.speech
        self.text = encoders.text
        widths = [encoder.checkpoint.dim for encoder in (self.speech, self.text) if encoder is not None]
        self.fusion: FusionModule | None = None
        if config.modality == "both" and config.fusion == "ca":
            self.fusion = FusionModule(
                audio_dim=widths[0],
                text_dim=widths[1],
                layers=config.fusion_layers,
                heads=config.attention_heads,
                generator=seed_generator,
            )
        self.emotion = Classifier(sum(widths), classes, seed_generator)
        # Drawn last, so that a model without task 1 starts from the same weights.
        self.pair = Classifier(sum(widths), classes * classes, seed_generator) if "1" in config.aux else None

    def forward(self, batch: Batch, pairing: Pairing | None = None) -> Output:
        """Logits and losses of a batch.

        Args:
            batch: on the model's device.
            pairing: of the auxiliary batches, on the model's device; None leaves them out, as in a test.

        Raises:
            FinetuneError: task 1 with a batch of one.
        """
        encoded = self.encode(batch)
        audio, text = encoded.audio, encoded.text
        logits = self.emotion(self._embed(audio, text))
        main = F.cross_entropy(logits, batch.labels)
        aux1 = aux2 = None
        loss = main
        if pairing is not None and audio is not None and text is not None:
            if self.pair is not None:
                aux1 = self._recombined_loss(self.pair, batch.labels, audio, text, pairing)
                loss = loss + self.config.aux_weights[0] * aux1
            if "2" in self.config.aux:
                aux2 = self._partner_loss(batch.labels, audio, text, pairing)
                loss = loss + self.config.aux_weights[1] * aux2
        return Output(logits=logits, loss=loss, main=main, aux1=aux1, aux2=aux2)

    def encode(self, batch: Batch) -> Encoded:
        """Run each encoder once.

        Raises:
            FinetuneError: a batch without what an encoder reads.
        """
        audio = text = None
        if self.speech is not None:
            if batch.waves is None:
                raise FinetuneError(f"modality {self.config.modality} reads audio, and this batch holds none")
            audio = self.speech(batch.waves, batch.samples)
        if self.text is not None:
            if batch.tokens is None:
                raise FinetuneError(f"modality {self.config.modality} reads text, and this batch holds none")
            text = self.text(batch.tokens, batch.wordpieces)
        return Encoded(audio=audio, text=text)

    def parameter_groups(self, config: FinetuneConfig) -> list[dict[str, Any]]:
        """Groups for AdamW: encoders and the rest, each with matrices that decay and biases and gains that do not."""
        groups: list[dict[str, Any]] = []
        trained = [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]
        for part, rate in (("encoders", config.encoder_rate), ("fusion", config.fusion_rate)):
            own = [parameter for name, parameter in trained if name.startswith(("speech.", "text.")) == (part == "encoders")]
            for kind, decay in (("matrices", config.weight_decay), ("vectors", 0.0)):
                chosen = [parameter for parameter in own if _is_matrix(parameter) == (kind == "matrices")]
                groups.append({"name": f"{part}.{kind}", "params": chosen, "lr": rate, "weight_decay": decay})
        return [group for group in groups if group["params"]]

    def _embed(self, audio: Sequences | None, text: Sequences | None) -> Float[Tensor, "utterances dim"]:
        """The embedding that is classified, after dropout."""
        if self.fusion is not None and audio is not None and text is not None:
            embedding = self.fusion(audio, text)
        else:
            embedding = torch.cat([sequences.means() for sequences in (audio, text) if sequences is not None], 1)
        return F.dropout(embedding, self.config.dropout, self.training)

    def _recombined_loss(
        self, classifier: Classifier, labels: Tensor, audio: Sequences, text: Sequences, pairing: Pairing
    ) -> Float[Tensor, ""]:
        """Task 1: audio i with text `permutation[i]`, one of C * C classes."""
        if len(labels) < 2:
            raise FinetuneError(
                "a forward pass of one utterance with aux 1: auxiliary task 1 pairs audio and text of different utterances, so "
                "that it needs at least 2; raise --batch-seconds, or leave task 1 out"
            )
        logits = classifier(self._embed(audio, text.pick(pairing.permutation)))
        return F.cross_entropy(logits, pair_classes(labels, pairing.permutation, self.classes))

    def _partner_loss(self, labels: Tensor, audio: Sequences, text: Sequences, pairing: Pairing) -> Float[Tensor, ""]:
        """Task 2: audio or text of another utterance with the same emotion, which must still be recognised."""
        if not len(pairing.audio):
            return audio.states.new_zeros(())
        logits = self.emotion(self._embed(audio.pick(pairing.audio), text.pick(pairing.text)))
        return F.cross_entropy(logits, labels[pairing.audio])


def _is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter mixes values, rather than scaling or shifting each of them.

    A weight norm's gain is stored as (1, 1, kernel), WavLM's gates as (1, heads, 1, 1).
    """
    return sum(size > 1 for size in parameter.shape) > 1
