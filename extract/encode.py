"""One shard's utterances through the encoders: frames, segment averages and wordpieces, ready for the cache."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from mer.cache import FailedUtterance, Units, UtteranceRecord
from mer.cache.shard_image import count_unusable
from mer.corpus import Utterance
from mer.extract.batching import batches_by_budget
from mer.extract.config import ExtractConfig, Resources
from mer.extract.decoding import DecodedBatch, Decoding
from mer.extract.encoders import Encoders
from mer.extract.launch import Launched, launch_speech, launch_texts
from mer.extract.own_units import add_whole
from mer.extract.stage_times import StageTimes

OUT_OF_RANGE = "are infinite or NaN"
"""In the reason of an utterance whose activations do not fit the type that they are stored in."""


@dataclass(kw_only=True)
class EncodedShard:
    """What the encoders made of one shard's utterances, in the order they were asked for."""

    utterances: list[tuple[UtteranceRecord, dict[str, Units]]] = field(default_factory=list)
    """Records with their features."""
    failed: list[FailedUtterance] = field(default_factory=list)
    """Utterances that could not be extracted."""
    conversions: Counter[str] = field(default_factory=Counter)
    """How many files were resampled or downmixed."""
    odd_sounds: dict[str, list[str]] = field(default_factory=dict)
    """Ids of utterances whose recording is of a kind of `ODD_SOUNDS`, by kind."""
    alignments: Counter[str] = field(default_factory=Counter)
    """How many utterances took their segments from where; `none` = one segment over the whole utterance."""
    whole: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Ids of `utterances` of which a tier is one segment over the whole of them, by tier and reason."""
    times: StageTimes = field(default_factory=StageTimes)
    """What each stage took."""


@dataclass(kw_only=True, slots=True)
class _Found:
    """One utterance on its way."""

    record: UtteranceRecord
    tokens: list[int] | None
    whole: Mapping[str, str]
    units: dict[str, Units] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    """Values that do not fit the stored type, by granularity."""


class ShardEncoding:
    """The stages of one shard. Who calls them decides what overlaps: the results are the same.

    Batches are launched in their order, and those of texts after those of speech; each is taken in the order of the launches.
    `launch...` and `take...` may run in two threads at once.
    """

    def __init__(self, encoders: Encoders, config: ExtractConfig, report: Callable[[int, float], None]) -> None:
        """Nothing is encoded yet.

        Args:
            encoders: models on their device.
            config: what to extract.
            report: called with utterances and seconds of audio when a batch is back.
        """
        self._encoders, self._config, self._report = encoders, config, report
        self._found: dict[int, _Found] = {}
        self._failed: dict[int, FailedUtterance] = {}
        self._shard = EncodedShard()
        self.times = self._shard.times
        """What each stage takes."""

    def launch(self, batch: DecodedBatch) -> Launched:
        """Give a batch to the speech encoder."""
        shard = self._shard
        self._failed |= batch.failed
        for position, item in batch.ready:
            self._found[position] = _Found(record=item.record, tokens=item.tokens, whole=item.segments.whole)
            shard.conversions.update((*item.conversions, *self._encoders.conversions(item)))
            for kind in item.odd:
                shard.odd_sounds.setdefault(kind, []).append(item.record.id)
            shard.alignments[item.record.alignment] += 1
        prepared = [item for _, item in batch.ready]
        return launch_speech(prepared, self._encoders.speech, self._config, self._encoders.path)

    def take(self, batch: DecodedBatch, launched: Launched) -> None:
        """Wait for a batch that was launched, and keep what is back."""
        ready = batch.ready
        self._keep([position for position, _ in ready], launched)
        self._report(len(batch.positions), sum(item.record.seconds for _, item in ready))

    def text_batches(self, budget: int) -> list[list[int]]:
        """Positions of utterances whose texts go through the encoder together, once all batches of speech are launched.

        Length-sorted, about 1,024 wordpieces each: three times as fast as one by one.

        Args:
            budget: padded wordpieces of a batch.
        """
        if self._encoders.text is None:
            return []
        entries = [(position, found.tokens) for position, found in self._found.items() if found.tokens is not None]
        batches = batches_by_budget([len(tokens) for _, tokens in entries], budget)
        return [[entries[number][0] for number in numbers] for numbers in batches]

    def launch_texts(self, positions: Sequence[int]) -> Launched:
        """Give a batch to the text encoder."""
        assert self._encoders.text is not None
        tokens = [self._found[position].tokens or [] for position in positions]
        return launch_texts(tokens, self._encoders.text, self._config, self._encoders.path)

    def take_texts(self, positions: Sequence[int], launched: Launched) -> None:
        """Wait for a batch of texts, and keep what is back."""
        self._keep(positions, launched)

    def result(self) -> EncodedShard:
        """Everything, once all batches are taken."""
        shard = self._shard
        for position in sorted(self._found):
            found = self._found[position]
            reason = _out_of_range(found, self._config)
            if reason is None:
                shard.utterances.append((found.record, {g: found.units[g] for g in self._config.granularities}))
                add_whole(shard.whole, found.record.id, found.whole)
            else:
                failure = FailedUtterance(id=found.record.id, reason=reason, fingerprint=found.record.fingerprint)
                self._failed[position] = failure
        shard.failed = [self._failed[position] for position in sorted(self._failed)]
        return shard

    def _keep(self, positions: Sequence[int], launched: Launched) -> None:
        stored = [each.numpy() for each in launched.arrival.wait()]
        self.times.add("encode", launched.arrival.computing())
        self.times.add("copy", launched.arrival.copying())
        with self.times.measured("check"):
            for position, units in zip(positions, launched.units(stored), strict=True):
                found = self._found[position]
                found.units |= units
                found.unusable |= {g: count for g, each in units.items() if (count := count_unusable(each.data))}


def encode_shard(
    utterances: Sequence[Utterance],
    encoders: Encoders,
    config: ExtractConfig,
    resources: Resources,
    report: Callable[[int, float], None] = lambda count, seconds: None,
) -> EncodedShard:
    """Extract every granularity of a shard's utterances, one batch after the other; batches never reach beyond the shard.

    Args:
        utterances: The shard's utterances, in the order of its plan.
        encoders: Models on their device.
        config: What to extract.
        resources: Batch sizes.
        report: Called with utterances and seconds of audio after each batch.
    """
    shard = ShardEncoding(encoders, config, report)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as decoder:
        for batch in Decoding(utterances, encoders, config, speech_budget(encoders, resources), decoder, shard.times).one_ahead():
            shard.take(batch, shard.launch(batch))
    for positions in shard.text_batches(resources.batch_tokens):
        shard.take_texts(positions, shard.launch_texts(positions))
    return shard.result()


def speech_budget(encoders: Encoders, resources: Resources) -> float | None:
    """Padded seconds in a batch: one utterance at a time on a CPU, where batches only lose cache locality."""
    if resources.batch_seconds is not None:
        return resources.batch_seconds
    on_gpu = encoders.speech is not None and encoders.speech.device.type == "cuda"
    return 300.0 if on_gpu else None


def scaled(resources: Resources, encoders: Encoders, share: float) -> Resources:
    """Batches of a share of their size; a CPU takes one utterance at a time unless told otherwise, and small texts.

    Args:
        resources: as asked for.
        encoders: that will run.
        share: of the usual size, 1 or less.
    """
    if share == 1:
        return resources
    budget = speech_budget(encoders, resources)
    # On a CPU the wordpieces of a batch are nothing beside a shard, and another batch would round otherwise.
    tokens = resources.batch_tokens if encoders.device.type == "cpu" else max(1, int(resources.batch_tokens * share))
    return replace(resources, batch_seconds=budget and budget * share, batch_tokens=tokens)


def _out_of_range(found: _Found, config: ExtractConfig) -> str | None:
    """Why an utterance's features must not be stored, or None."""
    if not found.unusable:
        return None
    where = ", ".join(f"{count} of {found.units[g].data.size} values of {g}" for g, count in found.unusable.items())
    way_out = "--storage float32 keeps them" if config.storage == "float16" else "the encoder itself gives them"
    return f"{where} {OUT_OF_RANGE} as {config.storage} ({way_out})"
