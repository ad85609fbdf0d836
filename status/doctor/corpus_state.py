"""A corpus and a cache on disk: what is there, what is missing, what to do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer.cache import CacheError, CacheFolder, cache_info
from mer.corpus import CLASS_MAPS, Census, CorpusError, Problem, Utterance, Wanted, corpus_at
from mer.corpus.census import census_of
from mer.corpus.wanted import ALL
from mer.protocol import TextOverlap, text_overlap
from mer.status.doctor.check import Check, CheckStatus

NAMED = 8
"""How many ids a line names before it counts the rest; `--json` has them all."""


def corpus_checks(root: Path, *, given: bool, how: Wanted = ALL) -> tuple[list[Check], Census | None]:
    """Count a corpus, against its full release where that is known, and name what is missing or extra.

    Args:
        root: Corpus folder or file, or `NAME:PATH`.
        given: Whether somebody asked for this folder; a default that is not there is no problem.
        how: Where the audio of a table is, and what the table is written in.
    """
    if not given and not root.exists():
        advice = "give --corpus DIR or set MER_CORPUS; `mer demo` needs none"
        return [Check(name="corpus", status="note", found=f"none given, and no ./{root}", advice=advice)], None
    try:
        place = corpus_at(root)
        kind, path = place.kind, place.path
        census = kind.census(path) if how == ALL else census_of(path, kind.title, kind.read(path, how))
    except CorpusError as problem:
        return [Check(name="corpus", status="problem", found=str(problem))], None
    found = f"{census.title} in {place.path}: {sum(each.utterances for each in census.sessions):,} utterances"
    advice = "" if census.complete else "the lines below name what differs; copy what is missing again"
    whole: CheckStatus = "ok" if census.complete else "problem"
    # Synthetic speech has each of IEMOCAP's quirks on purpose; that something is not there at all is judged by the whole.
    status: CheckStatus = "note" if census.synthetic or census.complete else "problem"
    return [
        Check(name="corpus", status=whole, found=f"{found}, {'complete' if census.complete else 'not complete'}", advice=advice),
        *(
            Check(name=name, status=status if name != "without alignment" else "note", found=named(ids))
            for name, ids in census.findings.items()
            if ids
        ),
        *_counts(census),
        *_oddities(census.problems),
    ], census


def _counts(census: Census) -> list[Check]:
    """Labels and sessions with their utterances, where no full release says how many there should be."""
    if census.expected_labels is not None or census.synthetic or not census.labels:
        return []
    sessions = {each.session: each.utterances for each in census.sessions}
    counts = {"labels": sorted(census.labels.items(), key=lambda row: -row[1]), "sessions": list(sessions.items())}
    return [
        Check(name=name, status="ok", found=named([f"{label} {count:,}" for label, count in found]))
        for name, found in counts.items()
    ]


def labelled(root: Path, how: Wanted = ALL) -> list[Utterance]:
    """What is tested by default: the labels of the class map that the kind of corpus usually has.

    Args:
        root: Corpus folder or file, or `NAME:PATH`.
        how: As in `corpus_checks`.

    Returns:
        Nothing where there is no corpus that can be read; `corpus_checks` says why.
    """
    try:
        place = corpus_at(root)
        labels = frozenset(CLASS_MAPS[place.kind.classes]) or None
        return list(place.kind.read(place.path, replace(how, labels=labels)))
    except (CorpusError, OSError):
        return []


def recurring_sentences(rows: Sequence[Utterance]) -> TextOverlap | None:
    """How many utterances of each session say what is said in another one, too: a text branch has read them in training."""
    if not rows:
        return None
    return text_overlap([each.session for each in rows], [each.text or "" for each in rows], [each.style for each in rows])


def _oddities(problems: Sequence[Problem]) -> list[Check]:
    """The first few by name, the rest as a number."""
    checks = [Check(name=p.kind, status="note", found=f"{p.where}: {p.message}") for p in problems[:NAMED]]
    if len(problems) > NAMED:
        checks.append(Check(name="and more", status="note", found=f"{len(problems) - NAMED:,} more like these"))
    return checks


def cache_checks(root: Path) -> list[Check]:
    """Every cache under a root, or the one that is given."""
    if not root.is_dir():
        return [Check(name="cache", status="note", found=f"{root} does not exist yet", advice="`mer extract` makes it")]
    folders = sorted(spec.parent for spec in root.glob("**/spec.json"))
    return [_cache_check(folder) for folder in folders] or [
        Check(name="cache", status="note", found=f"no cache in {root} yet", advice="`mer extract` makes one")
    ]


def _cache_check(path: Path) -> Check:
    try:
        info = cache_info(CacheFolder.find(path))
    except CacheError as problem:
        return Check(name="cache", status="problem", found=str(problem))
    found = f"{path}: {info['utterances']:,} utterances, {info['bytes'] / 1e9:.2f} GB"
    if info["failed"]:
        advice = "`mer extract` lists why; it tries them again when their files have changed"
        return Check(name="cache", status="note", found=f"{found}, {len(info['failed'])} failed", advice=advice)
    return Check(name="cache", status="ok", found=found)


def named(ids: Sequence[str]) -> str:
    """How many, and the first few."""
    rest = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return f"{len(ids):,}: {', '.join(ids[:NAMED])}{rest}"
