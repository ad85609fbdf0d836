"""`mer demo`."""

from dataclasses import dataclass
from pathlib import Path

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, progress_bar, say
from mer.commands.corpus_choice import raw_labels
from mer.commands.extract import extract_with_bar
from mer.commands.options import JsonOption, QuietOption
from mer.commands.train_head import print_results, train_with_bar
from mer.settings.kinds import SEEDS
from mer.settings.option import WHERE, option


@dataclass(frozen=True, kw_only=True)
class Demo:
    """How large a demonstration, and where."""

    to: Path = option(Path("demo-output"), "Folder for all that the demo makes.", panel=WHERE)
    utterances: int = option(500, "Synthetic utterances to speak.", least=100)
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
    of results, where every utterance can be looked at and listened to.
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
        config = ExtractConfig(speech_model=str(speech), text_model=str(text))
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


def write_demo_page(runs: list[Path], folder: Path, corpus: Path, quiet: bool) -> Path:
    """Tables, figures and the page of the demo's heads."""
    from mer.report.page_sources import PageSources
    from mer.report.report_folder import write_reports
    from mer.report.table_report import table_reports

    (page,), _ = write_reports(table_reports(runs)[0], folder, PageSources(corpus=corpus, named=True, cache=folder), quiet=quiet)
    return page
