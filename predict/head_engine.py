"""Answers of a trained head: encoders, segments and rounding as `mer extract` has them, logits as training has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.backends.device import device_of_the_rest, resolve_device
from mer.cache.granularity import is_text, unit_of
from mer.corpus import Utterance
from mer.extract.encode import EncodedShard
from mer.extract.own_units import TIERS
from mer.heads import FeatureSource
from mer.predict.answer import Answer
from mer.predict.call_speakers import CallSpeakers
from mer.predict.live_encoders import LiveEncoders
from mer.predict.live_features import LiveUnits, head_logits
from mer.predict.saved_encoders import EncoderChoice
from mer.predict.saved_head import LoadedHead, Run, SavedHead, SavedPart, load_head

Answered = Sequence[tuple[Utterance, Mapping[str, Any]]]
"""Recordings with their units by granularity."""
RUNS_AT_ONCE = 5
"""Runs in one forward pass of the heads: bounds their activations."""
KEPT_BYTES = 2 * 2**30
"""Heads stay in memory up to this size, and are read again for every batch of recordings beyond it."""


class HeadEngine:
    """The runs of a head behind the encoders that it was trained behind."""

    def __init__(self, saved: SavedHead, runs: Sequence[Run], choice: EncoderChoice) -> None:
        """Load the encoders, and check that they are those of the run.

        Args:
            saved: the head.
            runs: which of its runs answer.
            choice: where the encoders are.

        Raises:
            PredictError: encoders other than those that the head was trained behind, or damaged weights.
            EncoderError: an encoder that is not to be had.
        """
        self._saved, self._runs = saved, tuple(runs)
        self._device = device_of_the_rest(resolve_device(choice.device))
        self._encoders = LiveEncoders(saved, choice)
        self._layers = self._encoders.layers
        self._kept: dict[tuple[int, Run], LoadedHead] = {}
        self._speakers: CallSpeakers | None = None
        self._heard: tuple[Sequence[Utterance], EncodedShard] | None = None
        self._keeps = True
        head = self._load_head(0, self._runs[0]).head
        size = sum(value.numel() * value.element_size() for value in head.state_dict().values())
        self._keeps = size * len(self._runs) * len(saved.parts) <= KEPT_BYTES

    @property
    def hears(self) -> bool:
        """Whether audio is used."""
        return any(not is_text(name) for name in self._saved.granularities)

    @property
    def reads(self) -> bool:
        """Whether the transcript is used."""
        return any(map(is_text, self._saved.granularities))

    @property
    def aligns(self) -> bool:
        """Whether the times of phones, syllables or words are used."""
        return any(unit_of(name) in TIERS for name in self._saved.granularities)

    @property
    def aligned_by(self) -> str:
        """Whose times the run was trained on: `corpus`, `textgrid` or an aligner's name."""
        return str(self._saved.features.get("segments", {}).get("alignment", "corpus"))

    @property
    def by_speaker(self) -> bool:
        """Whether all recordings of a call have to be heard before one is answered for."""
        return bool(self._saved.by_speaker)

    def hear(self, chunks: Sequence[Sequence[Utterance]]) -> None:
        """Take the statistics of the speakers of a call; its features are in memory chunk by chunk.

        The encoders run once more for `answer`, but for the last chunk, whose features are kept until then.
        """
        self._speakers = CallSpeakers([each for chunk in chunks for each in chunk], self._saved.by_speaker)
        self._heard = None
        for chunk in chunks:
            by_id = {each.id: each for each in chunk}
            shard = self._encoders.encode(chunk)
            self._heard = (chunk, shard)
            for record, units in shard.utterances:
                arrays = {name: units[name].data for name in self._saved.by_speaker}
                self._speakers.hear(by_id[record.id], arrays)

    def answer(self, utterances: Sequence[Utterance]) -> dict[str, Answer | str]:
        """An answer for each recording by its id, or the reason why there is none.

        Args:
            utterances: at least one, with different ids; all of their features are in memory at the same time. Of a run that
                is normalised by speaker, one of the chunks that were heard last.
        """
        heard, self._heard = self._heard, None
        shard = heard[1] if heard is not None and heard[0] is utterances else self._encoders.encode(utterances)
        found: dict[str, Answer | str] = {each.id: each.reason for each in shard.failed}
        by_id = {each.id: each for each in utterances}
        if self._speakers is not None:
            refused = {record.id: self._speakers.refusal(by_id[record.id]) for record, _ in shard.utterances}
            found |= {name: reason for name, reason in refused.items() if reason is not None}
        answered = [(record, units) for record, units in shard.utterances if record.id not in found]
        if answered:
            logits = self._logits([(by_id[record.id], units) for record, units in answered])
            for number, (record, _) in enumerate(answered):
                if np.isfinite(logits[:, number]).all():
                    notes = self._notes(record.id, shard)
                    notes += self._speakers.notes(by_id[record.id]) if self._speakers is not None else ()
                    found[record.id] = Answer(logits=logits[:, number], seconds=record.seconds, notes=notes)
                else:
                    found[record.id] = f"{record.id}: its logits are no numbers; is this audio like what the head was trained on?"
        return found

    def _logits(self, answered: Answered) -> Float64[np.ndarray, "runs recordings classes"]:
        """Mean over the parts, as multi-level fusion has it (Zhao 2022, section 2.4); most heads have one part."""
        summed: Float64[np.ndarray, "runs recordings classes"] | None = None
        for number in range(len(self._saved.parts)):
            logits = self._part_logits(number, answered)
            summed = logits if summed is None else summed + logits
        assert summed is not None
        return summed / len(self._saved.parts)

    def _part_logits(self, number: int, answered: Answered) -> Float64[np.ndarray, "runs recordings classes"]:
        part = self._saved.parts[number]
        sources = {
            name: FeatureSource(
                LiveUnits([self._units(part, name, utterance, units) for utterance, units in answered]),
                device=self._device,
                layers=[self._layers[name].index(layer) for layer in part.layers[name]],
            )
            for name in part.config.branches
        }
        found = []
        for start in range(0, len(self._runs), RUNS_AT_ONCE):
            loaded = [self._load_head(number, run) for run in self._runs[start : start + RUNS_AT_ONCE]]
            heads, statistics = [each.head for each in loaded], [each.statistics for each in loaded]
            outputs = zip(head_logits(heads, statistics, sources, len(answered)), loaded, strict=True)
            found += [each if one.scale is None else each * one.scale[1] + one.scale[0] for each, one in outputs]
        return np.stack(found)

    def _units(self, part: SavedPart, name: str, utterance: Utterance, units: Mapping[str, Any]) -> NDArray[Any]:
        """Units of one granularity, as the part reads them."""
        data: NDArray[Any] = units[name].data
        if name not in part.config.by_speaker:
            return data
        assert self._speakers is not None  # `Predictor` has every chunk heard first
        return self._speakers.standardise(name, utterance, data)

    def _load_head(self, number: int, run: Run) -> LoadedHead:
        if (number, run) in self._kept:
            return self._kept[number, run]
        loaded = load_head(self._saved, self._saved.parts[number], run, self._device)
        if self._keeps:
            self._kept[number, run] = loaded
        return loaded

    def _notes(self, utterance_id: str, shard: EncodedShard) -> tuple[str, ...]:
        """Notes on tiers that are one segment over the whole recording."""
        reasons = {tier: why for tier, by in shard.whole.items() for why, ids in by.items() if utterance_id in ids}
        if not reasons:
            return ()
        tiers = " and ".join(dict.fromkeys(TIERS[unit_of(tier)] for tier in reasons))
        return (f"{'; '.join(dict.fromkeys(reasons.values()))}: its {tiers} are one segment over all of it",)
