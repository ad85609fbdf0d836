"""Mutated inputs of every parser: read, or refused in mer's own words, at once."""

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.tests.campaign.forked import HangError
from mer.tests.campaign.material import Material
from mer.tests.campaign.tally import Tally
from mer.tests.corpus import test_mutations
from mer.tests.corpus.test_mutations import PIECES, mutated

LONGEST = 10
"""Seconds for one input."""
TICKS = 3
TEXTS = (*PIECES, b"\xef\xbb\xbf", b"[" * 200, b"9" * 400, b"1e999", b"true", b"\xe2\x80\xae", b"0x1", b"[[", b"]]", b"'''")
CHECKED = {
    "manifests": test_mutations.test_a_mutated_manifest_is_refused_or_read,
    "alignments": test_mutations.test_a_mutated_alignment_is_refused_or_read,
    "audio": test_mutations.test_mutated_audio_is_refused_or_read,
}
"""Parsers whose answers are checked, too."""
EACH = 200
"""Inputs of one call of these."""


@dataclass(frozen=True, kw_only=True)
class Parser:
    """A reader of a file in a folder."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """Those that are mutated."""
    read: Callable[[Path], Any]
    """Folder to whatever is read."""
    weight: int = 1


def fuzz(material: Material, count: int, seed: int, root: Path) -> list[Tally]:
    """About `count` inputs in all, shared out by how fast the parsers are."""
    parsers = make_parsers(material, root / "sources")
    shares = sum(each.weight for each in parsers) + len(CHECKED)
    tallies = [_fuzz(each, count * each.weight // shares, seed, root / "mutated") for each in parsers]
    return [*tallies, *(_checked(name, count // shares, seed, root / name) for name in CHECKED)]


def _checked(name: str, count: int, seed: int, root: Path) -> Tally:
    tally = Tally(test=f"fuzzed: {name}")
    while tally.count < count:
        place = root / str(tally.count)
        place.mkdir(parents=True)
        several = max(20, min(EACH, count - tally.count))
        try:
            with at_once(several):
                CHECKED[name](place, seed + tally.count, several)
        except HangError:
            tally.hangs += 1
            tally.seen.append(f"seed {seed + tally.count}: it hangs")
        except Exception as problem:
            tally.tracebacks += 1
            tally.seen.append(f"seed {seed + tally.count}: {type(problem).__name__}: {str(problem)[:200]}")
        tally.count += several
        shutil.rmtree(place)
    return tally


def _fuzz(parser: Parser, count: int, seed: int, root: Path) -> Tally:
    tally = Tally(test=f"fuzzed: {parser.name}")
    chance = random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    to = Path(shutil.copytree(parser.folder, root / parser.folder.name))
    sources = {name: (to / name).read_bytes() for name in parser.files}
    for number in range(count):
        name = parser.files[number % len(parser.files)]
        content = damaged(sources[name], chance)
        (to / name).write_bytes(content)
        tally.count += 1
        try:
            with at_once(LONGEST):
                parser.read(to)
        except HangError:
            tally.hangs += 1
            tally.seen.append(f"{name}: it hangs on {content[:80]!r}")
        except Exception as problem:
            if not (isinstance(problem, OSError) or type(problem).__module__.startswith("mer.")):
                tally.tracebacks += 1
                tally.seen.append(f"{name}, input {number}: {type(problem).__name__}: {str(problem)[:160]}")
        (to / name).write_bytes(sources[name])
    return tally


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Pieces put in, bits flipped, the end cut off; of JSON also a value of another type."""
    if content[:1] in (b"{", b"[") and chance.random() < 0.4:
        with suppress(ValueError):  # TOML begins with a bracket, too
            return _other_value(json.loads(content), chance)
    if chance.random() < 0.15:
        return content[: chance.randrange(len(content) + 1)]
    if chance.random() < 0.3:
        some = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            some[chance.randrange(len(some))] ^= 1 << chance.randrange(8)
        return bytes(some)
    return mutated(content, chance, TEXTS)


VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    10**30,
    "",
    "x",
    "../..",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    "\u202e",
    float("nan"),
)


def _other_value(document: Any, chance: random.Random) -> bytes:
    place, holder, key = document, document, None
    while isinstance(place, dict | list) and place:
        holder = place
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place = place[key]
        if chance.random() < 0.3:
            break
    if key is None:
        return b"null"
    if chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    return json.dumps(document).encode()


