"""Encoders of `mer extract`: one config a cache, what they will take, and the set that puts several caches together."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mer.commands.console import say
from mer.commands.corpus_choice import revisions_by_encoder
from mer.extract.config import ExtractConfig, Resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mer.corpus import Corpus
    from mer.extract import Extraction
    from mer.extract.several import NamedConfig


def caches_of(given: Mapping[str, Any], revision: "Sequence[str]", *, drop_fillers: bool) -> "tuple[NamedConfig, ...]":
    """One config a cache, from the options: one, unless an encoder was given several times.

    Raises:
        ExtractError: what cannot be extracted.
    """
    from mer.extract.several import NamedConfig, configs_of, named_models, split_name, with_revisions

    speech, text = ([each.as_posix() for each in given[field]] for field in ("speech_model", "text_model"))
    values: dict[str, Any] = {**given, "speech_model": split_name(speech[0])[1], "text_model": split_name(text[0])[1]}
    if drop_fillers:
        values["fillers"] = "drop"
        typer.echo("note: --drop-fillers is called --fillers drop now; the old name goes away", err=True)
    config = ExtractConfig(**values)
    if len(speech) == len(text) == 1:
        revisions: dict[str, Any] = {f"{encoder}_revision": name for encoder, name in revisions_by_encoder(revision).items()}
        return (NamedConfig(config=dataclasses.replace(config, **revisions), names={}),)
    named = configs_of(config, named_models(speech, "--speech-model"), named_models(text, "--text-model"))
    return with_revisions(named, revisions_by_encoder(revision, names=True))


def say_plan(
    corpus: "Corpus",
    members: "Sequence[NamedConfig]",
    cache: Path,
    resources: Resources,
    quiet: bool,
    *,
    elsewhere: bool,
) -> int:
    """Say what an extraction will take, before any weight is read.

    Returns:
        Bytes that will be written.

    Raises:
        DeviceError: a device that is not here.
        ExtractError: more than the disk or the memory here has.
    """
    from mer.backends.device import resolve_device
    from mer.extract.forecast import check_forecasts, forecast

    if not elsewhere:
        resolve_device(resources.device)
    planned = [forecast(corpus, each.config, cache, resources, elsewhere=elsewhere) for each in members]
    for each, member in zip(planned, members, strict=True):
        say(f"{f'{member.title}: ' if len(members) > 1 else ''}{each}", quiet)
    return check_forecasts(planned, cache)


def set_of(cache: Path, members: "Sequence[NamedConfig]", results: "Sequence[Extraction]") -> "tuple[Path, Sequence[str]] | None":
    """Folder and granularities of the set that puts several caches together; None for one cache."""
    if len(members) == 1:
        return None
    from mer.cache.set_file import read_set
    from mer.extract.several import put_together

    folder = put_together(cache, members, [each.folder for each in results])
    return folder, read_set(folder)["granularities"]
