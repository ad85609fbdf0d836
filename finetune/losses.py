"""Losses of the three tasks, summed over what they are means of."""

from dataclasses import dataclass

from mer.finetune.config import FinetuneConfig


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Means over a step or an epoch."""

    total: float
    """L_MER + a1 L_aux1 + a2 L_aux2."""
    main: float
    """L_MER, over utterances."""
    aux1: float | None
    """L_aux1, over utterances; None without task 1."""
    aux2: float | None
    """L_aux2, over pairs; None without task 2, or without a pair."""
    lonely_share: float | None
    """Share of the utterances without a partner for task 2; None without task 2."""
    unchanged_share: float | None
    """Share of task 1's pairs that are an utterance as it is; None without task 1."""
    same_class_share: float | None
    """Share of task 1's pairs whose audio and text are of one class, the unchanged included; None without task 1."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Losses of the items of a step, or of the steps of an epoch so far."""

    utterances: int = 0
    """Items of the emotion and of task 1."""
    pairs: int = 0
    """Items of task 2."""
    main: float = 0.0
    """Emotion."""
    aux1: float = 0.0
    """Task 1."""
    aux2: float = 0.0
    """Task 2."""
    unchanged: int = 0
    """Pairs of task 1 that are an utterance as it is."""
    same_class: int = 0
    """Pairs of task 1 whose audio and text are of one class."""

    def __add__(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(
            utterances=self.utterances + other.utterances,
            pairs=self.pairs + other.pairs,
            main=self.main + other.main,
            aux1=self.aux1 + other.aux1,
            aux2=self.aux2 + other.aux2,
            unchanged=self.unchanged + other.unchanged,
            same_class=self.same_class + other.same_class,
        )

    def means(self, config: FinetuneConfig) -> Losses:
        """The losses, each over its own items."""
        main = self.main / self.utterances
        aux1 = self.aux1 / self.utterances if "1" in config.aux else None
        aux2 = self.aux2 / self.pairs if "2" in config.aux and self.pairs else None
        first, second = config.aux_weights
        return Losses(
            total=main + first * (aux1 or 0.0) + second * (aux2 or 0.0),
            main=main,
            aux1=aux1,
            aux2=aux2,
            lonely_share=1 - self.pairs / self.utterances if "2" in config.aux else None,
            unchanged_share=self.unchanged / self.utterances if "1" in config.aux else None,
            same_class_share=self.same_class / self.utterances if "1" in config.aux else None,
        )
