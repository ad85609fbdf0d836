"""A frozen BERT-like encoder: transcripts in, hidden states of every wordpiece out."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.extract.pretrained import load_frozen, resolve_device
from mer.extract.speech_encoder import pick_layers
from mer.extract.text_checkpoint import TextCheckpoint


class TextEncoder(TextCheckpoint):
    """All hidden states of a frozen text encoder, special tokens such as `[CLS]` and `[SEP]` included.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.
        layers: Hidden states to return, 0 = the embeddings; None = 1..N.
        dtype: Precision of the forward pass.
        device: `cpu`, `cuda`, ...

    Raises:
        EncoderError: no such encoder, not a bidirectional text encoder, weights or tokenizer missing.
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
    ) -> None:
        super().__init__(name, revision)
        model = load_frozen(name, revision, "--text-model", self.config)
        self.layers = pick_layers(layers, self.config.num_hidden_layers, "--text-model", name)
        self.identity: dict[str, Any] = self.describe(model) | {"layers": list(self.layers)}
        self.device = resolve_device(device)
        self.model = model.to(self.device, dtype)

    @torch.inference_mode()
    def __call__(self, tokens: Sequence[Sequence[int]]) -> list[Float[Tensor, "wordpieces layers dim"]]:
        """Hidden states of tokenised texts, one tensor per text, on the encoder's device.

        Raises:
            ValueError: a text with more wordpieces than the encoder has positions.
        """
        lengths = [len(ids) for ids in tokens]
        if max(lengths) > self.max_tokens:
            raise ValueError(f"a text has {max(lengths)} wordpieces; the encoder takes {self.max_tokens}")
        ids = torch.full((len(tokens), max(lengths)), self.pad_token)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        hidden = self.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), output_hidden_states=True
        ).hidden_states
        return [torch.stack([hidden[layer][row, :count] for layer in self.layers], dim=1) for row, count in enumerate(lengths)]
