"""A corpus and a cache on disk: what is there, what is missing, what to do."""

from collections.abc import Sequence
from pathlib import Path

from mer.cache import CacheError, CacheFolder, cache_info
from mer.corpus import Census, CorpusError, Problem, open_corpus, take_census
from mer.corpus.manifest import SUFFIXES
from mer.protocol import CLASS_MAPS, TextOverlap, text_overlap
from mer.status.doctor.check import Check, CheckStatus

NAMED = 8
"""How many ids a line names before it counts the rest; `--json` has them all."""


def corpus_checks(root: Path, *, given: bool) -> tuple[list[Check], Census | None]:
    """Count a copy of IEMOCAP against the full release, and name what is missing or extra.

    Args:
        root: Corpus folder, or a manifest (which is only read).
        given: Whether somebody asked for this folder; a default that is not there is no problem.
    """
    if not given and not root.exists():
        advice = "give --corpus DIR or set MER_CORPUS; `mer demo` needs none"
        return [Check(name="corpus", status="note", found=f"none given, and no ./{root}", advice=advice)], None
    if root.is_file() or root.suffix in SUFFIXES:
        return _manifest_checks(root), None
    try:
        census = take_census(root)
    except CorpusError as problem:
        return [Check(name="corpus", status="problem", found=str(problem))], None
    kind = "synthetic corpus" if census.synthetic else "IEMOCAP"
    total = sum(session.utterances for session in census.sessions)
    whole = Check(
        name="corpus",
        status="ok" if census.complete else "problem",
        found=f"{kind} in {root}: {total:,} utterances, {'complete' if census.complete else 'not complete'}",
        advice="" if census.complete else "the lines below name what differs; copy what is missing again",
    )
    lists = (
        ("dialogues missing", census.missing_dialogues),
        ("dialogues that the release has not", census.extra_dialogues),
        ("utterances missing", census.missing_ids),
        ("labels without wav", census.labels_without_wav),
        ("wavs without label", census.wavs_without_label),
        ("labels without transcript", census.labels_without_transcript),
        ("without alignment", census.without_alignment),
    )
    # Synthetic speech has each of IEMOCAP's quirks on purpose.
    status: CheckStatus = "note" if census.synthetic else "problem"
    checks = [
        Check(name=name, status=status if name != "without alignment" else "note", found=_named(ids))
        for name, ids in lists
        if ids
    ]
    return [whole, *checks, *_oddities(census.problems)], census


def recurring_sentences(root: Path) -> TextOverlap | None:
    """How many utterances of each session say what is said in another one, too: a text branch has read them in training.

    Counted over what is tested by default: the four classes of IEMOCAP (and of the synthetic corpus in its layout), every
    utterance of a manifest.

    Args:
        root: Corpus folder or manifest.

    Returns:
        None where there is no corpus that can be read; `corpus_checks` says why.
    """
    manifest = root.suffix in SUFFIXES
    try:
        corpus = open_corpus(root) if manifest else open_corpus(root, labels=frozenset(CLASS_MAPS["4"]))
    except (CorpusError, OSError):
        return None
    rows = list(corpus)
    return text_overlap([each.session for each in rows], [each.text or "" for each in rows], [each.style for each in rows])


def _manifest_checks(path: Path) -> list[Check]:
    if not path.is_file():
        return [Check(name="corpus", status="problem", found=f"{path}: no such manifest file")]
    try:
        corpus = open_corpus(path)
    except CorpusError as problem:
        return [Check(name="corpus", status="problem", found=str(problem))]
    absent = sum(not utterance.wav.is_file() for utterance in corpus)
    found = f"manifest {path}: {len(corpus):,} utterances"
    if absent:
        return [
            Check(name="corpus", status="problem", found=f"{found}, {absent:,} without their audio file"),
            *_oddities(corpus.problems),
        ]
    return [Check(name="corpus", status="ok", found=found), *_oddities(corpus.problems)]


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


def _named(ids: Sequence[str]) -> str:
    rest = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return f"{len(ids):,}: {', '.join(ids[:NAMED])}{rest}"
