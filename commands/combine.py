"""`mer combine`."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, say
from mer.commands.options import DEFAULT_CORPUS, JsonOption, QuietOption
from mer.settings.option import WHAT, option
from mer.settings.shared_options import audio_root_option, cache_option, corpus_option, encoding_option, runs_option

RULES = ("equal", "validation")


@dataclass(frozen=True, kw_only=True)
class HowCombined:
    """How runs are combined, and where the combination goes."""

    weights: str = option(
        "equal",
        "equal, or validation: for each fold and seed those of the lowest log loss of its validation utterances.",
        choices=RULES,
        panel=WHAT,
    )
    name: str | None = option(None, "What tables call the combination. Default: the names of its parts.", panel=WHAT)
    to: Path = runs_option(help="Folder of run directories that the combination is put into.", env="MER_RUNS")
    cache: Path = cache_option()
    corpus: Path | None = corpus_option()
    audio_root: Path | None = audio_root_option()
    encoding: str | None = encoding_option()


@options_from()
def combine(
    how: HowCombined,
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Two finished run directories or more, of any kind.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the probabilities of finished runs: heads, fine-tuned models, combinations.

    All must be of one corpus with the same classes, folds, seeds and test utterances. The
    combination is a run directory of its own, which `mer report` shows as any other; nothing
    is trained. Test utterances never choose a weight. With --corpus, or the cache in --cache,
    improvised and scripted speech are scored apart.
    """
    with clear_errors("nothing that was there is changed"):
        from mer.backends.agreement import versions
        from mer.commands.train_head import print_results
        from mer.report.known_facts import styles_of
        from mer.report.page_sources import PageSources
        from mer.results.combination import Asked
        from mer.results.combination import combine as average

        sources = PageSources(
            corpus=how.corpus or DEFAULT_CORPUS,
            named=how.corpus is not None,
            audio_root=how.audio_root,
            encoding=how.encoding,
            cache=how.cache,
        )
        result = average(
            runs,
            Asked(weights=how.weights, runs=how.to, name=how.name),
            styles=lambda results: styles_of(results, sources),
            start={"versions": versions(), "command": " ".join(["mer", *sys.argv[1:]]), "started": time.time()},
        )
        if result.reused:
            say(f"{result.directory}: combined before in this way; this is its result", quiet)
    print_results([result], as_json)
