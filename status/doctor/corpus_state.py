"""A corpus and a cache on disk: what is there, what is missing, what to do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.cache import CacheError, CacheFolder, cache_info
from mer.cache.set_file import set_folders
from mer.corpus import CLASS_MAPS, Census, CorpusError, Problem, Utterance, Wanted, corpus_at
from mer.corpus.label_spellings import look_alikes
from mer.corpus.repeated_recordings import repeated_recordings
from mer.corpus.wanted import ALL
from mer.protocol import TextOverlap, text_overlap
from mer.status.doctor.check import Check, CheckStatus
from mer.status.set_status import read_set_status

NAMED = 8
"""How many ids a line names before it counts the rest; `--json` has them all."""


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A corpus that has been looked at."""

    checks: list[Check]
    """What was found."""
    census: Census | None = None
    """The same counted; None where there is no corpus that can be read."""
    tested: Sequence[Utterance] = ()
    """What is tested by default: the labels of the class map that the kind of corpus usually has."""
    names: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Utterances of each label, session and speaker."""
    repeated: Sequence[Sequence[str]] = ()
    """Ids that have the same audio."""


def survey(root: Path, *, given: bool, how: Wanted = ALL) -> Surveyed:
    """Count a corpus, against its full release where that is known, and name what is missing, extra, repeated or odd in it.

    Args:
        root: Corpus folder or file, or `NAME:PATH`.
        given: Whether somebody asked for this folder; a default that is not there is no problem.
        how: Where the audio of a table is, and what the table is written in.
    """
    if not given and not root.exists():
        advice = "give --corpus DIR or set MER_CORPUS; `mer demo` needs none"
        return Surveyed(checks=[Check(name="corpus", status="note", found=f"none given, and no ./{root}", advice=advice)])
    try:
        place = corpus_at(root)
        corpus, census = place.kind.survey(place.path, how)
    except (CorpusError, OSError) as problem:
        return Surveyed(checks=[Check(name="corpus", status="problem", found=str(problem))])
    rows, labels = list(corpus), CLASS_MAPS[place.kind.classes]
    names = {
        "labels": Counter(each.label for each in rows),
        "sessions": Counter(each.session for each in rows),
        "speakers": Counter(each.speaker for each in rows),
    }
    repeated = repeated_recordings(rows)
    return Surveyed(
        checks=[
            *_census_checks(census),
            *(
                Check(name=name, status="ok", found=named([f"{key} {n:,}" for key, n in counts.most_common()]))
                for name, counts in names.items()
            ),
            *_spellings(names),
            *_repeated(repeated),
            *_oddities(census.problems),
        ],
        census=census,
        tested=[each for each in rows if each.label in labels] if labels else rows,
        names=names,
        repeated=[[each.id for each in group] for group in repeated],
    )


def _census_checks(census: Census) -> list[Check]:
    found = f"{census.title} in {census.root}: {sum(each.utterances for each in census.sessions):,} utterances"
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
    ]


def _spellings(names: Mapping[str, Mapping[str, int]]) -> list[Check]:
    """Names that look like spellings of one; those of a table's labels are one already, and a problem of the corpus says so."""
    return [
        Check(name=f"look-alike {what}", status="note", found=f"{alike}: the same in several spellings?")
        for what, counts in names.items()
        for alike in look_alikes(counts, labels=what == "labels")[:NAMED]
    ]


def _repeated(groups: Sequence[Sequence[Utterance]]) -> list[Check]:
    """Recordings that are there under several ids, and whether they tell the test, or contradict each other."""
    if not groups:
        return []
    across, unlike = (sum(len({getattr(each, what) for each in one}) > 1 for one in groups) for what in ("session", "label"))
    said = f"{len(groups):,} recordings have several ids, {across:,} of them in several sessions, {unlike:,} with several labels"
    first = ", ".join(f"{each.id} ({each.label}, session {each.session})" for each in groups[0][:NAMED])
    advice = "keep one of each: what is trained on and tested, too, is not recognised but remembered"
    return [Check(name="repeated recordings", status="note", found=f"{said}; the first: {first}", advice=advice)]


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
    sets = map(_set_check, set_folders(root))
    return [*(_cache_check(folder) for folder in folders), *sets] or [
        Check(name="cache", status="note", found=f"no cache in {root} yet", advice="`mer extract` makes one")
    ]


def _set_check(path: Path) -> Check:
    found = read_set_status(path)
    if found.problem:
        return Check(name="set of caches", status="problem", found=found.problem)
    return Check(name="set of caches", status="ok", found=f"{path}: {'+'.join(found.granularities)}")


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
