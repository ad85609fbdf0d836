"""The frozen encoders of a trained head, loaded and checked, and what they make of new recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer.backends.device import resolve_device
from mer.cache.granularity import stream
from mer.corpus import Utterance
from mer.extract import EncoderError, Resources
from mer.extract.encode import EncodedShard, encode_shard
from mer.extract.encoders import Encoders
from mer.extract.identity import STATEMENTS
from mer.extract.precision import exact_float32, one_thread_on_cpu
from mer.extract.speech_encoder import SpeechEncoder
from mer.extract.text_encoder import TextEncoder
from mer.extract.workers import load_encoders
from mer.predict.errors import PredictError
from mer.predict.saved_encoders import EncoderChoice, LiveConfig, live_configs, refuse_a_folders_name
from mer.predict.saved_head import SavedHead

SAME = ("weights_sha256", "sample_rate", "normalize", "frame_stride", "frame_length", "preprocessor", "family")
"""What an encoder must share with the one that the head was trained behind."""


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """Encoders with what they are asked for."""

    live: LiveConfig
    encoders: Encoders


class LiveEncoders:
    """All encoders that a head was trained behind; of several, each hears every recording."""

    def __init__(self, saved: SavedHead, choice: EncoderChoice) -> None:
        """Load them, and check that they are those of the run.

        Args:
            saved: the head.
            choice: where they are.

        Raises:
            PredictError: other encoders than those that the head was trained behind.
            EncoderError: an encoder that is not to be had.
        """
        self._resources = Resources(device=choice.device, workers=1)
        self._device = resolve_device(choice.device)
        self._loaded = [_Loaded(live=each, encoders=_load(each, self._resources, saved)) for each in live_configs(saved, choice)]

    @property
    def layers(self) -> dict[str, list[int]]:
        """Numbers of the layers that are made of each granularity."""
        found = {}
        for each in self._loaded:
            for name in each.live.granularities:
                encoder = each.encoders.text if stream(name).startswith("text") else each.encoders.speech
                assert encoder is not None
                found[name] = list(encoder.layers)
        return found

    def encode(self, utterances: Sequence[Utterance]) -> EncodedShard:
        """Features of some recordings by granularity, as the head calls it; one that an encoder fails at has failed."""
        # One thread, as in extraction: the same numbers, and no value that rounds to another float16.
        with exact_float32(), one_thread_on_cpu(self._device):
            found = [encode_shard(utterances, each.encoders, each.live.config, self._resources) for each in self._loaded]
        return _joined([(each.live, shard) for each, shard in zip(self._loaded, found, strict=True)])


def _joined(shards: Sequence[tuple[LiveConfig, EncodedShard]]) -> EncodedShard:
    """What several encoders made of the same recordings."""
    (_, first), *others = shards
    if not others:
        return first
    failed = {each.id: each for _, shard in reversed(shards) for each in shard.failed}
    units: dict[str, dict[str, Any]] = {record.id: {} for record, _ in first.utterances}
    whole: dict[str, dict[str, list[str]]] = {}
    for live, shard in shards:
        names = dict(zip(live.config.granularities, live.granularities, strict=True))
        for record, made in shard.utterances:
            units.get(record.id, {}).update({names[unit]: each for unit, each in made.items()})
        whole |= {names[tier]: reasons for tier, reasons in shard.whole.items()}
    # Those of a speech encoder come first, and know how long a recording is.
    return EncodedShard(
        utterances=[(record, units[record.id]) for record, _ in first.utterances if record.id not in failed],
        failed=list(failed.values()),
        whole=whole,
    )


def _load(live: LiveConfig, resources: Resources, saved: SavedHead) -> Encoders:
    refuse_a_folders_name(saved, live)
    try:
        with one_thread_on_cpu(resolve_device(resources.device)):
            encoders = load_encoders(live.config, resources)
    except EncoderError as problem:
        raise PredictError(f"{saved.folder} needs the encoders that its features came from. {problem}") from problem
    for kind, encoder in (("speech", encoders.speech), ("text", encoders.text)):
        if encoder is None:
            continue
        expected: Mapping[str, Any] = saved.features.get(live.streams[kind], {})
        if differing := [key for key in SAME if encoder.identity.get(key) != expected.get(key)]:
            raise PredictError(
                f"{encoder.checkpoint.title}: not the encoder that {saved.folder} was trained behind, {expected.get('model')} "
                f"(different: {', '.join(differing)}); give the folder or hub id of that one"
            )
        _refuse_earlier(saved, live.streams[kind], encoder)
    return encoders


def _refuse_earlier(saved: SavedHead, name: str, encoder: SpeechEncoder | TextEncoder) -> None:
    """Refuse a head that learnt from features which this version makes otherwise."""
    last = encoder.checkpoint.layer_count
    used = {layer for part in saved.parts for each, layers in part.layers.items() if stream(each) == name for layer in layers}
    stated: Mapping[str, Any] = saved.features.get(name, {})
    for statement, why in STATEMENTS.items():
        if statement in encoder.identity and statement not in stated and (statement != "last_layer" or last in used):
            raise PredictError(
                f"{saved.folder} was trained on features of an earlier version of mer: of {encoder.checkpoint.name}, {why}. Run "
                "`mer extract` and `mer train-head` again"
            )
