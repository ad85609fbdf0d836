"""Answers of a trained head: encoders, segments and rounding as `mer extract` has them, logits as training has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from mer.backends.device import resolve_device
from mer.corpus import Utterance
from mer.extract import EncoderError, ExtractConfig, Resources
from mer.extract.encode import EncodedShard, encode_shard
from mer.extract.encoders import Encoders
from mer.extract.identity import STATEMENTS
from mer.extract.own_units import TIERS
from mer.extract.precision import exact_float32, one_thread_on_cpu
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder
from mer.extract.workers import load_encoders
from mer.heads import FeatureSource
from mer.predict.answer import Answer
from mer.predict.call_speakers import CallSpeakers
from mer.predict.errors import PredictError
from mer.predict.live_features import LiveUnits, head_logits
from mer.predict.saved_head import ENCODER_OF, LoadedHead, Run, SavedHead, SavedPart, load_head

Answered = Sequence[tuple[Utterance, Mapping[str, Any]]]
"""Recordings with their units by granularity."""
RUNS_AT_ONCE = 5
"""Runs in one forward pass of the heads: bounds their activations."""
KEPT_BYTES = 2 * 2**30
"""Heads stay in memory up to this size, and are read again for every batch of recordings beyond it."""
SAME = ("weights_sha256", "sample_rate", "normalize", "frame_stride", "frame_length", "preprocessor", "family")
"""What an encoder must share with the one that the head was trained behind."""


@dataclass(frozen=True, kw_only=True)
class EncoderChoice:
    """Where the encoders are, when not where the run says, and where they run."""

    speech_model: str | None = None
    """Hub id or folder; None takes the one that the run names."""
    text_model: str | None = None
    """Likewise."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`."""


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
        self._config = extract_config(saved, choice)
        self._resources = Resources(device=choice.device, workers=1)
        self._device = resolve_device(choice.device)
        self._encoders = _load(self._config, self._resources, saved)
        self._layers = _layers_of(self._encoders)
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
        return self._config.needs_speech

    @property
    def reads(self) -> bool:
        """Whether the transcript is used."""
        return self._config.needs_text

    @property
    def aligns(self) -> bool:
        """Whether the times of phones, syllables or words are used."""
        return self._config.needs_alignment

    @property
    def aligned_by(self) -> str:
        """Whose times the run was trained on: `corpus`, `textgrid` or `pocketsphinx`."""
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
            shard = self._encode(chunk)
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
        shard = heard[1] if heard is not None and heard[0] is utterances else self._encode(utterances)
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

    def _encode(self, utterances: Sequence[Utterance]) -> EncodedShard:
        # One thread, as in extraction: the same numbers, and no value that rounds to another float16.
        with exact_float32(), one_thread_on_cpu(self._device):
            return encode_shard(utterances, self._encoders, self._config, self._resources)

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
        tiers = " and ".join(TIERS[tier] for tier in reasons)
        return (f"{'; '.join(dict.fromkeys(reasons.values()))}: its {tiers} are one segment over all of it",)


def extract_config(saved: SavedHead, choice: EncoderChoice) -> ExtractConfig:
    """What `mer extract` was told when it made the features of a head, less what the head does not use."""
    features = saved.features
    spoken, written = features.get("speech", {}), features.get("text", {})
    local = {name: str(saved.folder / name) for name in ("speech", "text") if (saved.folder / name / "config.json").is_file()}
    return ExtractConfig(
        speech_model=choice.speech_model or local.get("speech") or spoken.get("model", ""),
        text_model=choice.text_model or local.get("text") or written.get("model", ""),
        speech_revision=spoken.get("revision"),
        text_revision=written.get("revision"),
        granularities=saved.granularities,
        layers=_wanted_layers(saved),
        dtype=features["compute"]["dtype"],
        storage=features["storage"]["dtype"],
        long=spoken.get("long", "windows"),
        long_text=written.get("long", "refuse"),
        text_tags=written.get("tags", "drop"),
        fillers=features.get("segments", {}).get("fillers", "keep"),
    )


def refuse_a_folders_name(saved: SavedHead, config: ExtractConfig) -> None:
    """An encoder that was a folder is not looked for on the hub, which may have another one under the folder's name.

    Args:
        saved: the head.
        config: of `extract_config`.

    Raises:
        PredictError: such a folder is not here.
    """
    named = {"speech": (config.needs_speech, config.speech_model), "text": (config.needs_text, config.text_model)}
    for name, (used, model) in named.items():
        identity: Mapping[str, Any] = saved.features.get(name, {})
        if used and identity.get("revision") is None and model == identity.get("model") and not Path(model).is_dir():
            raise PredictError(
                f"{saved.folder} needs the encoders that its features came from: {model} was a folder, and is not here; give "
                f"`--{name}-model DIR` (weights sha256 {str(identity.get('weights_sha256'))[:12]}). The hub is not asked for it"
            )


def _wanted_layers(saved: SavedHead) -> tuple[int, ...] | None:
    """The layers that some part uses; None for encoders of different depth, all of whose layers are used."""
    stored = {tuple(each) for each in saved.features["layers"].values()}
    if len(stored) > 1:
        return None
    return tuple(sorted({layer for part in saved.parts for each in part.layers.values() for layer in each}))


def _load(config: ExtractConfig, resources: Resources, saved: SavedHead) -> Encoders:
    refuse_a_folders_name(saved, config)
    try:
        with one_thread_on_cpu(resolve_device(resources.device)):
            encoders = load_encoders(config, resources)
    except EncoderError as problem:
        raise PredictError(f"{saved.folder} needs the encoders that its features came from. {problem}") from problem
    for name, encoder in (("speech", encoders.speech), ("text", encoders.text)):
        expected: Mapping[str, Any] = saved.features.get(name, {})
        differing = [key for key in SAME if encoder is not None and encoder.identity.get(key) != expected.get(key)]
        if encoder is not None and differing:
            raise PredictError(
                f"{encoder.checkpoint.title}: not the encoder that {saved.folder} was trained behind, {expected.get('model')} "
                f"(different: {', '.join(differing)}); give the folder or hub id of that one"
            )
        if encoder is not None:
            _refuse_earlier(saved, name, encoder)
    return encoders


def _refuse_earlier(saved: SavedHead, name: str, encoder: SpeechEncoder | TextEncoder) -> None:
    """Refuse a head that learnt from features which this version makes otherwise."""
    last = encoder.checkpoint.layer_count
    used = {layer for part in saved.parts for g, each in part.layers.items() if ENCODER_OF[g] == name for layer in each}
    stated: Mapping[str, Any] = saved.features.get(name, {})
    for statement, why in STATEMENTS.items():
        if statement in encoder.identity and statement not in stated and (statement != "last_layer" or last in used):
            raise PredictError(
                f"{saved.folder} was trained on features of an earlier version of mer: of {encoder.checkpoint.name}, {why}. Run "
                "`mer extract` and `mer train-head` again"
            )


def _layers_of(encoders: Encoders) -> dict[str, list[int]]:
    found = {}
    for name in "FPSWT":
        encoder = encoders.text if ENCODER_OF[name] == "text" else encoders.speech
        if encoder is not None:
            found[name] = list(encoder.layers)
    return found
