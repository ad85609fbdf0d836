"""Early fusion by coattention: speech and text attend to each other, granularity by granularity."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mer.cache.granularity import is_text
from mer.heads.errors import HeadError
from mer.heads.fusion import stacked_attention
from mer.heads.fusion.attention import AttentionLayer, after_attention, attend_to_few, attend_to_many
from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.fusion.linear_branch import uniform_linear
from mer.heads.stacked.device.attention import Meetings
from mer.heads.stacked.device.by_few import attend_by_few
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.feed_forward import Utterances
from mer.heads.stacked.device.linear import stacked_linear
from mer.heads.stacked.device.norm import stacked_norm
from mer.heads.stacked.device.normed import Normed
from mer.heads.stacked.device.pairs import Pairs
from mer.heads.stacked.device.plainly import attend_plainly
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.grouped import grouped_affine, grouped_layer_norm, grouped_linear
from mer.heads.stacked.hidden_layer import hidden_layer
from mer.heads.stacked.layer_average import LayerAverage
from mer.heads.stacked.packed_mean import packed_mean
from mer.heads.stacked.sequence_pairs import pair_sequences


class CoattentionLayer(nn.Module):
    """One layer of one run: a branch in which speech queries text, and one in which text queries speech."""

    def __init__(self, *, dim: int, attention_heads: int, feed_forward: int, dropout: float, generator: torch.Generator) -> None:
        """Make both branches; arguments as for `AttentionLayer`."""
        super().__init__()
        self.speech, self.text = (
            AttentionLayer(
                dim=dim, attention_heads=attention_heads, feed_forward=feed_forward, dropout=dropout, generator=generator
            )
            for _ in range(2)
        )


class CoattentionHead(Head):
    """Logits of coattention-based early fusion (Zhao 2022, section 2.3 and figure 3).

    For each speech granularity i, layers in which speech queries text and text queries speech; the mean over the
    units of both branches, and of the two their mean, is c_i. The c_i are concatenated to c, and

        g = LN(ReLU(W4 c + b4) + c),  logits = W5 g + b5    (eq. 4, before the softmax).

    Each granularity has its own layers; all start from the same text units, of one layer average. Text is
    expected to be no longer than speech: other lengths cost time, never exactness.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        *,
        classes: int,
        dropout: float,
        attention_heads: int,
        attention_layers: int = 3,
        feed_forward_ratio: int = 4,
        generator: torch.Generator,
        softmax: bool = False,
    ) -> None:
        """Make the parameters: `shapes` has `T` and one or more of speech, which are concatenated in this order.

        Dropout follows each feed-forward layer but the last, and every speech granularity has `attention_layers` of its own.

        Raises:
            HeadError: no text or no speech, dims that differ, attention heads that do not divide dim.
        """
        super().__init__()
        dim = _common_dim(shapes)
        speech = [name for name in shapes if not is_text(name)]
        self.averages = nn.ModuleDict(
            {name: LayerAverage(layers=layers, dim=dim, softmax=softmax) for name, (layers, _) in shapes.items()}
        )
        self.stacks = nn.ModuleDict()
        for name in speech:
            self.stacks[name] = nn.ModuleList(
                CoattentionLayer(
                    dim=dim,
                    attention_heads=attention_heads,
                    feed_forward=feed_forward_ratio * dim,
                    dropout=dropout,
                    generator=generator,
                )
                for _ in range(attention_layers)
            )
        width = len(speech) * dim
        self.dropout = dropout
        self.w4, self.b4 = uniform_linear(width, width, generator)
        self.gain, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.w5, self.b5 = uniform_linear(classes, width, generator)

    @classmethod
    def together_on(cls, path: DevicePath) -> bool:
        """See `Head.together_on`."""
        return path.kernels

    @classmethod
    def logits(
        cls, heads: Sequence[Head], units: Mapping[str, StackedUnits], generators: Generators
    ) -> Float[Tensor, "utterances classes"]:
        """See `Head.logits`."""
        runs = [head for head in heads if isinstance(head, CoattentionHead)]
        utterances = next(iter(units.values())).utterances
        by_kernels = isinstance(utterances, RunRows) and utterances.path.kernels
        c = torch.cat((_stacked_embeddings if by_kernels else _embeddings)(runs, units, generators), 1)
        fourth = [run.w4 for run in runs], [run.b4 for run in runs]
        hidden = hidden_layer(c, *fourth, runs[0].dropout, generators, utterances)
        if isinstance(utterances, RunRows) and utterances.path.kernels:
            (run,) = runs
            return stacked_linear(stacked_norm(hidden + c, run.gain, run.bias, utterances), run.w5, run.b5, utterances)
        g = grouped_layer_norm(hidden + c, [run.gain for run in runs], [run.bias for run in runs], utterances)
        return grouped_linear(g, [run.w5 for run in runs], [run.b5 for run in runs], utterances)

    def stack(self, granularity: str) -> list[CoattentionLayer]:
        """The layers of one speech granularity."""
        return cast(list[CoattentionLayer], list(cast(nn.ModuleList, self.stacks[granularity])))


