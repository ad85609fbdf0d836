"""What one forward pass takes: a padded batch of utterances, and how the auxiliary batches of a step recombine it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Utterances of one forward pass, padded; a modality that is not used is None."""

    rows: tuple[int, ...]
    """Number of each utterance in the corpus that is trained on."""
    labels: Int64[Tensor, " utterances"]
    """Class numbers."""
    waves: Float[Tensor, "utterances samples"] | None = None
    """Prepared audio at the encoder's rate, zeros after each utterance's own samples."""
    samples: tuple[int, ...] = ()
    """Real samples of each utterance."""
    tokens: Int64[Tensor, "utterances wordpieces"] | None = None
    """Wordpiece numbers, the tokenizer's padding after each text's own."""
    wordpieces: tuple[int, ...] = ()
    """Real wordpieces of each text."""
    seeds: tuple[int, ...] = ()
    """What each utterance's dropout is drawn from while training; empty for PyTorch's generator."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device; the copies are not waited for."""
        return dataclasses.replace(
            self,
            labels=self.labels.to(device, non_blocking=True),
            waves=None if self.waves is None else self.waves.to(device, non_blocking=True),
            tokens=None if self.tokens is None else self.tokens.to(device, non_blocking=True),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing:
    """Which audio is read with which text in the two auxiliary batches of a step (Sun 2023, section 2.4); drawn on the CPU."""

    permutation: Int64[Tensor, " utterances"]
    """Aux1: text `permutation[i]` goes with audio i."""
    audio: Int64[Tensor, " pairs"]
    """Aux2: audio of each pair."""
    text: Int64[Tensor, " pairs"]
    """Aux2: text of each pair, of the same class and another utterance."""
    lonely: int
    """Aux2: utterances that have no partner of their class in the batch and are left out."""

    def renumbered(self, places: Sequence[int]) -> "Pairing":
        """The same pairs, in the same order, where utterance i is called `places[i]`."""
        place = torch.tensor(places, dtype=torch.int64)
        permutation = torch.empty_like(place)
        permutation[place] = place[self.permutation]
        return dataclasses.replace(self, permutation=permutation, audio=place[self.audio], text=place[self.text])

    def of_audio(self, first: int, count: int) -> Int64[Tensor, " held"]:
        """Numbers of the pairs of task 2 whose audio is one of `count` utterances from `first` on."""
        return torch.nonzero((self.audio >= first) & (self.audio < first + count)).flatten()

    def to(self, device: torch.device) -> "Pairing":
        """The same pairing on another device."""
        return dataclasses.replace(
            self, permutation=self.permutation.to(device), audio=self.audio.to(device), text=self.text.to(device)
        )
