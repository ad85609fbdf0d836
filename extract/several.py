"""Several encoders over one corpus: which cache each of them has, and the set that puts the caches together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mer.cache import CacheFolder
from mer.cache.cache_set import set_spec, write_set
from mer.cache.granularity import NAME, is_text
from mer.cache.set_file import short_name
from mer.extract.config import ExtractConfig, ExtractError


@dataclass(frozen=True, kw_only=True)
class NamedConfig:
    """One cache of a set."""

    config: ExtractConfig
    """What is extracted into it, with one speech and one text encoder at most."""
    names: Mapping[str, str]
    """How its encoders are called: `{"speech": "wavlm", "text": "roberta"}`, those that run."""

    @property
    def title(self) -> str:
        """Its encoders, for people."""
        return " and ".join(self.names.values())


def split_name(model: str) -> tuple[str, str]:
    """Name and model of `wavlm=microsoft/wavlm-large`; the name is empty where none is given."""
    name, equals, rest = model.partition("=")
    if equals and NAME.fullmatch(name.lower()) and not Path(model).exists():
        return name.lower(), rest
    return "", model


def named_models(models: Sequence[str], option: str) -> dict[str, str]:
    """Hub ids or folders by the names of their encoders, in the order given.

    Args:
        models: each a hub id or folder, or `name=` before one. Without a name it is called like the last part of its path.
        option: the option they were given to, for errors.

    Raises:
        ExtractError: two encoders of one name, or an empty one.
    """
    found: dict[str, str] = {}
    for each in models:
        name, model = split_name(each)
        name = name or short_name(model)
        if not model:
            raise ExtractError(f"{option} {each}: no encoder after the name; give {name}=DIR, or {name}= and a hub id")
        if name in found:
            raise ExtractError(
                f"{option}: {found[name]} and {model} are both called {name}; give one of them another name, as in "
                f"{option} {name}2={model}"
            )
        found[name] = model
    return found


def configs_of(config: ExtractConfig, speech: Mapping[str, str], text: Mapping[str, str]) -> tuple[NamedConfig, ...]:
    """One config a cache: the first speech encoder with the first text encoder, as without a set, then every other one alone.

    Args:
        config: all that is the same for all of them.
        speech: speech encoders by name.
        text: text encoders by name.

    Raises:
        ExtractError: several encoders, of which no granularity is wanted.
    """
    spoken = tuple(name for name in config.granularities if not is_text(name))
    for kind, models, wanted in (("speech", speech, config.needs_speech), ("text", text, config.needs_text)):
        if len(models) > 1 and not wanted:
            needed = "F, P, S or W" if kind == "speech" else "T"
            raise ExtractError(
                f"--{kind}-model is given {len(models)} times, and granularity {'+'.join(config.granularities)} needs no {kind} "
                f"encoder; add {needed}, or leave it out"
            )
    (first_speech, *more_speech), (first_text, *more_text) = speech.items(), text.items()
    names = {"speech": first_speech[0]} if config.needs_speech else {}
    names |= {"text": first_text[0]} if config.needs_text else {}
    first = replace(config, speech_model=first_speech[1], text_model=first_text[1])
    found = [NamedConfig(config=first, names=names)]
    for name, model in more_speech:
        alone = replace(config, speech_model=model, granularities=spoken, texts=None, speech_revision=None)
        found.append(NamedConfig(config=alone, names={"speech": name}))
    for name, model in more_text:
        alone = replace(config, text_model=model, granularities=("T",), text_revision=None)
        found.append(NamedConfig(config=alone, names={"text": name}))
    return tuple(found)


def with_revisions(members: Sequence[NamedConfig], revisions: Mapping[str, str]) -> tuple[NamedConfig, ...]:
    """The same with a revision for some encoders.

    Args:
        members: of `configs_of`.
        revisions: branch, tag or commit by the encoder's name; `speech` or `text` where there is only one of the kind.

    Raises:
        ExtractError: a name that no encoder has, or `speech` of several.
    """
    of_kind = {kind: [each.names[kind] for each in members if kind in each.names] for kind in ("speech", "text")}
    by_name = dict(revisions)
    for kind, names in of_kind.items():
        if kind in by_name and kind not in names and len(names) == 1:
            by_name[names[0]] = by_name.pop(kind)
    known = [name for names in of_kind.values() for name in names]
    if unknown := [name for name in by_name if name not in known]:
        raise ExtractError(f"--revision {unknown[0]}=...: the encoders are called {', '.join(known)}; give the name of one")
    found = []
    for each in members:
        changes: dict[str, Any] = {f"{kind}_revision": by_name[name] for kind, name in each.names.items() if name in by_name}
        found.append(replace(each, config=replace(each.config, **changes)))
    return tuple(found)


def put_together(cache: Path, members: Sequence[NamedConfig], folders: Sequence[Path]) -> Path:
    """Write the set of some caches.

    Args:
        cache: root of the caches.
        members: what was extracted.
        folders: the cache of each.

    Returns:
        The set's folder, `<root>/<corpus>/<key12>`.

    Raises:
        CacheError: caches that do not belong together, or a file system that refuses.
    """
    specs = [CacheFolder.find(folder).spec for folder in folders]
    return write_set(cache, set_spec([(spec, each.names) for spec, each in zip(specs, members, strict=True)]))
