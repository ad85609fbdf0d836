"""`mer extract`."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from mer.commands.align import align_with_bar
from mer.commands.backend_options import AnyBackend
from mer.commands.command_line import Given, options_from, repeatable
from mer.commands.console import GO_ON, clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead, find_corpus, with_other_texts
from mer.commands.encoders_given import caches_of, say_plan, set_of
from mer.commands.options import DEFAULT_CORPUS, JsonOption, QuietOption, RevisionOption
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.extract.config import OTHER_ALIGNMENTS, ExtractConfig, Resources
from mer.protocol.classes import classes_option
from mer.settings.option import WHAT, WHERE, Option, option, options_of
from mer.settings.shared_options import cache_option, corpus_option, session_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from mer.backends import Backend
    from mer.corpus import Corpus
    from mer.extract import Extraction
    from mer.extract.inputs import WaveReader

GPU_WORKER_THREADS = 4  # for decoding, hashing and writing beside the GPU
SHOWN_FAILURES = 20


@dataclass(frozen=True, kw_only=True)
class WhatIsExtracted(HowTablesAreRead):
    """Which utterances go where, and what is wanted of their alignments."""

    corpus: Path | None = corpus_option()
    cache: Path = cache_option(help="Folder of the feature caches; settings name a cache in it.")
    textgrids: Path | None = option(
        None, "Folder of TextGrids, JSON or CTM by `mer align`, MFA or others, for --alignment textgrid.", panel=WHERE
    )
    session: tuple[str, ...] | None = session_option()
    classes: str | None = classes_option(
        default=None,
        help="Utterances of which classes: 4 (hap and exc merged), 4-noexc, 5, 6, as-is for every label, or a TOML file. "
        "Default: 4 for IEMOCAP, as-is for a manifest, else those of the corpus. Labels are stored unmerged.",
    )
    alignment_offset: int = option(0, "Milliseconds added to IEMOCAP's alignments; some readers add 20.", panel=WHAT)
    allow_missing_segments: bool = option(
        False,
        "Exit code 0 even where P, S or W has no units of its own and is one segment over the whole utterance.",
        panel=WHAT,
    )
    resegment: bool = option(
        False, "Only the alignment changed: average the frames of a cache that is there, without the encoders."
    )


OF_CACHES: Mapping[str, Option] = {
    **options_of(ExtractConfig),
    **{field: repeatable(options_of(ExtractConfig)[field]) for field in ("speech_model", "text_model")},
}
"""Options of what is extracted: encoders may be several, each with a cache of its own."""


@options_from(OF_CACHES)
def extract(
    what: WhatIsExtracted,
    given: Given,
    of_aligner: AlignerOptions,
    resources: Resources,
    place: AnyBackend,
    revision: RevisionOption = None,
    drop_fillers: Annotated[bool, typer.Option("--drop-fillers", hidden=True, help="What --fillers drop is.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Stage 1: run frozen encoders over a corpus once and cache every layer's activations.

    Stop it whenever you like (Ctrl-C): the same command goes on from there.
    An utterance that cannot be extracted does not stop the others: it is listed
    with its reason, and the exit code is 1. So it is where most alignments lack
    the phones, syllables or words that are wanted: they are named.

    Several encoders (--speech-model wavlm=DIR --speech-model whisper=DIR) get a cache
    each, and a set that puts the caches together: heads then take F@wavlm+F@whisper.
    """
    # Huge pages for the convolutions' buffers: 4 to 7 % less time, the same bits. PyTorch reads it when it is imported.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from mer.extract.decoded_once import decoded_once

    with clear_errors(f"what is in {what.cache} stays; {GO_ON}"):
        refuse_one_cache(what.cache)
        members = caches_of(given, revision or [], drop_fillers=drop_fillers)
        config = members[0].config
        shard, engine = place.shard, engine_of(place, resources.device, what.cache)
        if what.resegment and (engine or shard):
            raise typer.BadParameter(
                "it runs in this process, in minutes: without --backend and --shard-rank", param_hint="--resegment"
            )
        found = find_corpus(what.corpus, what.session, what.classes, what.alignment_offset, what)
        if config.texts is not None:
            found, _ = with_other_texts(found, config.texts, quiet)
            say_whose_alignments(found, config, quiet)
        processes = place.workers if place.backend == "local" else None
        found = with_alignment(found, config, of_aligner, what, processes, quiet)
        if not what.allow_missing_segments:
            warn_of_missing_tiers(found, config, quiet)
        resources = dataclasses.replace(resources, workers=place.workers)
        planned, speaking = 0, 0
        if not what.resegment:
            planned = say_plan(found, members, what.cache, resources, quiet, elsewhere=engine is not None)
            speaking = sum(each.config.needs_speech for each in members)
        with decoded_once(what.cache / found.name, speaking, planned) as waves:
            run = partial(extract_with_bar, found, cache=what.cache, resources=resources, quiet=quiet, resegment=what.resegment)
            run = partial(run, backend=engine, shard=shard, read=waves)
            results = [run(each.config, of=each.title if len(members) > 1 else "") for each in members]
        together = set_of(what.cache, members, results)
    print_extraction(results, found, what, shard, together=together, as_json=as_json, quiet=quiet)
    if any(map(partial(is_wanting, allow_missing=what.allow_missing_segments), results)):
        raise typer.Exit(1)


