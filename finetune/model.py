"""The whole model of Sun 2023: encoders, fusion, classifier and auxiliary tasks in one forward pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int32, Int64
from torch import Tensor, nn

from mer.finetune.auxiliary import pair_classes
from mer.finetune.batch import Batch, Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.cross_attention import FusionModule
from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences
from mer.finetune.trainable import TrainableEncoders
from mer.finetune.utterance_dropout import draw_keys, hashed_dropout, utterance_dropout
from mer.heads.fusion.linear_branch import uniform_linear

SPEECH, TEXT, EMBEDDING = 0, 1, 1 << 24
"""Where dropout is drawn; the encoders count on from theirs times 2^16."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedBatch:
    """What the encoders made of a batch; the modality that is not used is None."""

    audio: Sequences | None
    """Frames."""
    text: Sequences | None
    """Wordpieces."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """Result of one forward pass."""

    logits: Float[Tensor, "utterances classes"]
    """Logits of the emotion, for the utterances as they are."""
    loss: Float[Tensor, ""]
    """L_MER + a1 L_aux1 + a2 L_aux2 (Sun 2023 names the terms, not their weights)."""
    main: Float[Tensor, ""]
    """L_MER, mean cross-entropy over the utterances."""
    aux1: Float[Tensor, ""] | None
    """L_aux1, mean cross-entropy over the recombined pairs; None without task 1."""
    aux2: Float[Tensor, ""] | None
    """L_aux2, mean cross-entropy over the pairs that have a partner, 0 if none has; None without task 2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskSums:
    """Losses of the items of one forward pass, summed."""

    logits: Float[Tensor, "utterances classes"]
    """Logits of the emotion, for the utterances of the pass as they are."""
    main: Float[Tensor, ""]
    """Cross-entropy of the emotion."""
    aux1: Float[Tensor, ""] | None
    """Cross-entropy of the recombined pairs, one for each audio of the pass; None without task 1."""
    aux2: Float[Tensor, ""] | None
    """Cross-entropy of the pairs of one emotion; None without task 2."""
    pairs: int
    """Pairs of task 2."""


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
    modality: its mean. Then dropout and a linear classifier. The auxiliary batches (section 2.4) recombine what
    the encoders made.
    """

    def __init__(
        self, config: FinetuneConfig, encoders: TrainableEncoders, classes: int, *, seed_generator: torch.Generator
    ) -> None:
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
        """Logits and losses of a batch that is a whole step, or of one without auxiliary tasks.

        Args:
            batch: on the model's device.
            pairing: of the auxiliary batches; None leaves them out, as in a test.

        Raises:
            FinetuneError: task 1 with a batch of one.
        """
        encoded = self.encode(batch)
        tasks = self.task_sums(encoded.audio, encoded.text, batch.labels, pairing, seeds=batch.seeds)
        main = loss = tasks.main / len(batch.rows)
        aux1 = aux2 = None
        if tasks.aux1 is not None:
            aux1 = tasks.aux1 / len(batch.rows)
            loss = loss + self.config.aux_weights[0] * aux1
        if tasks.aux2 is not None:
            aux2 = tasks.aux2 / max(tasks.pairs, 1)
            loss = loss + self.config.aux_weights[1] * aux2
        return Output(logits=tasks.logits, loss=loss, main=main, aux1=aux1, aux2=aux2)

    def encode(self, batch: Batch) -> EncodedBatch:
        """Run each encoder once.

        Raises:
            FinetuneError: a batch without what an encoder reads.
        """
        return EncodedBatch(audio=self.encode_audio(batch), text=self.encode_text(batch))

    def encode_audio(self, batch: Batch) -> Sequences | None:
        """Frames of every utterance; None where only text is used."""
        if self.speech is None:
            return None
        if batch.waves is None:
            raise FinetuneError(f"modality {self.config.modality} reads audio, and this batch holds none")
        with utterance_dropout(batch.seeds, SPEECH, batch.waves.device):
            frames: Sequences = self.speech(batch.waves, batch.samples)
        return frames

    def encode_text(self, batch: Batch) -> Sequences | None:
        """Wordpieces of every utterance; None where only speech is used."""
        if self.text is None:
            return None
        if batch.tokens is None:
            raise FinetuneError(f"modality {self.config.modality} reads text, and this batch holds none")
        with utterance_dropout(batch.seeds, TEXT, batch.tokens.device):
            wordpieces: Sequences = self.text(batch.tokens, batch.wordpieces)
        return wordpieces

    def task_sums(
        self,
        audio: Sequences | None,
        text: Sequences | None,
        labels: Int64[Tensor, " step"],
        pairing: Pairing | None,
        first: int = 0,
        seeds: Sequence[int] = (),
        emotion: Callable[[Tensor], Tensor] | None = None,
    ) -> TaskSums:
        """Losses of the items whose audio is in one forward pass, summed; a pair's text may be of any pass of the step.

        The passes of a step together have every item of the three tasks once, so that sums over them, and their gradients,
        are those of the step in one pass.

        Args:
            audio: frames of the utterances of the pass.
            text: wordpieces of all utterances of the step; of the pass where only text is used.
            labels: class numbers of all utterances of the step, on the model's device.
            pairing: of the step; None leaves the auxiliary tasks out.
            first: place in the step of the pass' first utterance.
            seeds: of the step's utterances, for dropout of the embeddings; empty for PyTorch's generator.
            emotion: gives the main loss of each utterance of the pass from its logits; None is cross-entropy with `labels`.

        Raises:
            FinetuneError: task 1 in a step of one utterance.
        """
        held = audio if audio is not None else text
        assert held is not None
        count, whole = len(held.states), len(labels)
        own = slice(first, first + count)
        of_pass = text if text is None or count == whole else text.part(own)
        logits = self.emotion(self._embed(audio, of_pass, self._keys(seeds[own], EMBEDDING, held)))
        main = F.cross_entropy(logits, labels[own], reduction="sum") if emotion is None else emotion(logits).sum()
        if pairing is None or audio is None or text is None:
            return TaskSums(logits=logits, main=main, aux1=None, aux2=None, pairs=0)
        aux1 = aux2 = None
        if self.pair is not None:
            if whole < 2:
                raise FinetuneError(
                    "a step of one utterance with aux 1: auxiliary task 1 pairs audio and text of different utterances, so "
                    "that it needs at least 2; use a larger --batch, or leave task 1 out"
                )
            permutation = pairing.permutation.to(labels.device, non_blocking=True)
            embedding = self._embed(audio, text.pick(permutation[own]), self._keys(seeds[own], EMBEDDING + 1, held))
            targets = pair_classes(labels, permutation, self.classes)[own]
            aux1 = F.cross_entropy(self.pair(embedding), targets, reduction="sum")
        numbers = pairing.of_audio(first, count) if "2" in self.config.aux else pairing.audio[:0]
        if "2" in self.config.aux:
            aux2 = audio.states.new_zeros(())
            if len(numbers):
                aux2 = self._partner_loss(audio, text, labels, pairing, numbers, first, seeds)
        return TaskSums(logits=logits, main=main, aux1=aux1, aux2=aux2, pairs=len(numbers))

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

    def _embed(
        self, audio: Sequences | None, text: Sequences | None, keys: Int32[Tensor, " utterances"] | None = None
    ) -> Float[Tensor, "utterances dim"]:
        """The embedding that is classified, after dropout; without keys it draws from PyTorch's generator."""
        if self.fusion is not None and audio is not None and text is not None:
            embedding = self.fusion(audio, text)
        else:
            embedding = torch.cat([sequences.means() for sequences in (audio, text) if sequences is not None], 1)
        if keys is None:
            return F.dropout(embedding, self.config.dropout, self.training)
        return hashed_dropout(embedding, self.config.dropout, keys)

    def _keys(self, seeds: Sequence[int], place: int, held: Sequences) -> Int32[Tensor, " utterances"] | None:
        return draw_keys(seeds, place, held.states.device) if seeds and self.training else None

    def _partner_loss(
        self,
        audio: Sequences,
        text: Sequences,
        labels: Tensor,
        pairing: Pairing,
        numbers: Tensor,
        first: int,
        seeds: Sequence[int],
    ) -> Float[Tensor, ""]:
        """Task 2: audio or text of another utterance with the same emotion, which must still be recognised."""
        heard, read = pairing.audio[numbers], pairing.text[numbers]
        # A pair may be drawn twice, once for each of its utterances: its number keeps the two apart.
        own = (
            [(seeds[place] + number) % 2**63 for place, number in zip(heard.tolist(), numbers.tolist(), strict=True)]
            if seeds
            else []
        )
        heard, read = (each.to(labels.device, non_blocking=True) for each in (heard, read))
        embedding = self._embed(audio.pick(heard - first), text.pick(read), self._keys(own, EMBEDDING + 2, audio))
        return F.cross_entropy(self.emotion(embedding), labels.index_select(0, heard), reduction="sum")


def _is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter mixes values, rather than scaling or shifting each of them.

    A weight norm's gain is stored as (1, 1, kernel), WavLM's gates as (1, heads, 1, 1).
    """
    return sum(size > 1 for size in parameter.shape) > 1
