"""The encoders that a trained head needs: which they are, where they are, and what they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.cache.granularity import STREAMS, encoder_of, stream, unit_of
from mer.extract import ExtractConfig
from mer.extract.several import split_name
from mer.predict.errors import PredictError
from mer.predict.saved_head import SavedHead


@dataclass(frozen=True, kw_only=True)
class EncoderChoice:
    """Where the encoders are, when not where the run says, and where they run."""

    speech_model: tuple[str, ...] = ()
    """Hub id or folder, `NAME=` before each where the run has several; empty takes what the run names."""
    text_model: tuple[str, ...] = ()
    """Likewise."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""

    def of(self, saved: SavedHead, name: str) -> str | None:
        """The hub id or folder that is given for an encoder; None where none is.

        Args:
            saved: the head.
            name: of the encoder, such as `speech` or `speech@wavlm`.

        Raises:
            PredictError: nobody knows for which of several encoders a folder is meant.
        """
        kind, _, own = name.partition("@")
        given = dict(map(split_name, self.speech_model if kind == "speech" else self.text_model))
        others = [each.partition("@")[2] for each in used_encoders(saved) if each.partition("@")[0] == kind]
        if not given or (len(others) == 1 and len(given) == 1):
            return next(iter(given.values()), None)
        if set(given) - set(others):
            named = " ".join(f"--{kind}-model {each}=DIR" for each in others if each)
            raise PredictError(
                f"{saved.folder} has {f'the {kind} encoders ' + ', '.join(others) if named else f'one {kind} encoder'}: give "
                + (f"them by name, {named}, or those of them that are not where the run says" if named else "it once")
            )
        return given.get(own)


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """What one cache's encoders are asked for: those of a head on a cache together, those of a set each alone."""

    streams: Mapping[str, str]
    """`speech` and `text`, those that are used, to their names in the features' identity, such as `speech@wavlm`."""
    granularities: tuple[str, ...]
    """Those of the head that they make, as it calls them."""
    config: ExtractConfig
    """As for `mer extract`, less what the head does not use."""


def each_of(models: str | Path | Sequence[str | Path] | None) -> tuple[str, ...]:
    """One encoder, several or none, as a tuple."""
    given = () if models is None else (models,) if isinstance(models, str | Path) else models
    return tuple(str(each) for each in given)


def used_encoders(saved: SavedHead) -> tuple[str, ...]:
    """Names of the encoders that a head uses, as its features' identity has them."""
    return tuple(dict.fromkeys(map(stream, saved.granularities)))


def live_configs(saved: SavedHead, choice: EncoderChoice) -> tuple[LiveConfig, ...]:
    """What `mer extract` was told when it made the features of a head; raises PredictError as `EncoderChoice.of` does."""
    if not any(map(encoder_of, saved.granularities)):
        return (_live_config(saved, choice, used_encoders(saved)),)
    return tuple(_live_config(saved, choice, (name,)) for name in used_encoders(saved))


def _live_config(saved: SavedHead, choice: EncoderChoice, names: tuple[str, ...]) -> LiveConfig:
    features = saved.features
    streams = {name.partition("@")[0]: name for name in names}
    granularities = tuple(each for each in saved.granularities if stream(each) in names)
    identity = {kind: features.get(streams.get(kind, ""), {}) for kind in STREAMS}
    models = {
        kind: choice.of(saved, name)
        or (str(saved.folder / name) if (saved.folder / name / "config.json").is_file() else "")
        or str(saved.places.get(name, identity[kind].get("model", "")))
        for kind, name in streams.items()
    }
    spoken, written = identity["speech"], identity["text"]
    config = ExtractConfig(
        speech_model=models.get("speech", ""),
        text_model=models.get("text", ""),
        speech_revision=spoken.get("revision"),
        text_revision=written.get("revision"),
        granularities=tuple(map(unit_of, granularities)),
        layers=_wanted_layers(saved, names),
        dtype=features["compute"]["dtype"],
        storage=features["storage"]["dtype"],
        long=spoken.get("long", "windows"),
        long_text=written.get("long", "refuse"),
        text_tags=written.get("tags", "drop"),
        fillers=features.get("segments", {}).get("fillers", "keep"),
    )
    return LiveConfig(streams=streams, granularities=granularities, config=config)


def _wanted_layers(saved: SavedHead, names: tuple[str, ...]) -> tuple[int, ...] | None:
    """The layers that some part uses; None for encoders of different depth, all of whose layers are used."""
    if len({tuple(saved.features["layers"][name]) for name in names}) > 1:
        return None
    used = (layers for part in saved.parts for each, layers in part.layers.items() if stream(each) in names)
    return tuple(sorted({layer for layers in used for layer in layers}))


def refuse_a_folders_name(saved: SavedHead, live: LiveConfig) -> None:
    """An encoder that was a folder is not looked for on the hub, which may have another one under the folder's name.

    Args:
        saved: the head.
        live: of `live_configs`.

    Raises:
        PredictError: such a folder is not here.
    """
    models = {"speech": live.config.speech_model, "text": live.config.text_model}
    for kind, name in live.streams.items():
        identity: Mapping[str, Any] = saved.features.get(name, {})
        model, own = models[kind], name.partition("@")[2]
        if identity.get("revision") is None and model == identity.get("model") and not Path(model).is_dir():
            raise PredictError(
                f"{saved.folder} needs the encoders that its features came from: {model} was a folder, and is not here; give "
                f"`--{kind}-model {own and own + '='}DIR` (weights sha256 {str(identity.get('weights_sha256'))[:12]}). The "
                "hub is not asked for it"
            )