def is_wanting(result: "Extraction", *, allow_missing: bool) -> bool:
    """Whether something that was asked for is not in the cache."""
    return bool(result.failed or result.failed_shards or (result.missing_tiers and not allow_missing))


def engine_of(place: AnyBackend, device: str, cache: Path) -> "Backend | None":
    """Where shards are made; None for this machine: the extraction knows how many processes they are worth.

    Raises:
        BackendError: options that do not fit together.
    """
    engine = place.engine(device=device, threads=1 if device == "cpu" else GPU_WORKER_THREADS, folder=cache)
    return None if place.backend == "local" else engine


def print_extraction(
    results: "Sequence[Extraction]",
    corpus: "Corpus",
    what: WhatIsExtracted,
    shard: tuple[int, int] | None,
    *,
    together: "tuple[Path, Sequence[str]] | None",
    as_json: bool,
    quiet: bool,
) -> None:
    """What is in the caches now, and what is not."""
    from rich.console import Group
    from rich.text import Text

    from mer.report import extraction_lines

    problems = [dataclasses.asdict(each) for each in corpus.problems]
    found = [dataclasses.asdict(each) | {"problems": problems, "missing_tiers": each.missing_tiers} for each in results]
    lines = [Group(extraction_lines(data), *shard_lines(each, shard)) for data, each in zip(found, results, strict=True)]
    if together is None:
        print_result(found[0], lines[0], as_json)
    else:
        folder, names = together
        said = f"together in {folder}: {'+'.join(names)}. Heads take several, as in --granularity {'+'.join(names[:2])}"
        print_result({"set": str(folder), "granularities": list(names), "caches": found}, Group(*lines, Text(said)), as_json)
    if corpus.problems:
        place = what.corpus or DEFAULT_CORPUS
        say(f"the corpus has oddities ({len(corpus.problems)}): `mer doctor --corpus {place}` lists them", quiet)


def warn_of_missing_tiers(corpus: "Corpus", config: ExtractConfig, quiet: bool) -> None:
    """Before the encoders run, from a look at some alignments."""
    from mer.extract import look_ahead

    missing = look_ahead(corpus, config)
    for words in missing.values():
        say(f"looking ahead: {words}", quiet)
    if missing:
        say("the extraction goes on, and its exit code will be 1; Ctrl-C stops it", quiet)


def say_whose_alignments(corpus: "Corpus", config: ExtractConfig, quiet: bool) -> None:
    """Say where segments are of the corpus' own words and T is of those in `--texts`."""
    own = sum(each.alignment is not None for each in corpus) if config.alignment == "corpus" and config.needs_alignment else 0
    if own:
        tiers = "+".join(name for name in config.granularities if name in "PSW")
        say(
            f"note: {tiers} of {own:,} utterances are averaged over the corpus' own alignments, which are of its own words, not "
            "of those in --texts; with --alignment pocketsphinx, ctc or textgrid they are of the words given",
            quiet,
        )


def with_alignment(
    corpus: "Corpus", config: ExtractConfig, options: AlignerOptions, what: WhatIsExtracted, workers: int | None, quiet: bool
) -> "Corpus":
    """The corpus with the alignments of `--alignment`; those of an aligner are made first, where they are missing."""
    from mer.corpus.textgrid_folder import with_textgrids

    alignment = config.alignment
    if (alignment == "textgrid") != (what.textgrids is not None):
        raise typer.BadParameter("--alignment textgrid and --textgrids DIR belong together", param_hint="--alignment")
    if alignment in OTHER_ALIGNMENTS and options != AlignerOptions():
        raise typer.BadParameter("it is for --alignment ctc; leave it out, or add that", param_hint="--ctc-model")
    if what.textgrids is not None:
        return with_textgrids(corpus, what.textgrids)
    if alignment in OTHER_ALIGNMENTS:
        return corpus
    from mer.corpus.aligner import AlignerChoice, AlignError
    from mer.corpus.given_texts import read_texts

    choice = AlignerChoice(name=alignment, options=options)
    # Alignments of other words are others: those of the corpus' own stay as they are.
    of_texts = "" if config.texts is None else f"-{read_texts(config.texts).sha256[:12]}"
    folder = what.cache / corpus.name / f"{choice.kind().folder_name}{of_texts}"
    summary = align_with_bar(corpus, folder, choice, workers, quiet)
    if summary.waiting:
        # They would be one segment each, for good, though nobody has looked at them.
        raise AlignError(f"{summary.waiting:,} utterances are not aligned yet: {GO_ON}, or run `mer align` first")
    if summary.failed:
        say(f"{len(summary.failed)} utterances could not be aligned and are one segment each: {folder}/alignment.jsonl", quiet)
    return with_textgrids(corpus, folder, kind=alignment) if summary.aligned else without_alignments(corpus)