def _common_dim(shapes: Mapping[str, tuple[int, int]]) -> int:
    texts = [name for name in shapes if is_text(name)]
    if len(texts) != 1 or len(shapes) < 2:
        raise HeadError(
            f"coattention needs text (T) and a speech granularity, got {'+'.join(shapes) or 'nothing'}: "
            "use a transformer or linear head for one of them alone"
        )
    dims = {name: dim for name, (_, dim) in shapes.items()}
    if len(set(dims.values())) > 1:
        given = ", ".join(f"{name} {dim}" for name, dim in dims.items())
        raise HeadError(
            f"coattention needs units of one dim in speech and text, got {given}: use late fusion, or encoders of one width"
        )
    return dims[texts[0]]


def _embeddings(
    runs: Sequence[CoattentionHead], units: Mapping[str, StackedUnits], generators: Generators
) -> list[Float[Tensor, "utterances dim"]]:
    """c_i of every utterance, for each speech granularity i."""
    inputs = {name: _units_of(runs, name, each) for name, each in units.items()}
    written = next(filter(is_text, units))
    text = inputs[written], units[written]
    return [
        _embedding([run.stack(name) for run in runs], (inputs[name], units[name]), text, generators) for name in runs[0].stacks
    ]


def _units_of(runs: Sequence[CoattentionHead], granularity: str, units: StackedUnits) -> Tensor:
    averages = [run.average(granularity) for run in runs]
    return grouped_affine(units.values, [a.gain for a in averages], [a.bias for a in averages], units.sizes)


def _embedding(
    stacks: Sequence[Sequence[CoattentionLayer]],
    speech_units: tuple[Float[Tensor, "speech dim"], StackedUnits],
    text_units: tuple[Float[Tensor, "text dim"], StackedUnits],
    generators: Generators,
) -> Float[Tensor, "utterances dim"]:
    """c_i of every utterance: the layers of one granularity, and the means over units and over branches."""
    (speech, of_speech), (text, of_text) = speech_units, text_units
    speech_side, text_side = pair_sequences(of_speech.lengths, of_text.lengths, speech.device)
    for layers in zip(*stacks, strict=True):
        speaking, reading = [layer.speech for layer in layers], [layer.text for layer in layers]
        to_text = attend_to_few(speaking, speech, text, (speech_side, text_side), (of_speech.sizes, of_text.sizes))
        to_speech = attend_to_many(reading, text, speech, (text_side, speech_side), (of_text.sizes, of_speech.sizes))
        speech = after_attention(speaking, speech, to_text, generators, of_speech.sizes)
        text = after_attention(reading, text, to_speech, generators, of_text.sizes)
    return (packed_mean(speech, of_speech.lengths) + packed_mean(text, of_text.lengths)) / 2


def _stacked_embeddings(
    runs: Sequence[CoattentionHead], units: Mapping[str, StackedUnits], generators: Generators
) -> list[Float[Tensor, "utterances dim"]]:
    """`_embeddings` of one head whose parameters are those of all runs, by kernels."""
    (run,), written = runs, next(filter(is_text, units))
    # The units of text start the layers of every granularity; those of speech have one reader, whose gradient may share factors.
    inputs = {
        name: stacked_attention.units_of(run.average(name), each, shares=name != written and _shares(each))
        for name, each in units.items()
    }
    text = inputs[written], units[written]
    return [_stacked_embedding(run.stack(name), (inputs[name], units[name]), text, generators) for name in run.stacks]


def _stacked_embedding(
    layers: Sequence[CoattentionLayer],
    speech_units: tuple[Normed, StackedUnits],
    text_units: tuple[Normed, StackedUnits],
    generators: Generators,
) -> Float[Tensor, "utterances dim"]:
    (speech, of_speech), (text, of_text) = speech_units, text_units
    rows, columns, utterances = of_speech.sizes, of_text.sizes, of_text.utterances
    if not (isinstance(rows, RunRows) and isinstance(columns, RunRows) and isinstance(utterances, RunRows)):
        raise TypeError("stacked parameters need RunRows")
    sides, heads, device = (of_speech.lengths, of_text.lengths), layers[0].speech.attention_heads, speech.values.device
    few = int(sides[0].sum()) > heads * int(sides[1].sum())
    pairs = Pairs(*sides, heads, rows.path, device, utterances)
    # Keys for each attention head would be more than the units that are spared their projections.
    meetings = [Meetings(one, other, heads, rows.path, device) for one, other in (sides, sides[::-1])]
    means: list[Tensor] = []
    for layer in layers:
        both = stacked_attention.weights_of(layer.speech), stacked_attention.weights_of(layer.text)
        if few:
            speech, text = attend_by_few(speech, text, both, pairs, (rows, columns))
        else:
            speech, text = attend_plainly(speech, text, both, meetings, (rows, columns))
        if layer is layers[-1]:
            for side, part, lengths, own in ((layer.speech, speech, sides[0], rows), (layer.text, text, sides[1], columns)):
                of_sides = Utterances(lengths, utterances)
                means.append(stacked_attention.mean_after_attention(side, part, generators, own, of_sides))
            break
        # Units have one reader each time, whose gradient may share factors.
        speech = stacked_attention.after_attention(layer.speech, speech, generators, rows, shares=rows.path.shares)
        text = stacked_attention.after_attention(layer.text, text, generators, columns, shares=rows.path.shares)
    return (means[0] + means[1]) / 2


def _shares(units: StackedUnits) -> bool:
    return isinstance(units.sizes, RunRows) and units.sizes.path.shares