def make_parsers(material: Material, root: Path) -> tuple[Parser, ...]:
    """Every reader of what mer writes itself or is given, but the corpus' (`CHECKED`)."""
    from mer.cache import CacheFolder, FeatureCache, verify
    from mer.corpus.class_map_file import read_class_map
    from mer.extract.checkpoint_files import damage
    from mer.finetune.checkpoint import CheckpointFolder
    from mer.finetune.model_folder import check_model
    from mer.grids.grid_file import read_grid
    from mer.predict.evaluation import read_map
    from mer.predict.recordings import read_recordings
    from mer.predict.saved_run import check_saved, read_saved
    from mer.report import find_runs
    from mer.results.whole import check_export, check_run
    from mer.settings.mer_toml import read_settings
    from mer.status import StatusReader

    own = root / "own"
    own.mkdir(parents=True)
    (own / "grid.toml").write_bytes((material.root / "small.toml").read_bytes())
    (own / "classes.toml").write_text('angry = ["ang", "fru"]\nhappy = ["hap"]\n')
    (own / "labels.toml").write_text('ang = "angry"\nhap = "happy"\n')
    (own / "mer.toml").write_text('[defaults]\ndevice = "cpu"\n[extract]\nworkers = 2\n')
    (own / "list.csv").write_bytes(material.corpus.with_name("list.csv").read_bytes())
    run = material.run.name

    def saved(folder: Path) -> None:
        found, _ = read_saved(folder)
        check_saved(found, found.runs)

    def cache(folder: Path) -> None:
        verify(CacheFolder.find(folder), full=True)
        opened = FeatureCache(CacheFolder.find(folder))
        opened.read(opened.utterances.ids[0], "F")

    def of_run(folder: Path) -> None:
        failed = None
        for read in (
            lambda: find_runs((folder / run,)),
            lambda: saved(folder / run),
            lambda: check_run(folder / run),
            lambda: StatusReader(places=(folder,), caches=folder, required=True).read(0.0),
        ):
            try:
                read()
            except Exception as problem:
                if not (isinstance(problem, OSError) or type(problem).__module__.startswith("mer.")):
                    raise
                failed = problem
        if failed:
            raise failed

    small: tuple[tuple[str, str, Callable[[Path], Any], int], ...] = (
        ("grids", "grid.toml", lambda to: read_grid(str(to / "grid.toml")), 12),
        ("class maps", "classes.toml", lambda to: read_class_map(to / "classes.toml"), 12),
        ("labels of other names", "labels.toml", lambda to: read_map(to / "labels.toml"), 12),
        ("settings", "mer.toml", lambda to: read_settings(to / "mer.toml"), 12),
        ("lists of recordings", "list.csv", lambda to: read_recordings(to / "list.csv"), 4),
    )
    checkpoint = _checkpoint(root / "checkpoint")
    in_run = ("result.json", "config.json", "provenance.json", "metrics.jsonl", "predictions.csv", "validation.csv")
    shards = tuple(f"{material.cache.name}/shards/{each.name}" for each in sorted(material.cache.glob("shards/*"))[:2])
    plans = tuple(f"{material.cache.name}/plan/{each.name}" for each in sorted(material.cache.glob("plan/*"))[:1])
    encoder = tuple(each.name for each in sorted(material.text.iterdir()))
    return (
        *(Parser(name=name, folder=own, files=(file,), read=read, weight=weight) for name, file, read, weight in small),
        Parser(
            name="files of a run",
            folder=material.run.parent,
            files=tuple(f"{run}/{each}" for each in (*in_run, "logits.safetensors", "weights/fold1-seed0.safetensors")),
            read=of_run,
            weight=4,
        ),
        Parser(
            name="files of a whole model",
            folder=material.models / "weights" / "fold1-seed0",
            files=("config.json", "model.safetensors"),
            read=check_model,
            weight=4,
        ),
        Parser(name="exports", folder=material.exported, files=("config.json", "model.safetensors"), read=saved, weight=8),
        Parser(name="exports, verified", folder=material.exported, files=("config.json",), read=check_export, weight=4),
        Parser(
            name="caches",
            folder=material.cache.parent,
            files=(*shards, *plans, f"{material.cache.name}/spec.json"),
            read=lambda to: cache(to / material.cache.name),
            weight=2,
        ),
        Parser(name="encoders", folder=material.text, files=encoder, read=damage, weight=8),
        Parser(
            name="checkpoints",
            folder=checkpoint,
            files=("checkpoints/step-000001/state.json", "checkpoints/step-000001/model.safetensors"),
            read=lambda to: CheckpointFolder(to, {"row": 1}, 1).newest(lambda path, reason: None),
            weight=8,
        ),
    )


def _checkpoint(folder: Path) -> Path:
    import torch

    from mer.finetune.checkpoint import Checkpoint, CheckpointFolder, RunPosition

    folder.mkdir(parents=True)
    found = Checkpoint(progress=RunPosition(), model={"a": torch.ones(3)}, optimizer={"b": torch.ones(2)}, selected={})
    CheckpointFolder(folder, {"row": 1}, 1).write(found, 1)
    return folder


@contextmanager
def at_once(seconds: float) -> Iterator[None]:
    """Raise HangError in the block when it takes longer; a pause of the whole process counts as one of three ticks."""
    ticks = 0

    def tick(*_: object) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == TICKS:
            raise HangError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, seconds / TICKS, seconds / TICKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
