"""What a family of text encoders says of a checkpoint: its tokenizer, how much text it takes, and its layers."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float, Int64
from torch import Tensor, nn

from mer.extract.families.checkpoint import Checkpoint

SENTENCES = (
    "No, thank you.",
    "When she came back from the station it was raining, and nobody had told him that the others would be waiting for an "
    "hour or two: so he went home, angry and tired, and did not answer the door until late in the evening!",
)
"""What an encoder is tried with: the shorter one sees padding when they are together."""


class TextCheckpoint(Checkpoint):
    """A text encoder's checkpoint, without its weights."""

    option: ClassVar[str] = "--text-model"
    max_tokens: int
    """Wordpieces of the longest text there can be."""
    pad_token: int = 0
    """Id that fills up the shorter texts of a batch."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with the special tokens that the encoder was trained with, never truncated."""

    @abstractmethod
    def tokenizer_sha256(self) -> str:
        """Hash of everything that decides the ids."""

    def limit_to(self, model: nn.Module) -> None:
        """Lower `max_tokens` to the positions of a model, where the config does not know them."""

    @abstractmethod
    def states(
        self,
        model: Any,
        tokens: Int64[Tensor, "batch wordpieces"],
        mask: Int64[Tensor, "batch wordpieces"],
        layers: Sequence[int],
    ) -> Sequence[Float[Tensor, "batch wordpieces dim"]]:
        """The wanted layers, in the order asked for: 0 is the embeddings, N the last hidden state.

        Args:
            model: the encoder with its weights.
            tokens: ids, `pad_token` after each text's own.
            mask: 1 where a wordpiece is, 0 where padding is.
            layers: numbers from 0 to N.
        """

    def last_state(
        self, model: Any, tokens: Int64[Tensor, "batch wordpieces"], mask: Int64[Tensor, "batch wordpieces"]
    ) -> Float[Tensor, "batch wordpieces dim"]:
        """Layer N alone, which is what fine-tuning trains."""
        return self.states(model, tokens, mask, [self.layer_count])[0]

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """What identifies the checkpoint with the weights that were loaded from it."""
        return super().describe(model) | {"tokenizer": self.tokenizer_sha256()}


def trial_texts(checkpoint: TextCheckpoint) -> list[list[int]]:
    """Two tokenised sentences of different length, the same ones each time."""
    return [ids[: checkpoint.max_tokens] for ids in checkpoint.tokenize(SENTENCES)]
