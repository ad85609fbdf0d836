"""`mer synth`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, print_result, progress_bar
from mer.commands.options import JsonOption, QuietOption
from mer.settings.option import option


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What a synthetic corpus holds."""

    utterances: int = option(500, "How many utterances to speak.", least=100, panel=None)
    seed: int = option(0, "The same seed gives the same bytes.", least=0, panel=None)


@options_from()
def synth(
    folder: Annotated[Path, typer.Argument(help="New folder for the corpus.")],
    what: Spoken,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Speak a synthetic corpus in IEMOCAP's own directory layout and file formats.

    For trying things out and for tests: 5 sessions, 10 voices, alignments from the
    synthesiser's own phone times, and each quirk of the real release once. Always
    marked as synthetic.
    """
    with clear_errors(f"nothing was written to {folder}; give the same command again"):
        from mer.corpus.synthetic import write_synthetic_corpus

        with progress_bar("speak", quiet) as bar:
            summary = write_synthetic_corpus(folder, utterances=what.utterances, seed=what.seed, progress=bar.update)
    data = dataclasses.asdict(summary)
    print_result(data, f"{folder}: {what.utterances} utterances. Next: mer extract --corpus {folder}", as_json)
