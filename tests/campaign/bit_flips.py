"""A flipped bit in every kind of file that is read back: refused, harmless, or made again, never another answer."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.status.errors import StatusError
from mer.status.verified import check_places
from mer.tests.campaign.calls import kill_at, watch
from mer.tests.campaign.forked import ChildError, HangError, asked
from mer.tests.campaign.material import Material
from mer.tests.campaign.reference import Reference
from mer.tests.campaign.tally import Tally

UNHASHED = "starts"
"""Folder of records of what was done; no number depends on them."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of files that belong together, and what is answered from them."""

    name: str
    folder: Path
    ask: Callable[[Path], Any]
    """Folder to an answer in JSON; raises mer's own errors where it is refused."""
    read: Callable[[str], bool] = lambda name: True
    """Whether a file, by its path below the folder, is read at all."""


def flip_files(material: Material, count: int, seed: int, root: Path) -> list[Tally]:
    """Flip one bit at a time, and ask."""
    places = finished_places(material)
    return [_flip(place, max(1, count // len(places)), seed, root / place.name) for place in places]


def finished_places(material: Material) -> tuple[Place, ...]:
    """What results, exports and caches answer."""
    recording = material.corpus.with_name("utt01.wav")
    grid = recording.with_suffix(".TextGrid")

    def cache(folder: Path) -> Any:
        from mer.cache import CacheFolder, FeatureCache

        opened = FeatureCache(CacheFolder.find(folder))
        table = opened.utterances
        values = [[opened.read(name, each) for each in "FPSWT"] for name in table.ids]
        digest = hashlib.sha256(b"".join(part.tobytes() for row in values for part in row)).hexdigest()
        return [digest, list(table.ids), list(table.labels)]

    def answers(folder: Path, **encoders: Any) -> Any:
        from mer.predict import load

        found = load(folder, device="cpu", **encoders).predict(recording, "happy alone noon", textgrid=grid)
        return [found.label, found.logits]

    def report(folder: Path) -> Any:
        from mer.report.table_report import table_reports

        tables, _ = table_reports((folder,), reference=None, force=False)
        return json.loads(json.dumps([each.as_dict() for each in tables], default=str))

    def of_run(folder: Path) -> Any:
        run = folder / material.run.name
        return [answers(run, speech_model=str(material.speech)), _without_place(report(run), folder)]

    def of_models(folder: Path) -> Any:
        run = folder / material.models.name
        return [answers(run), _without_place(report(run), folder)]

    def used(name: str) -> bool:
        return not name.endswith((".lock", "steps.jsonl", "README.md"))

    return (
        Place(name="cache", folder=material.cache.parent, ask=lambda to: cache(to / material.cache.name)),
        Place(name="result of a head", folder=material.run.parent, ask=of_run, read=used),
        Place(name="result of a whole model", folder=material.models.parent, ask=of_models, read=used),
        Place(name="export", folder=material.exported, ask=answers, read=used),
    )


def _flip(place: Place, count: int, seed: int, root: Path) -> Tally:
    tally = Tally(test=f"bit flips: {place.name}")
    chance = random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    to = Path(shutil.copytree(place.folder, root / "place" / place.folder.name))
    root.joinpath("said").mkdir()
    names = [each.relative_to(to).as_posix() for each in sorted(to.rglob("*")) if each.is_file()]
    files = [to / name for name in names if place.read(name)]
    expected = asked(lambda: outcome(place.ask, to), root / "said")
    if expected[0] != "answer":
        raise RuntimeError(f"{place.name}: {expected}")
    for number in range(count):
        file = files[number % len(files)]
        content = file.read_bytes()
        bit = chance.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        judge(tally, f"{file.relative_to(to)} bit {bit}", expected, lambda: outcome(place.ask, to), root / "said")
        file.write_bytes(content)
    shutil.rmtree(root)
    return tally


def judge(tally: Tally, what: str, expected: Any, ask: Callable[[], Any], scratch: Path) -> None:
    """Count what an answer from a damaged file is, asked for in a child."""
    tally.count += 1
    try:
        found = asked(ask, scratch)
    except HangError as problem:
        tally.hangs += 1
        tally.seen.append(f"{what}: {problem}")
        return
    except ChildError as problem:
        found = ["traceback", str(problem).strip().splitlines()[-1]]
    if found[0] == "traceback":
        tally.tracebacks += 1
        tally.seen.append(f"{what}: {found[1]}")
    elif found[0] == "answer" and found != expected:
        tally.wrong += 1
        tally.seen.append(f"{what}: another answer")


def outcome(ask: Callable[[Path], Any], place: Path) -> list[Any]:
    """What is answered, refused in mer's own words, or neither."""
    try:
        return ["answer", ask(place)]
    except Exception as problem:
        ours = isinstance(problem, OSError) or type(problem).__module__.startswith("mer.")
        return ["refused" if ours else "traceback", f"{type(problem).__name__}: {problem}"]


def flip_unfinished(reference: Reference, count: int, seed: int, root: Path) -> Tally:
    """Flip a bit in what a killed command left, and give the command again: it ends as undisturbed, or names the file."""
    tally = Tally(test=f"bit flips in an unfinished mer {reference.command.name}")
    chance = random.Random(seed)
    while tally.count < count:
        shutil.rmtree(root, ignore_errors=True)
        to = root / "to"
        to.mkdir(parents=True)
        moment = chance.randint(reference.calls // 3, reference.calls)
        reference.again(to, prepare=lambda to=to, moment=moment: watch(to, kill_at(moment)))
        there = [each for each in sorted(to.rglob("*")) if each.is_file() and each.stat().st_size]
        # TextGrids are the user's to edit.
        files = [each for each in there if each.parent.name != UNHASHED and each.suffix != ".TextGrid"]
        if not files:
            continue
        file = chance.choice(files)
        content = bytearray(file.read_bytes())
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        what = f"{file.relative_to(to)} bit {bit}, killed at change {moment}"
        ended = reference.again(to)
        tally.count += 1
        tally.hangs += ended.hung
        if ended.traceback:
            tally.tracebacks += 1
            tally.seen.append(f"{what}: {ended.err.strip().splitlines()[-1]}")
        elif any(file.name in problem for problem in _damaged(to)):
            continue  # a finished result that the command had no need to read: whoever reads it is refused
        elif ended.code == reference.ended.code:
            reference.compare(to, tally, what)
            continue
        # A grid names what failed in its table, whose lines are wrapped.
        said = "".join((ended.err + ended.out).split())
        if file.name not in said and file.parent.name not in said:
            tally.tracebacks += 1
            tally.seen.append(f"{what}: refused without the file's name: {said[-200:]}")
    shutil.rmtree(root, ignore_errors=True)
    return tally


def _damaged(to: Path) -> list[str]:
    """What `mer verify` names at a place."""
    with suppress(StatusError):  # an alignment is nothing that it knows
        return [problem for place in check_places([to]) for problem in place.problems]
    return []


def _without_place(document: Any, place: Path) -> Any:
    return json.loads(json.dumps(document).replace(str(place), ""))
