"""`mer doctor`."""

import dataclasses
from pathlib import Path

import typer

from mer.commands.console import clear_errors, print_result
from mer.commands.defaults import settings_in_force
from mer.commands.options import (
    DEFAULT_CORPUS,
    SPEECH_MODEL,
    TEXT_MODEL,
    AudioRootOption,
    CacheOption,
    Context,
    CorpusOption,
    EncodingOption,
    JsonOption,
    SpeechModelOption,
    TextModelOption,
)


def doctor(
    context: Context,
    corpus: CorpusOption = None,
    audio_root: AudioRootOption = None,
    encoding: EncodingOption = None,
    cache: CacheOption = Path("features"),
    speech_model: SpeechModelOption = SPEECH_MODEL,
    text_model: TextModelOption = TEXT_MODEL,
    as_json: JsonOption = False,
) -> None:
    """Say what is missing before a long run: machine, packages, encoders, corpus, cache, settings.

    A copy of IEMOCAP is counted against the full release, per session and class, with the ids that are missing or extra.
    Up to 200 recordings are listened to: unreadable, silent, clipped ones and those whose channels cancel are named.
    Of each session it counts the sentences that other sessions have, too: what a text branch has read before it is tested.
    """
    with clear_errors():
        from mer.corpus import Wanted
        from mer.status import doctor as looks

        how = Wanted(audio_root=audio_root, encoding=encoding)
        checks = looks.machine_checks(cache)
        checks += [looks.encoder_check("--speech-model", speech_model), looks.encoder_check("--text-model", text_model)]
        found, census = looks.corpus_checks(corpus or DEFAULT_CORPUS, given=corpus is not None, how=how)
        rows = looks.labelled(corpus or DEFAULT_CORPUS, how)
        checks += [*found, *looks.sound_checks(rows), *looks.cache_checks(cache)]
        recurring = looks.recurring_sentences(rows)
    from mer.report import doctor_report

    data = {
        "checks": [dataclasses.asdict(check) for check in checks],
        "census": dataclasses.asdict(census) if census else None,
        "recurring_sentences": dataclasses.asdict(recurring) if recurring else None,
        "settings": settings_in_force(context),
    }
    print_result(data, doctor_report(data), as_json)
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)
