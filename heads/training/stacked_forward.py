"""The forward pass of several runs of one head over the utterances of a step, in training and in prediction alike."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.statistics import Statistics
from mer.heads.features.step import Step
from mer.heads.fusion.head import Head, StackedUnits
from mer.heads.stacked.layer_average import normalized_averages


def stacked_logits(
    heads: Sequence[Head],
    statistics: Sequence[Mapping[str, Statistics]],
    sources: Mapping[str, FeatureSource],
    step: Step,
    dropout: Sequence[torch.Generator] | None,
) -> Float[Tensor, "utterances classes"]:
    """Logits of the utterances that each run wants, run after run; units that several runs want are read once.

    Args:
        heads: one per run, of one shape.
        statistics: granularity to normalisation, one mapping per run; empty without normalisation.
        sources: granularity to features.
        step: which utterances each run wants.
        dropout: draws each run's dropout; None evaluates without.
    """
    utterances = tuple(len(rows) for rows in step.rows)
    units = {}
    for name, source in sources.items():
        reads = source.reads(step)
        averages = [head.average(name) for head in heads]
        values = normalized_averages(averages, [each.get(name) for each in statistics], reads)
        units[name] = StackedUnits(values=values, lengths=reads.lengths, sizes=reads.sizes, utterances=utterances)
    return type(heads[0]).logits(heads, units, dropout)
