"""The fusion module: K layers in which audio queries text and text queries audio."""

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mer.finetune.errors import FinetuneError
from mer.finetune.sequences import Sequences
from mer.heads.fusion.attention import glorot


class MultiHeadAttention(nn.Module):
    r"""Attention of one sequence's units to another's (Vaswani et al. 2017, section 3.2.2).

    Per head h, with d values of it,

        Q = Wq x + bq,  K = Wk y,  V = Wv y + bv,
        a_h = softmax(Q_h K_h^T / sqrt(d)) V_h,

    and Wo [a_1; ...; a_H] + bo of the heads side by side. Keys have no bias: it would add the same number to all scores
    of a query, which the softmax takes away again, so that it would never be trained.
    """

    def __init__(self, *, dim: int, attended_dim: int, heads: int, generator: torch.Generator) -> None:
        """Make the parameters.

        Args:
            dim: values per querying unit, and per unit of the result.
            attended_dim: values per unit that is attended to.
            heads: a divisor of `dim`.
            generator: draws the initial weights; the global generator is never used.

        Raises:
            FinetuneError: a number of heads that does not divide `dim`.
        """
        super().__init__()
        if dim % heads:
            divisors = ", ".join(str(number) for number in range(1, dim + 1) if dim % number == 0)
            raise FinetuneError(
                f"{heads} attention heads do not divide an encoder's {dim} values per unit; choose one of {divisors}"
            )
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (glorot(dim, inputs, generator) for inputs in (dim, attended_dim, attended_dim, dim))
        self.bq, self.bv, self.bo = (nn.Parameter(torch.zeros(dim)) for _ in range(3))

    def forward(
        self,
        queries: Float[Tensor, "utterances queries dim"],
        attended: Float[Tensor, "utterances keys attended_dim"],
        real: Bool[Tensor, "utterances keys"] | None,
    ) -> Float[Tensor, "utterances queries dim"]:
        """What every querying unit gathers from the real units of the other sequence.

        Args:
            queries: x.
            attended: y.
            real: units of y that are not padding; None when all are real.
        """
        query = self._split(F.linear(queries, self.wq, self.bq))
        key = self._split(F.linear(attended, self.wk))
        value = self._split(F.linear(attended, self.wv, self.bv))
        mask = None if real is None else real[:, None, None]  # (utterances, 1, 1, keys), alike for heads and queries
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        found: Tensor = F.linear(gathered.transpose(1, 2).flatten(2), self.wo, self.bo)
        return found

    def _split(self, units: Float[Tensor, "utterances units dim"]) -> Float[Tensor, "utterances heads units width"]:
        split: Tensor = units.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return split


class CrossAttention(nn.Module):
    """One layer: A' = A + MHA(A, T), T' = T + MHA(T, A), both from the layer's own inputs (Sun 2023, section 2.3)."""

    def __init__(self, *, audio_dim: int, text_dim: int, heads: int, generator: torch.Generator) -> None:
        """Make both branches; arguments as for `FusionModule`."""
        super().__init__()
        self.audio = MultiHeadAttention(dim=audio_dim, attended_dim=text_dim, heads=heads, generator=generator)
        self.text = MultiHeadAttention(dim=text_dim, attended_dim=audio_dim, heads=heads, generator=generator)

    def forward(self, audio: Sequences, text: Sequences) -> tuple[Sequences, Sequences]:
        """A' and T'."""
        return (
            Sequences(states=audio.states + self.audio(audio.states, text.states, text.real), real=audio.real),
            Sequences(states=text.states + self.text(text.states, audio.states, audio.real), real=text.real),
        )


class FusionModule(nn.Module):
    """K layers of cross-attention, the mean over real units of each branch, concatenated (Sun 2023, section 2.3, figure 3).

    The paper's layer is attention and a residual link: no normalisation and no feed-forward part.
    """

    def __init__(self, *, audio_dim: int, text_dim: int, layers: int, heads: int, generator: torch.Generator) -> None:
        """Make the parameters.

        Args:
            audio_dim: values per frame.
            text_dim: values per wordpiece.
            layers: K.
            heads: of each attention; a divisor of both dims.
            generator: draws the initial weights; the global generator is never used.

        Raises:
            FinetuneError: a number of heads that does not divide both dims.
        """
        super().__init__()
        self.layers = nn.ModuleList(
            CrossAttention(audio_dim=audio_dim, text_dim=text_dim, heads=heads, generator=generator) for _ in range(layers)
        )

    def forward(self, audio: Sequences, text: Sequences) -> Float[Tensor, "utterances both_dims"]:
        """The fusion embedding of each pair: audio's values first."""
        for layer in self.layers:
            audio, text = layer(audio, text)
        return torch.cat([audio.means(), text.means()], 1)
