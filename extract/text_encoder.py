"""A frozen text encoder: transcripts in, hidden states of every wordpiece out."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.backends.device import resolve_device
from mer.extract.batch_trial import ONE_BY_ONE, batches_are_exact, one_by_one_notice, trial_dtype
from mer.extract.device_path import DevicePath, path_to
from mer.extract.families.open_checkpoint import open_text
from mer.extract.families.text_checkpoint import SENTENCES, trial_texts
from mer.extract.long_texts import pieces_of, special_tokens
from mer.extract.memory import check_memory
from mer.extract.speech_encoder import pick_layers


class TextEncoder:
    """All hidden states of a frozen text encoder, special tokens such as `[CLS]` and `[SEP]` included.

    Args:
        name: Hub id or folder.
        revision: Branch, tag or commit of a hub id.
        layers: Hidden states to return, 0 = the embeddings; None = 1..N. The last one is the encoder's last hidden state,
            with a final norm where it has one.
        dtype: Precision of the forward pass.
        device: `cpu`, `cuda`, ...
        long: What becomes of texts that it has no positions for: `refuse`, `windows`, or `cut`.
        path: How inputs come to the device; None = what `device` has.

    Raises:
        EncoderError: no such encoder, of no registered family, weights or tokenizer missing, or layers that cannot
            be told apart.
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
        long: str = "refuse",
        path: DevicePath | None = None,
    ) -> None:
        family = self.checkpoint = open_text(name, revision)
        self.device = resolve_device(device)
        self.path = path or path_to(self.device)
        check_memory(family, self.device)
        model = family.load().requires_grad_(False)
        family.limit_to(model)
        self.dim, self.tokenize, self._positions, self._long = family.dim, family.tokenize, family.max_tokens, long
        self.max_tokens = self._positions if long == "refuse" else sys.maxsize
        """Wordpieces of the longest text that it takes."""
        self._around = special_tokens(*family.tokenize(["", SENTENCES[0]]))
        self.layers = pick_layers(layers, family)
        self.identity: dict[str, Any] = family.describe(model) | {"layers": list(self.layers)}
        if long != "refuse":
            # Absent for what was always so: caches of it keep their key.
            self.identity["long"] = long
        self.model = model.to(self.device, trial_dtype(dtype))
        self.one_by_one = not self._try_batch()
        """Whether texts go through it alone, since its padded batches are not exact."""
        if self.one_by_one:
            # Absent for all others: their caches keep their key. Earlier caches of this one depend on its batches.
            self.identity["batches"] = ONE_BY_ONE
        self.model = self.model.to(dtype)

    @property
    def notice(self) -> str | None:
        """What a user should know of how it runs."""
        return one_by_one_notice(self.checkpoint.title) if self.one_by_one else None

    @torch.inference_mode()
    def __call__(self, tokens: Sequence[Sequence[int]]) -> list[Float[Tensor, "wordpieces layers dim"]]:
        """Hidden states of tokenised texts, one tensor per text, on the encoder's device.

        Raises:
            ValueError: a text with more wordpieces than the encoder has positions.
        """
        longest = max(len(ids) for ids in tokens)
        if longest > self.max_tokens:
            raise ValueError(f"a text has {longest} wordpieces; the encoder takes {self.max_tokens}")
        pieces = [pieces_of(ids, self._positions, self._around, self._long) for ids in tokens]
        ids = [piece.ids for text in pieces for piece in text]
        states = iter([self._encode([each])[0] for each in ids] if self.one_by_one else self._encode(ids))
        parts = [[next(states)[piece.start : piece.end] for piece in text] for text in pieces]
        return [text[0] if len(text) == 1 else torch.cat(text) for text in parts]

    def conversions(self, tokens: Sequence[int] | None) -> tuple[str, ...]:
        """What is done to a tokenised text, in words that can be counted."""
        if tokens is None or len(tokens) <= self._positions:
            return ()
        done = {"windows": "read in windows", "cut": "cut there"}[self._long]
        return (f"with a transcript longer than {self._positions} wordpieces, {done}",)

    def _encode(self, tokens: Sequence[Sequence[int]]) -> list[Float[Tensor, "wordpieces layers dim"]]:
        """One forward pass."""
        lengths = [len(ids) for ids in tokens]
        ids = torch.full((len(tokens), max(lengths)), self.checkpoint.pad_token)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        hidden = self.checkpoint.states(self.model, self.path.to_device(ids), self.path.to_device(mask), self.layers)
        return [torch.stack([layer[row, :count] for layer in hidden], dim=1) for row, count in enumerate(lengths)]

    def _try_batch(self) -> bool:
        texts = trial_texts(self.checkpoint)
        return batches_are_exact(
            self.checkpoint.title, lambda number: self._encode([texts[number]])[0], lambda: self._encode(texts)
        )
