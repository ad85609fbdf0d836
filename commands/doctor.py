"""`mer doctor`."""

import dataclasses
from pathlib import Path

import typer

from mer.commands.console import clear_errors, print_result
from mer.commands.defaults import settings_in_force
from mer.commands.options import (
    DEFAULT_CORPUS,
    SPEECH_MODELS,
    TEXT_MODELS,
    AudioRootOption,
    CacheOption,
    Context,
    CorpusOption,
    EncodingOption,
    JsonOption,
    SpeechModelsOption,
    TextModelsOption,
)


def doctor(
    context: Context,
    corpus: CorpusOption = None,
    audio_root: AudioRootOption = None,
    encoding: EncodingOption = None,
    cache: CacheOption = Path("features"),
    speech_model: SpeechModelsOption = SPEECH_MODELS,
    text_model: TextModelsOption = TEXT_MODELS,
    as_json: JsonOption = False,
) -> None:
    """Say what is missing before a long run: machine, packages, encoders, corpus, cache, settings.

    A copy of IEMOCAP is counted against the full release, per session and class, with the ids that are missing or extra.
    Up to 200 recordings are listened to: unreadable, silent, clipped ones and those whose channels cancel are named.
    Classes, sessions, speakers, recordings that have several ids and names that look like spellings of one are listed.
    Of each session it counts the sentences that other sessions have, too: what a text branch has read before it is tested.
    """
    with clear_errors():
        from mer.corpus import Wanted
        from mer.extract.several import split_name
        from mer.status import doctor as looks

        how = Wanted(audio_root=audio_root, encoding=encoding)
        checks = looks.machine_checks(cache)
        for option, models in (("--speech-model", speech_model), ("--text-model", text_model)):
            checks += [looks.encoder_check(option, split_name(each.as_posix())[1]) for each in models]
        found = looks.survey(corpus or DEFAULT_CORPUS, given=corpus is not None, how=how)
        checks += [*found.checks, *looks.sound_checks(found.tested), *looks.cache_checks(cache)]
        recurring = looks.recurring_sentences(found.tested)
    from mer.report import doctor_report

    data = {
        "checks": [dataclasses.asdict(check) for check in checks],
        "census": dataclasses.asdict(found.census) if found.census else None,
        "names": found.names,
        "repeated_recordings": found.repeated,
        "recurring_sentences": dataclasses.asdict(recurring) if recurring else None,
        "settings": settings_in_force(context),
    }
    print_result(data, doctor_report(data), as_json)
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)
