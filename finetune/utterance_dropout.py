"""Dropout whose draws belong to an utterance: the same whatever else is in its batch, however it is padded, on any device.

A step is cut into forward passes for memory alone, and an encoder may see an utterance twice in one step. Masks from a
generator's stream would depend on the shape of the pass. Here a bit is a hash of (utterance, place of the dropout in the
encoder, unit, channel), so that it can be made again wherever it is needed, in the backward pass too.
"""

import functools
import types
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int32, Shaped
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Murmur3's finaliser; as signed numbers, since int32 has no unsigned twin in PyTorch.
_FIRST, _SECOND = -2048144789, -1028477387
# Multipliers of the last, cheaper round (Wellons' lowbias32).
_THIRD, _FOURTH = 2146121005, -2073254261
_GOLDEN = 0x9E3779B9


def hashed_dropout(
    values: Float[Tensor, " utterances *rest"], probability: float, keys: Int32[Tensor, " utterances"]
) -> Float[Tensor, " utterances *rest"]:
    """Zero with `probability`, else divided by the rest; the probability is rounded to a multiple of 2^-32.

    Args:
        values: a row per utterance; a value's place in its row decides about it together with the row's key.
        probability: in [0, 1).
        keys: one per row, from `draw_keys`.
    """
    if probability == 0:
        return values
    return values.where(_kept(values.shape, probability, keys), 0.0) * (1 / (1 - probability))


def draw_keys(seeds: Sequence[int], place: int, device: torch.device) -> Int32[Tensor, " utterances"]:
    """Keys of utterances at one place where values are dropped.

    Args:
        seeds: of the utterances, 63 bits each.
        place: any number of 32 bits.
        device: where the keys lie.
    """
    return _mixed(_words(seeds, device) ^ _signed((place + 1) * _GOLDEN))


@contextmanager
def utterance_dropout(seeds: Sequence[int], place: int, device: torch.device) -> Iterator[None]:
    """Dropout of everything that runs inside depends on each utterance's seed; without seeds it is left as it is.

    Args:
        seeds: one per row of the batch; empty for PyTorch's own dropout.
        place: of the module that runs inside among those of the model.
        device: of the batch.
    """
    if not seeds:
        yield
        return
    mode = _UtteranceDropout(seeds, _words(seeds, device), first=place << 16)
    token = _ACTIVE.set(mode)
    try:
        with mode:
            yield
    finally:
        _ACTIVE.reset(token)


@contextmanager
def only(row: int) -> Iterator[None]:
    """Inside, one utterance of the batch runs alone: what it drops is what it drops in a batch of its own.

    Args:
        row: of the utterance among the seeds of `utterance_dropout`; without those dropout is left as it is.
    """
    mode = _ACTIVE.get()
    if mode is None:
        yield
        return
    alone = mode.of(row)
    token = _ACTIVE.set(alone)
    try:
        with alone:
            yield
    finally:
        _ACTIVE.reset(token)


def recomputation() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """For `context_fn` of `torch.utils.checkpoint`: a layer that is recomputed drops what it dropped before."""
    mode = _ACTIVE.get()
    return nullcontext(), nullcontext() if mode is None else mode.again()


def active_seeds() -> Sequence[int]:
    """Seeds of the utterances of the batch that runs now; none outside of `utterance_dropout`."""
    mode = _ACTIVE.get()
    return () if mode is None else mode.seeds


class _UtteranceDropout(TorchFunctionMode):
    """Takes the place of `dropout`, and of attention with dropout; each call is a place of its own, in their order."""

    def __init__(self, seeds: Sequence[int], words: Int32[Tensor, " utterances"], first: int) -> None:
        super().__init__()
        self.seeds = seeds
        self._words, self._next = words, first

    def again(self) -> "_UtteranceDropout":
        """The same from here on."""
        return _UtteranceDropout(self.seeds, self._words, self._next)

    def of(self, row: int) -> "_UtteranceDropout":
        """The same for one utterance, from here on."""
        return _UtteranceDropout(self.seeds[row : row + 1], self._words[row : row + 1], self._next)

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:  # its own dropout comes back here
                return _multi_head_attention()(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return input
        rows = len(self._words)
        if p >= 1 or input.shape[0] % rows:  # nothing to draw, or no row per utterance
            return F.dropout(input, p, training, inplace)
        place, self._next = self._next, self._next + 1
        keys = _mixed(self._words ^ _signed((place + 1) * _GOLDEN))
        # Some attention folds its heads into the rows.
        apart = input if input.shape[0] == rows else input.unflatten(0, (rows, -1))
        return hashed_dropout(apart, p, keys).view(input.shape)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **more: Any,
    ) -> Tensor:
        if dropout_p == 0 or is_causal or more.get("enable_gqa"):
            found: Tensor = F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, **more)
            return found
        scale = more.get("scale") or query.shape[-1] ** -0.5
        scores = (query * scale) @ key.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        return self._dropout(scores.softmax(-1).to(value.dtype), dropout_p) @ value


_ACTIVE: ContextVar[_UtteranceDropout | None] = ContextVar("utterance dropout", default=None)


@functools.cache
def _multi_head_attention() -> Any:
    """PyTorch's function, less its first lines, which would call the mode again and again for the function itself."""
    own = F.multi_head_attention_forward
    copy = types.FunctionType(own.__code__, {**vars(F), "has_torch_function": lambda tensors: False}, None, own.__defaults__)
    copy.__kwdefaults__ = own.__kwdefaults__
    return copy


def _kept(shape: Sequence[int], probability: float, keys: Int32[Tensor, " utterances"]) -> Shaped[Tensor, "..."]:
    """Which values stay: True with 1 - `probability`."""
    bits = keys
    for axis, size in enumerate(shape[1:-1], start=1):
        bits = _mixed(bits[..., None] ^ _places(size, axis, keys.device))
    if len(shape) > 1:
        bits = bits[..., None] ^ _places(shape[-1], 0, keys.device)
    bits = bits.mul(_THIRD)
    bits.bitwise_xor_((bits >> 15).bitwise_and_(0x1FFFF)).mul_(_FOURTH)
    return bits >= min(round(probability * 2**32) - 2**31, 2**31 - 1)


@functools.lru_cache(maxsize=256)
def _places(size: int, axis: int, device: torch.device) -> Int32[Tensor, " places"]:
    """A word for each place along an axis."""
    return _mixed(torch.arange(size, dtype=torch.int32, device=device) ^ _signed((axis + 1) * 0x85EBCA6B))


def _words(seeds: Sequence[int], device: torch.device) -> Int32[Tensor, " utterances"]:
    """32 bits of each seed."""
    return torch.from_numpy(np.asarray(seeds, dtype=np.int64).astype(np.uint32).view(np.int32)).to(device, non_blocking=True)


def _mixed(words: Int32[Tensor, "..."]) -> Int32[Tensor, "..."]:
    """Every bit of the result depends on every bit of a word; different words stay different."""
    mixed = words ^ ((words >> 16) & 0xFFFF)  # shifts of signed words carry the sign: it is cut off
    mixed = mixed.mul_(_FIRST)
    mixed = mixed.bitwise_xor_((mixed >> 13).bitwise_and_(0x7FFFF)).mul_(_SECOND)
    return mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF))


def _signed(word: int) -> int:
    """The low 32 bits as int32 has them."""
    return (word + 2**31) % 2**32 - 2**31
