"""`mer align`."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mer.commands.backend_options import CpuBackend
from mer.commands.command_line import options_from
from mer.commands.console import GO_ON, clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead, find_corpus
from mer.commands.options import JsonOption, QuietOption
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.aligner.registry import ALIGNERS, POCKETSPHINX
from mer.settings.option import WHAT, WHERE, option
from mer.settings.shared_options import corpus_option, session_option

if TYPE_CHECKING:
    from rich.text import Text

    from mer.backends import Backend
    from mer.corpus import Alignment, Corpus
    from mer.corpus.aligner import AlignerChoice, AlignSummary

SHOWN = 20
"""Failures and unknown words on screen; all of them are in the log and in --json."""


@dataclass(frozen=True, kw_only=True)
class WhatIsAligned(HowTablesAreRead):
    """Which utterances are aligned or compared, and the folder of it."""

    corpus: Path | None = corpus_option()
    to: Path = option(Path("alignments"), "Folder of the TextGrids, one per utterance, and alignment.jsonl.", panel=WHERE)
    session: tuple[str, ...] | None = session_option()
    aligner: str = option(
        POCKETSPHINX,
        "pocketsphinx: phones, syllables and words of English. ctc: words in the language of --ctc-model.",
        choices=ALIGNERS,
        panel=WHAT,
    )
    check: str | None = option(
        None,
        "Align nothing: compare the TextGrids in --to with others, a folder of them or `corpus` for the corpus' own.",
        panel=WHAT,
    )


@options_from()
def align(
    what: WhatIsAligned,
    options: AlignerOptions,
    place: CpuBackend,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find every word of the transcripts in their recordings, in English also every phone and syllable, and write TextGrids.

    File names and tiers are those of the Montreal Forced Aligner. Pocketsphinx aligns English (extra `align`); any CTC
    speech recogniser of Hugging Face aligns the words of its language (--aligner ctc). Words that an aligner knows nothing of
    are listed. An utterance that cannot be aligned does not stop the others: it is listed with its reason, extraction
    takes it as one segment, and the exit code is 1.
    """
    with clear_errors(f"what is in {what.to} stays; {GO_ON}"):
        shard = place.shard
        found = find_corpus(what.corpus, what.session, "as-is", 0, what)
        if what.check is not None:
            data = compare(found, what.to, what.check)
            print_result(data, lines(agreement_lines(data)), as_json)
            return
        from mer.corpus.aligner import AlignerChoice, default_processes

        choice = AlignerChoice(name=what.aligner, options=options)
        engine = place.engine(device="cpu", threads=1, folder=what.to, cpu_workers=default_processes(len(found)))
        summary = align_with_bar(found, what.to, choice, None, quiet, backend=engine, shard=shard)
        data = dataclasses.asdict(summary)
    print_result(data, lines(summary_lines(data)), as_json)
    if summary.failed or summary.given_up:
        raise typer.Exit(1)


def align_with_bar(
    corpus: "Corpus",
    folder: Path,
    aligner: "AlignerChoice",
    workers: int | None,
    quiet: bool,
    *,
    backend: "Backend | None" = None,
    shard: tuple[int, int] | None = None,
) -> "AlignSummary":
    """Align a corpus, or one share of it, under a progress bar.

    Args:
        corpus: what to align.
        folder: of the TextGrids.
        aligner: which, with its options.
        workers: processes, without a backend.
        quiet: without the bar.
        backend: where it is done; None = in processes of this machine.
        shard: rank and number of ranks, to do one share.
    """
    from mer.corpus.aligner import align_corpus

    with progress_bar("align", quiet) as bar:

        def show(done: int, total: int, seconds: float) -> None:
            rate = f"{seconds / bar.elapsed:.0f} x real time" if bar.elapsed else ""
            bar.update(done, total, f"{done:,}/{total:,} utt., {rate}")

        return align_corpus(
            corpus,
            folder,
            aligner=aligner,
            workers=workers,
            backend=backend,
            shard=shard,
            on_progress=show,
            on_notice=lambda text: say(text, quiet),
        )


def compare(corpus: "Corpus", ours: Path, other: str) -> dict[str, Any]:
    """Agreement of the TextGrids in a folder with another set, over the utterances that both have."""
    from mer.corpus.aligner import compare_alignments
    from mer.corpus.textgrid_folder import with_textgrids

    own = with_textgrids(corpus, ours)
    theirs = corpus if other == "corpus" else with_textgrids(corpus, Path(other))
    pairs: list[tuple[Alignment, Alignment]] = [
        (a.alignment.read(), b.alignment.read()) for a, b in zip(own, theirs, strict=True) if a.alignment and b.alignment
    ]
    return {
        "ours": str(ours),
        "theirs": other,
        "utterances": len(corpus),
        "compared": len(pairs),
        "tiers": [dataclasses.asdict(agreement) for agreement in compare_alignments(pairs)],
    }


def lines(text: Iterator[str]) -> "Text":
    """Lines as they are: `[LAUGHTER]` is no mark-up."""
    from rich.text import Text

    return Text("\n".join(text))


def summary_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """What `mer align` prints."""
    yield (
        f"{data['folder']}: {data['aligned']:,} of {data['utterances']:,} utterances aligned ({data['made']:,} now, "
        f"{data['seconds']:,.0f} s of audio), {data['aligner']}"
    )
    if set(data["tiers"]) < {"words", "phones", "syllables"}:
        yield f"tiers: {', '.join(data['tiers'])}; this aligner finds no others, and extraction names what is missing"
    if data["unknown_words"]:
        yield f"{data['unknown_words_are']} {counts(data['unknown_words'])}"
    if data["unknown_characters"]:
        yield f"characters without a symbol in the model's vocabulary, passed over {counts(data['unknown_characters'])}"
    if data["fillers_lost"]:
        yield f"tags without a sound at their place: {data['fillers_lost']}"
    if data["failed"]:
        yield f"not aligned ({len(data['failed'])}), one segment each at extraction:"
        yield from (f"  {failure['id']}: {failure['reason']}" for failure in data["failed"][:SHOWN])
        if len(data["failed"]) > SHOWN:
            yield f"  and {len(data['failed']) - SHOWN} more, in {data['folder'] / 'alignment.jsonl'}"
    for piece in data["given_up"]:
        yield f"given up at try {piece['tries']}, the same command tries again: {piece['reason']}"
    if data["waiting"]:
        others = "" if data["given_up"] else ": the other shares, or the same command again, align them"
        yield f"not looked at: {data['waiting']:,} utterances{others}"


def counts(found: Mapping[str, int]) -> str:
    """How many different ones there are, and the most frequent with their counts."""
    each = [f"{name} {count}" for name, count in found.items()]
    more = f", and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
    return f"({len(each)}): {', '.join(each[:SHOWN])}{more}"


def agreement_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """What `mer align --check` prints."""
    yield f"{data['ours']} minus {data['theirs']}: {data['compared']:,} of {data['utterances']:,} utterances in both"
    if not data["tiers"]:
        yield "no unit of one is in the other"
        return
    yield f"{'':10} {'matched':>15} {'median':>7} {'80 %':>7} {'95 %':>7} {'bias':>7}  <= 20 ms  <= 50 ms"
    for tier in data["tiers"]:
        matched = f"{tier['matched']:,}/{tier['units']:,}"
        times = " ".join(f"{tier[name]:4.0f} ms" for name in ("median", "p80", "p95", "bias"))
        yield f"{tier['tier']:10} {matched:>15} {times} {tier['within_20']:8.1%}  {tier['within_50']:8.1%}"
