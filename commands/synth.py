"""`mer synth`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.console import clear_errors, print_result, progress_bar
from mer.commands.options import JsonOption, QuietOption


def synth(
    folder: Annotated[Path, typer.Argument(help="New folder for the corpus.")],
    utterances: Annotated[int, typer.Option(min=100, help="How many utterances to speak.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Speak a synthetic corpus in IEMOCAP's own directory layout and file formats.

    For trying things out and for tests: 5 sessions, 10 voices, alignments from the
    synthesiser's own phone times, and each quirk of the real release once. Always
    marked as synthetic.
    """
    with clear_errors(f"{folder} is not complete: delete it and give the same command again"):
        from mer.corpus.synthetic import write_synthetic_corpus

        with progress_bar("speak", quiet) as bar:
            summary = write_synthetic_corpus(folder, utterances=utterances, seed=seed, progress=bar.update)
    data = dataclasses.asdict(summary)
    print_result(data, f"{folder}: {utterances} utterances. Next: mer extract --corpus {folder}", as_json)
