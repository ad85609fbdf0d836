"""A transformer encoder over the units of one granularity."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.heads.errors import HeadError
from mer.heads.fusion import stacked_attention
from mer.heads.fusion.attention import AttentionLayer, after_attention, self_attention
from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.fusion.linear_branch import uniform_linear
from mer.heads.stacked.device.attention import Meetings
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.means import stacked_mean
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.grouped import grouped_affine, grouped_linear
from mer.heads.stacked.hidden_layer import hidden_layer
from mer.heads.stacked.layer_average import LayerAverage
from mer.heads.stacked.packed_mean import packed_mean
from mer.heads.stacked.sequence_pairs import pair_sequences


class TransformerHead(Head):
    """Encoder layers, mean over the units, W2 ReLU(W1 l + b1) + b2 (Zhao 2022, section 3.3 and table 1).

    "three layers of transformer encoders followed by two feed-forward layers".
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        *,
        classes: int,
        hidden: int,
        dropout: float,
        attention_heads: int,
        attention_layers: int = 3,
        feed_forward_ratio: int = 4,
        generator: torch.Generator,
        softmax: bool = False,
    ) -> None:
        """Make the parameters: dropout follows each feed-forward layer after the mean but the last.

        Raises:
            HeadError: more or fewer than one granularity, attention heads that do not divide dim.
        """
        super().__init__()
        if len(shapes) != 1:
            raise HeadError(f"a transformer head has one granularity, got {'+'.join(shapes) or 'none'}: train one head for each")
        ((name, (layers, dim)),) = shapes.items()
        self.averages = nn.ModuleDict({name: LayerAverage(layers=layers, dim=dim, softmax=softmax)})
        self.layers = nn.ModuleList(
            AttentionLayer(
                dim=dim,
                attention_heads=attention_heads,
                feed_forward=feed_forward_ratio * dim,
                dropout=dropout,
                generator=generator,
            )
            for _ in range(attention_layers)
        )
        self.dropout = dropout
        self.w1, self.b1 = uniform_linear(hidden, dim, generator)
        self.w2, self.b2 = uniform_linear(classes, hidden, generator)

    @classmethod
    def together_on(cls, path: DevicePath) -> bool:
        """See `Head.together_on`."""
        return path.kernels

    @classmethod
    def logits(
        cls, heads: Sequence[Head], units: Mapping[str, StackedUnits], generators: Generators
    ) -> Float[Tensor, "utterances classes"]:
        """See `Head.logits`."""
        runs = [head for head in heads if isinstance(head, TransformerHead)]
        (each,) = units.values()
        if isinstance(each.sizes, RunRows) and isinstance(each.utterances, RunRows) and each.sizes.path.kernels:
            pooled = _stacked_layers(runs[0], each, each.sizes, each.utterances, generators)
        else:
            pooled = packed_mean(_layers(runs, each, generators), each.lengths)
        first = [run.w1 for run in runs], [run.b1 for run in runs]
        hidden = hidden_layer(pooled, *first, runs[0].dropout, generators, each.utterances)
        return grouped_linear(hidden, [run.w2 for run in runs], [run.b2 for run in runs], each.utterances)

    def layer(self, depth: int) -> AttentionLayer:
        """One encoder layer, from 0."""
        module = self.layers[depth]
        if not isinstance(module, AttentionLayer):
            raise TypeError(f"layer {depth} is a {type(module).__name__}")
        return module


def _layers(runs: Sequence[TransformerHead], units: StackedUnits, generators: Generators) -> Float[Tensor, "units dim"]:
    ((name, _),) = runs[0].averages.items()
    averages = [run.average(name) for run in runs]
    states = grouped_affine(units.values, [a.gain for a in averages], [a.bias for a in averages], units.sizes)
    side, _ = pair_sequences(units.lengths, units.lengths, states.device)
    for depth in range(len(runs[0].layers)):
        layers = [run.layer(depth) for run in runs]
        attended = self_attention(layers, states, side, units.sizes)
        states = after_attention(layers, states, attended, generators, units.sizes)
    return states


def _stacked_layers(
    head: TransformerHead, units: StackedUnits, rows: RunRows, utterances: RunRows, generators: Generators
) -> Float[Tensor, "utterances dim"]:
    """The means of `_layers` of a head whose parameters are those of all runs, by kernels."""
    ((name, _),) = head.averages.items()
    states, layers = stacked_attention.units_of(head.average(name), units), [head.layer(n) for n in range(len(head.layers))]
    meetings = Meetings(units.lengths, units.lengths, layers[0].attention_heads, rows.path, states.values.device)
    for layer in layers:
        states = stacked_attention.self_attention(layer, states, meetings, rows)
        states = stacked_attention.after_attention(layer, states, generators, rows)
    return stacked_mean(states, units.lengths, utterances)
