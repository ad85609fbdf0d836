"""Writes what `mer report --to` leaves in its folder."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import mer
from mer.files import make_folder, write_file
from mer.files.regular_file import read_file
from mer.report.corpus_facts import corpus_facts
from mer.report.known_facts import cache_facts, corpus_at_hand
from mer.report.page_sources import PageSources
from mer.report.progress import Bar
from mer.report.run_group import RunGroup
from mer.report.table_report import TableReport
from mer.report.utterance_answers import mean_answers
from mer.report.utterance_facts import Facts, UtteranceFacts

MEGABYTE = 1_000_000
RATED = "Ratings have no class that is right or wrong: there are no utterances to browse, no confusion matrix and no parts."


def write_reports(
    tables: Sequence[TableReport], folder: Path, sources: PageSources, *, quiet: bool
) -> tuple[list[Path], list[str]]:
    """Write every table's report, in folders of their own where there are several; pages and notes as `write_report` gives."""
    made = []
    for each in tables:
        place = folder / each.folder_name if len(tables) > 1 else folder
        made.append(write_report(each, place, sources, quiet=quiet))
    return [page for page, _ in made], [note for _, notes in made for note in notes]


def write_report(report: TableReport, folder: Path, sources: PageSources, *, quiet: bool) -> tuple[Path, list[str]]:
    """Write tables, figures and page; gives where the page is, and what its reader has to know about its sources.

    Args:
        report: the rows and their scores.
        folder: made where it is missing; files of an earlier report are replaced.
        sources: of transcripts and recordings.
        quiet: show no progress.

    Raises:
        WriteError: if the file system refuses.
    """
    # Matplotlib and jinja2 take a second to load, which no other report needs.
    from mer.report.figure_set import figure_set
    from mer.report.figures import png, vector
    from mer.report.page import page

    group, table = report.group, report.table
    figures_folder = folder / "figures"
    make_folder(figures_folder)
    for suffix, kind in (("md", "markdown"), ("tex", "latex"), ("csv", "csv")):
        write_file(folder / f"table.{suffix}", report.text(table, kind).encode())
        for name, parts in report.by.items():
            write_file(folder / f"by-{re.sub(r'[^0-9A-Za-z]+', '-', name)}.{suffix}", report.text(parts, kind).encode())
    facts, notes = gather_facts(group, folder, sources, quiet=quiet)
    if sources.audio == "embed" and facts:
        facts, note = embed_audio(group, facts, folder, sources.audio_limit * MEGABYTE)
        notes.append(note)
    figures = figure_set(group, facts or session_facts(group), tuple(report.by), report.comparisons)
    with Bar("figures", quiet=quiet) as bar:
        for done, each in enumerate(figures, start=1):
            write_file(figures_folder / f"{each.name}.png", png(each.figure))
            write_file(figures_folder / f"{each.name}.pdf", vector(each.figure))
            bar.update(done, len(figures))
    path = folder / "index.html"
    write_file(path, page(group, table, figures, facts, version=mer.__version__, notes=notes).encode())
    return path, notes


def session_facts(group: RunGroup) -> Facts:
    """What the runs themselves know: which test session an utterance is of."""
    return {each.id: UtteranceFacts(id=each.id, session=each.fold) for run in group.runs for each in run.predictions}


def gather_facts(group: RunGroup, folder: Path, sources: PageSources, *, quiet: bool) -> tuple[Facts, list[str]]:
    """The facts from the best source at hand, and what the reader of the page has to know about them."""
    if group.rated:
        return {}, [RATED]
    wanted = frozenset(session_facts(group))
    found = corpus_at_hand(group.corpus, sources)
    if found is not None:
        with Bar("recordings", quiet=quiet) as bar:
            facts = corpus_facts(found, wanted, folder, audio=sources.audio != "none", progress=bar.update)
        missing = len(wanted) - len(facts)
        if wanted and not facts:
            return {}, [f"{found.name}: holds none of the {missing:,} utterances of these runs: no transcript, no audio."]
        return facts, [f"{missing:,} utterances are not in the corpus given: no transcript, no audio."] if missing else []
    for key in sorted({str(run.result["cache_key"]) for run in group.finished if run.result.get("cache_key")}):
        known = cache_facts(sources.cache, key)
        if known is not None:
            facts = {name: each for name, each in known.items() if name in wanted}
            return facts, ["Transcripts are from the feature cache; with --corpus there are recordings and segments, too."]
    return {}, ["No corpus and no feature cache at hand: no transcripts, no recordings (give --corpus or --cache)."]


def embed_audio(group: RunGroup, facts: Facts, folder: Path, limit: float) -> tuple[Facts, str]:
    """Put recordings into the page until the limit: those that heads disagree about first, then wrong ones, then others."""
    said: dict[str, list[bool]] = {}
    given: dict[str, set[str]] = {}
    for run in group.runs:
        for name, answer in mean_answers(run.predictions, group.classes).items():
            said.setdefault(name, []).append(answer.prediction == answer.label)
            given.setdefault(name, set()).add(answer.prediction)
    order = sorted(facts, key=lambda name: (len(given.get(name, ())) < 2, all(said.get(name, [])), name))
    found, used, embedded = {}, 0.0, 0
    for name in order:
        each = facts[name]
        address = ""
        if each.audio:
            place, mark, part = each.audio.partition("#")
            wav = folder / unquote(place)
            # What an embedded file takes in the page, as base64 has four characters for three bytes.
            size = 4 * wav.stat().st_size / 3
            if used + size <= limit:
                kind = {".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".mp3": "mpeg"}.get(wav.suffix.lower(), "wav")
                address = f"data:audio/{kind};base64,{base64.b64encode(read_file(wav)).decode()}{mark}{part}"
                used, embedded = used + size, embedded + 1
        found[name] = replace(each, audio=address)
    return found, f"{embedded:,} of {len(facts):,} recordings are in this page ({used / MEGABYTE:.1f} MB): disagreements first."
