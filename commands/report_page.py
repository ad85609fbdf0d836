"""Writes what `mer report --to` leaves in its folder."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mer.commands.console import progress_bar, say

if TYPE_CHECKING:
    from mer.report import RunGroup, ScoreTable
    from mer.report.utterance_facts import UtteranceFacts

MEGABYTE = 1_000_000


def write_report(
    group: "RunGroup",
    table: "ScoreTable",
    folder: Path,
    *,
    corpus: Path | None,
    cache: Path,
    audio: str,
    audio_limit: float,
    quiet: bool,
) -> Path:
    """Write tables, figures and page; gives where the page is.

    Args:
        group: the rows.
        table: their scores.
        folder: made where it is missing; files of an earlier report are replaced.
        corpus: as given by `--corpus`.
        cache: as given by `--cache`.
        audio: `link`, `embed` or `none`.
        audio_limit: megabytes of recordings to embed.
        quiet: say nothing.
    """
    import mer
    from mer.report import csv_table, latex_table, markdown_table
    from mer.report.figure_set import figure_set
    from mer.report.figures import png, vector
    from mer.report.page import page

    figures_folder = folder / "figures"
    figures_folder.mkdir(parents=True, exist_ok=True)
    for suffix, make in (("md", markdown_table), ("tex", latex_table), ("csv", csv_table)):
        (folder / f"table.{suffix}").write_text(make(table), encoding="utf-8")
    facts, notes = gather_facts(group, folder, corpus=corpus, cache=cache, audio=audio, quiet=quiet)
    if audio == "embed" and facts:
        facts, note = embed_audio(group, facts, folder, audio_limit * MEGABYTE)
        notes.append(note)
    figures = figure_set(group, facts or {name: each for name, each in session_facts(group).items()})
    with progress_bar("figures", quiet) as bar:
        for done, each in enumerate(figures, start=1):
            (figures_folder / f"{each.name}.png").write_bytes(png(each.figure))
            (figures_folder / f"{each.name}.pdf").write_bytes(vector(each.figure))
            bar.update(done, len(figures))
    path = folder / "index.html"
    path.write_text(page(group, table, figures, facts, version=mer.__version__, notes=notes), encoding="utf-8")
    return path


def session_facts(group: "RunGroup") -> dict[str, "UtteranceFacts"]:
    """What the runs themselves know: which test session an utterance is of."""
    from mer.report.utterance_facts import UtteranceFacts

    return {each.id: UtteranceFacts(id=each.id, session=each.fold) for run in group.runs for each in run.predictions}


def gather_facts(
    group: "RunGroup", folder: Path, *, corpus: Path | None, cache: Path, audio: str, quiet: bool
) -> tuple[dict[str, "UtteranceFacts"], list[str]]:
    """The facts from the best source at hand, and what the reader has to know about them."""
    from mer.commands.report_facts import cache_facts, corpus_at_hand, corpus_facts

    wanted = frozenset(session_facts(group))
    found = corpus_at_hand(corpus)
    if found is not None and corpus is None and found.name != group.corpus:
        found = None
    if found is not None:
        with progress_bar("recordings", quiet) as bar:
            facts = corpus_facts(found, wanted, folder, audio=audio != "none", progress=bar.update)
        missing = len(wanted) - len(facts)
        if missing == len(wanted) and wanted:
            say(f"{found.name}: holds none of the {len(wanted):,} utterances of these runs", quiet)
        return facts, [f"{missing:,} utterances are not in the corpus given: no transcript, no audio."] if missing else []
    keys = {str(run.result["cache_key"]) for run in group.finished if run.result.get("cache_key")}
    for key in sorted(keys):
        known = cache_facts(cache, key)
        if known is not None:
            facts = {name: each for name, each in known.items() if name in wanted}
            return facts, ["Transcripts are from the feature cache; with --corpus there are recordings and segments, too."]
    return {}, ["No corpus and no feature cache at hand: no transcripts, no recordings (give --corpus or --cache)."]


def embed_audio(
    group: "RunGroup", facts: Mapping[str, "UtteranceFacts"], folder: Path, limit: float
) -> tuple[dict[str, "UtteranceFacts"], str]:
    """Put recordings into the page until the limit: those that heads disagree about first, then wrong ones, then others."""
    from urllib.parse import unquote

    from mer.report.utterance_answers import mean_answers

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
            wav = folder / unquote(each.audio)
            # What an embedded file takes in the page, as base64 has four characters for three bytes.
            size = 4 * wav.stat().st_size / 3
            if used + size <= limit:
                kind = {".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".mp3": "mpeg"}.get(wav.suffix.lower(), "wav")
                address = f"data:audio/{kind};base64,{base64.b64encode(wav.read_bytes()).decode()}"
                used, embedded = used + size, embedded + 1
        found[name] = replace(each, audio=address)
    return found, f"{embedded:,} of {len(facts):,} recordings are in this page ({used / MEGABYTE:.1f} MB): disagreements first."
