"""The forward pass of several runs of one head over the utterances of a step, in training and in prediction alike."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from mer.heads.features.device_reads import DeviceReads
from mer.heads.features.feature_source import FeatureSource
from mer.heads.features.statistics import Statistics
from mer.heads.features.step import Step
from mer.heads.fusion.head import Head, StackedUnits, SummedUnits
from mer.heads.stacked.device.device_path import DevicePath
from mer.heads.stacked.device.layer_average import LayerSums
from mer.heads.stacked.device.run_rows import RunRows
from mer.heads.stacked.dropout import Generators
from mer.heads.stacked.layer_average import normalized_averages, normalized_layer_sums


def stacked_logits(
    heads: Sequence[Head],
    statistics: Sequence[Mapping[str, Statistics]],
    sources: Mapping[str, FeatureSource],
    step: Step,
    dropout: Generators,
    path: DevicePath | None = None,
) -> Float[Tensor, "utterances classes"]:
    """Logits of the utterances that each run wants, run after run; units that several runs want are read once.

    Args:
        heads: one per run, of one shape; with a path one whose parameters are those of all runs.
        statistics: granularity to normalisation, one mapping per head; empty without normalisation.
        sources: granularity to features.
        step: which utterances each run wants.
        dropout: draws each run's dropout; None evaluates without.
        path: how stacked parameters are computed.
    """
    utterances: Sequence[int] = tuple(len(rows) for rows in step.rows)
    if path is not None:
        return type(heads[0]).logits(heads, _units_on_device(heads[0], statistics[0], sources, step, path), dropout)
    units = {}
    for name, source in sources.items():
        reads = source.reads(step)
        averages = [head.average(name) for head in heads]
        values = normalized_averages(averages, [each.get(name) for each in statistics], reads)
        units[name] = StackedUnits(values=values, lengths=reads.lengths, sizes=reads.sizes, utterances=utterances)
    return type(heads[0]).logits(heads, units, dropout)


def _units_on_device(
    head: Head, statistics: Mapping[str, Statistics], sources: Mapping[str, FeatureSource], step: Step, path: DevicePath
) -> dict[str, StackedUnits]:
    """The same for a head of all runs."""
    units: dict[str, StackedUnits] = {}
    for name, source in sources.items():
        reads = source.reads(step)
        factors, shifts = head.average(name).coefficients(statistics.get(name))
        rows = RunRows(reads.sizes, path, factors.device, path.hidden)
        utterances = RunRows([len(each) for each in step.rows], path, factors.device)
        if path.kernels and isinstance(reads, DeviceReads):
            sums = LayerSums(factors=factors, shifts=shifts, reads=reads, rows=rows)
            units[name] = SummedUnits(sums, reads.lengths, utterances)
        else:
            values = normalized_layer_sums(factors.unbind(), shifts.unbind(), reads)
            units[name] = StackedUnits(values=values, lengths=reads.lengths, sizes=rows, utterances=utterances)
    return units
