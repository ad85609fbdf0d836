"""Forced alignment on the synthetic corpus: error against the synthesiser's own times by voice, and speed.

python bench/align.py --utterances 600 --workers 2
python -m mer.tests.recognise.trained_recogniser small-ctc && python bench/align.py --utterances 300 --ctc-model small-ctc
"""

import argparse
import dataclasses
import json
import resource
import tempfile
import time
from pathlib import Path

from mer.corpus import Alignment, Corpus, Segment, open_corpus
from mer.corpus.aligner import Agreement, AlignerChoice, AlignerOptions, align_corpus, compare_alignments
from mer.corpus.synthetic import write_synthetic_corpus
from mer.corpus.synthetic.voices import VOICES
from mer.corpus.textgrid_folder import with_textgrids


def exact_alignments(root: Path) -> dict[str, Alignment]:
    """The synthesiser's own times by utterance, in milliseconds."""
    found = {}
    for line in (root / "exact_times.jsonl").read_text().splitlines():
        row = json.loads(line)
        tiers = {
            tier: tuple(Segment(label, round(start * 1000), round(end * 1000)) for label, start, end in row[tier])
            for tier in ("words", "phones")
        }
        found[row["id"]] = Alignment(syllables=(), **tiers)
    return found


def agreement_of(tier: str, corpus: Corpus, exact: dict[str, Alignment]) -> Agreement:
    """Agreement of one tier with the exact times, over the utterances that are aligned."""
    pairs = [(u.alignment.read(), exact[u.id]) for u in corpus if u.alignment is not None]
    return next(agreement for agreement in compare_alignments(pairs) if agreement.tier == tier)


def row(name: str, found: Agreement) -> str:
    """One row of a table."""
    cells = [name, f"{found.units:,}", f"{found.matched / found.units:.1%}", f"{found.median:.0f} ms", f"{found.p95:.0f} ms"]
    return f"| {' | '.join([*cells, f'{found.bias:+.0f} ms', f'{found.within_20:.1%}', f'{found.within_50:.1%}'])} |"


def heading(first: str, units: str) -> str:
    """The head of a table."""
    return f"| {first} | {units} | matched | median | 95 % | bias | <= 20 ms | <= 50 ms |\n|---|---|---|---|---|---|---|---|"


def processor_seconds() -> float:
    """Of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Speak, align with one process and with several, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ctc-model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "synthetic"
        write_synthetic_corpus(root, utterances=options.utterances)
        corpus, exact = open_corpus(root), exact_alignments(root)
        walls = {}
        for workers in dict.fromkeys((1, options.workers)):
            folder = Path(scratch) / f"grids{workers}"
            started, used = time.perf_counter(), processor_seconds()
            summary = align_corpus(corpus, folder, workers=workers)
            walls[workers], used = time.perf_counter() - started, processor_seconds() - used
            print(
                f"{workers} processes: {summary.seconds:.0f} s of audio in {walls[workers]:.1f} s, "
                f"{summary.seconds / walls[workers]:.1f} x real time, {summary.seconds / used:.1f} x a processor second; "
                f"{summary.aligned} of {summary.utterances} aligned"
            )
        print(f"ratio {walls[1] / walls[options.workers]:.2f}")
        aligned = with_textgrids(corpus, Path(scratch) / "grids1")
        print(heading("voice", "phones"))
        for speaker in [*VOICES, ""]:
            own = dataclasses.replace(aligned, utterances=tuple(u for u in aligned if speaker in ("", u.speaker)))
            name = f"{speaker}, {VOICES[speaker].name}" if speaker else "all"
            print(row(name, agreement_of("phones", own, exact)))
        print(heading("aligner", "words"))
        print(row("pocketsphinx", agreement_of("words", aligned, exact)))
        if options.ctc_model:
            choice = AlignerChoice(name="ctc", options=AlignerOptions(ctc_model=options.ctc_model))
            started = time.perf_counter()
            summary = align_corpus(corpus, Path(scratch) / "ctc", aligner=choice, workers=1)
            rate = summary.seconds / (time.perf_counter() - started)
            heard = with_textgrids(corpus, Path(scratch) / "ctc")
            print(row(f"ctc, {rate:.0f} x real time", agreement_of("words", heard, exact)))
            print(f"not aligned: {len(summary.failed)} of {len(corpus)}")


if __name__ == "__main__":
    main()
