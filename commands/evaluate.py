"""`mer evaluate`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead, with_other_texts
from mer.commands.options import JsonOption, QuietOption
from mer.commands.predict import RunArgument, WhichRuns, find_aligner, live_alignment_option, say_origin
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.settings.kinds import NAMES
from mer.settings.option import WHAT, WHERE, option
from mer.settings.shared_options import corpus_option, device_option, runs_option, session_option, texts_option


@dataclass(frozen=True, kw_only=True)
class WhatIsScored(HowTablesAreRead):
    """The other corpus, and what its labels mean."""

    corpus: Path | None = corpus_option()
    runs: Path = runs_option()
    texts: Path | None = texts_option()
    map: Path | None = option(
        None,
        'TOML with lines such as joy = "happy": label of the corpus = class of the run; others are left out. Default: the class '
        "map that the run was trained with.",
        panel=WHERE,
    )
    part: tuple[str, ...] | None = option(
        None, "Only these parts of the corpus' own split, such as test. Default: all utterances.", kind=NAMES, panel=WHAT
    )
    session: tuple[str, ...] | None = session_option()
    alignment: str = live_alignment_option()
    max_seconds: float = option(60.0, "Longer utterances are refused, and listed.")
    device: str = device_option()


@options_from()
def evaluate(
    run: RunArgument,
    which: WhichRuns,
    what: WhatIsScored,
    of_aligner: AlignerOptions,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a run that was trained before on another corpus: all measures, with their spread over its folds and seeds.

    The result is a run directory of its own, which `mer report` shows. Nothing is trained. An utterance that cannot be
    answered for is listed with the reason, and the exit code is 1.
    """
    with clear_errors():
        from mer.commands.options import DEFAULT_CORPUS
        from mer.commands.train_head import print_results
        from mer.corpus import open_corpus
        from mer.predict import load
        from mer.predict.evaluation import ask, read_map
        from mer.predict.evaluation import evaluate as score

        labels = None if what.map is None else read_map(what.map)
        corpus = open_corpus(
            what.corpus or DEFAULT_CORPUS, sessions=what.session, audio_root=what.audio_root, encoding=what.encoding
        )
        texts = None
        if what.texts is not None:
            corpus, texts = with_other_texts(corpus, what.texts, quiet)
        predictor = load(
            run,
            revision=which.revision,
            folds=which.fold,
            seeds=which.seed,
            **which.encoders,
            device=what.device,
            max_seconds=what.max_seconds,
        )
        say_origin(run, predictor, quiet)
        asked = ask(corpus, predictor.folder, predictor.classes, labels, what.part)
        predictor.aligner = find_aligner(what.alignment, of_aligner, predictor, asked.utterances)
        with progress_bar("evaluate", quiet) as bar:
            command = " ".join(["mer", *sys.argv[1:]])
            result = score(predictor.folder, predictor, asked, what.runs, progress=bar.update, command=command, texts=texts)
        if result.reused:
            say(f"{result.directory}: evaluated before with these settings; this is its result", quiet)
    print_results([result], as_json)
    for each in result.values["utterances"]["left_out"]:
        say(f"no answer for {each['id']}: {each['reason']}", quiet)
    if result.values["utterances"]["left_out"]:
        raise typer.Exit(1)