def without_alignments(corpus: "Corpus") -> "Corpus":
    """Every utterance as one segment."""
    return dataclasses.replace(corpus, utterances=tuple(dataclasses.replace(u, alignment=None) for u in corpus))


def shard_lines(result: "Extraction", shard: tuple[int, int] | None) -> list["Text"]:
    """Shards that failed, what was done twice, and what others have still to do."""
    from rich.text import Text

    from mer.report.tables import counted

    lines = []
    if result.repeated_seconds:
        lines.append(Text(f"{result.repeated_seconds:,.0f} s of audio were encoded again after a worker was lost or too slow"))
    if shard is not None:
        left = result.shards_elsewhere
        others = (
            f"{counted(left, 'shard')} of the others {'is' if left == 1 else 'are'} not there yet"
            if left
            else "the others are done"
        )
        lines.append(Text(f"share {shard[0]} of {shard[1]}: {others}"))
    if result.failed_shards:
        lines.append(Text(f"{counted(len(result.failed_shards), 'shard')} failed, not in the cache:", style="red"))
        lines += [Text(f"  {failed.shard}: {failed.reason}") for failed in result.failed_shards[:SHOWN_FAILURES]]
        if len(result.failed_shards) > SHOWN_FAILURES:
            lines.append(Text(f"  and {len(result.failed_shards) - SHOWN_FAILURES} more: --json names all"))
        lines.append(Text("Put right what can be, and give the same command again: it goes on with them."))
    return lines


def refuse_one_cache(cache: Path) -> None:
    """A cache's own folder is no place for caches; its settings decide which cache an extraction goes to."""
    if (cache / "spec.json").is_file():
        root = cache.absolute().parent.parent
        raise typer.BadParameter(
            f"{cache} is one cache; give the folder of all of them, {root}: the settings find the one to go on with, or make "
            "a new one beside it",
            param_hint="--cache",
        )


def extract_with_bar(
    corpus: "Corpus",
    config: ExtractConfig,
    cache: Path,
    resources: Resources,
    quiet: bool,
    *,
    of: str = "",
    resegment: bool = False,
    backend: "Backend | None" = None,
    shard: tuple[int, int] | None = None,
    read: "WaveReader | None" = None,
) -> "Extraction":
    """Extract a corpus under a progress bar, or redo the segments of one.

    Args:
        corpus: what to extract.
        config: how.
        cache: root of the caches.
        resources: device, processes, batch sizes.
        quiet: without the bar.
        of: the encoders, where there are others; beside the bar.
        resegment: average a cache's frames anew.
        backend: where to make shards; None = in processes of this machine.
        shard: rank and number of ranks, to make one share.
        read: where waveforms come from, if not from the recordings.
    """
    from mer.extract import ExtractionProgress
    from mer.extract import extract as run_encoders
    from mer.extract import resegment as average_again
    from mer.report.tables import size

    first: list[tuple[float, float]] = []
    with progress_bar(f"extract {of}".strip(), quiet) as bar:
        bar.update(0, 0, "reading the frames" if resegment else "loading the encoders")

        def show(progress: ExtractionProgress) -> None:
            if not first:
                first.append((monotonic(), progress.seconds))
                if (done := len(corpus) - progress.utterances_total) and shard is None:
                    say(f"going on: {done:,} of {len(corpus):,} utterances are in the cache already", quiet)
            passed, before = monotonic() - first[0][0], first[0][1]
            # Encoders are loaded before the first batch is through: no part of the rate.
            rate = f", {(progress.seconds - before) / passed:.0f} x real time" if passed else ""
            detail = f"{progress.utterances:,}/{progress.utterances_total:,} utt., {size(progress.bytes)}{rate}"
            bar.update(progress.seconds, progress.seconds_total, detail)

        if resegment:
            return average_again(corpus, config, cache, resources=resources, on_progress=show)
        return run_encoders(
            corpus,
            config,
            cache,
            resources=resources,
            backend=backend,
            shard=shard,
            read=read,
            on_progress=show,
            on_notice=lambda text: say(text, quiet),
        )
