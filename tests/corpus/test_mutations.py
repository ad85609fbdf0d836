"""Mutated manifests, alignments and audio headers: refused with the project's own error, or read so that no second is lost.

By default some of each; `MER_MUTATIONS=20000 pytest -m slow tests/corpus/test_mutations.py` tries as many of each.
"""

import json
import os
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.corpus import Alignment, AlignmentError, Corpus, CorpusError, open_corpus
from mer.corpus.audio import STREAM_SLACK, AudioError, read_header, read_wave
from mer.corpus.ctm_alignment import CtmAlignment
from mer.corpus.part import Part, PartAlignment
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.sound_quality import LONGEST
from mer.corpus.textgrid_file import textgrid_text
from mer.tests.corpus.format_folders import FORMATS
from mer.tests.corpus.test_audio_ends import FORMATS as AUDIO
from mer.tests.corpus.test_json_alignment import LAYOUTS, TIMED
from mer.tests.corpus.test_manifest_dialects import HEADER, ROWS, table

RATE = 16_000
COUNT = int(os.environ.get("MER_MUTATIONS", "1000"))
PIECES = (
    b"",
    b",",
    b";",
    b'"',
    b"\n",
    b"\0",
    b"\xff",
    b"{",
    b"nan",
    b"-1",
    b"start",
    b"1e400",
    b"../",
    b"\r",
    b"null",
    b"[]",
    b":",
)


def mutated(content: bytes, chance: random.Random, pieces: Sequence[bytes] = PIECES) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(content) + 1), chance.randint(0, 12)
        piece = chance.choice([*pieces, content[:20], content[at:][:9]])
        content = content[:at] + piece + content[at + chance.choice((0, 1, len(piece), length)) :]
    return content


def campaign(few: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("seed", "count"), [(0, few), pytest.param(1, COUNT, marks=pytest.mark.slow)])


def manifests(folder: Path) -> list[tuple[Path, Path]]:
    """Miniatures in the formats that people have: what is opened, and a file of it that may be damaged."""
    own = folder / "own"
    own.mkdir()
    for name in ("a/1.wav", "a/2.wav"):
        (own / name).parent.mkdir(exist_ok=True)
        soundfile.write(own / name, [0.1] * 3200, RATE)  # pyright: ignore[reportArgumentType]
    rows = [dict(zip(HEADER, row, strict=True)) | {"start": 0.1 * n, "end": 0.1 * n + 0.1} for n, row in enumerate(ROWS)]
    text = table().replace("session\n", "session,start,end\n").replace('"1"\n', '"1",0,0.1\n').replace('"2"\n', '"2",0.1,0.2\n')
    (own / "m.csv").write_text(text)
    (own / "m.tsv").write_text(table("\t"))
    (own / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = [(file, file) for file in own.glob("m.*")]
    for kind, writers in FORMATS.items():
        for number, write in enumerate(writers if kind != "audformat" else ()):
            root = folder / kind / str(number) / "corpus"
            path, _ = write(root)
            files = [file for file in root.rglob("*") if file.is_file() and file.suffix not in (".wav", ".gz")]
            found += [(path, file) for file in files]
    return sorted(found)


def heard(corpus: Corpus) -> None:
    """Every part that can be read is as long as its row says, and the parts of all rows as long as what is read of them."""
    said = read = 0.0
    for each in corpus:
        try:
            length = read_header(each.wav).seconds
            samples = read_wave(each.wav, RATE, each.part).samples
        except AudioError:
            continue
        said += (length if each.end is None else min(each.end, length)) - each.start
        read += len(samples) / RATE
    assert read == pytest.approx(said, abs=len(corpus) / RATE)


@campaign(few=30)
def test_a_mutated_manifest_is_refused_or_read(tmp_path: Path, seed: int, count: int) -> None:
    chance, sources, read = random.Random(seed), manifests(tmp_path), 0
    for number in range(count):
        path, file = chance.choice(sources)
        content = file.read_bytes()
        file.write_bytes(mutated(content, chance))
        try:
            corpus = open_corpus(path)
            read += 1
            assert len({each.id for each in corpus}) == len(corpus), number
            assert all(each.wav.is_relative_to(tmp_path) and ".." not in each.wav.parts for each in corpus), number
            assert all(each.start >= 0 and (each.end is None or each.end > each.start) for each in corpus), number
            heard(corpus)
        except CorpusError:
            continue
        finally:
            file.write_bytes(content)
    assert count / 20 < read < count


SECONDS = 1.0


def alignments(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], Alignment]]]:
    """An alignment in every format: its bytes and how it is read."""
    (folder / "gold.json").write_text(json.dumps(LAYOUTS["MFA"]))
    gold = TextGridAlignment(path=folder / "gold.json").read()
    long = textgrid_text(gold, SECONDS)
    short = "\n".join(line.rpartition("= ")[2] for line in long.splitlines()).replace("item []:", "")
    texts: dict[str, str | bytes] = {"a.TextGrid": long, "b.TextGrid": short, "c.TextGrid": long.encode("utf-16")}
    texts |= {f"{name}.json": json.dumps(layout) for name, layout in LAYOUTS.items()}

    def as_grid(path: Path) -> Alignment:
        return TextGridAlignment(path=path).read()

    def as_ctm(path: Path) -> Alignment:
        return CtmAlignment(files=(("phones", path),), recording="u1").read()

    ctm = "".join(f"u1 1 {start} {end - start:.3f} {label}\n" for start, end, label in TIMED)
    found = {name: (text if isinstance(text, bytes) else text.encode(), as_grid) for name, text in texts.items()}
    return {**found, "phones.ctm": (ctm.encode(), as_ctm)}


@campaign(few=60)
def test_a_mutated_alignment_is_refused_or_read(tmp_path: Path, seed: int, count: int) -> None:
    """Units are in order; written and read again they are the same; of two parts each has its own, and none is lost."""
    chance, sources, read = random.Random(seed), alignments(tmp_path), 0
    for number in range(count):
        name = chance.choice(sorted(sources))
        content, reader = sources[name]
        path = tmp_path / name
        path.write_bytes(mutated(content, chance))
        try:
            found = reader(path)
        except AlignmentError:
            continue
        read += 1
        tiers = (found.words, found.phones, found.syllables)
        for tier in tiers:
            assert all(0 <= each.start_ms < each.end_ms for each in tier), number
            assert all(one.end_ms <= other.start_ms for one, other in pairwise(tier)), number
        last = max((each.end_ms for tier in tiers for each in tier), default=1)
        (tmp_path / "again.TextGrid").write_text(textgrid_text(found, last / 1000), encoding="utf-8")
        again = TextGridAlignment(path=tmp_path / "again.TextGrid")
        assert (again.read().words, again.read().phones) == (found.words, found.phones), number
        half = chance.randint(1, last) / 1000
        halves = [
            PartAlignment(source=again, part=part, of_recording=True).read() for part in (Part(0, half), Part(half, last / 1000))
        ]
        for tier_name in ("words", "phones", "syllables"):
            parts = [len(getattr(each, tier_name)) for each in halves]
            assert sum(parts) == len(getattr(again.read(), tier_name)), number
    assert count / 20 < read < count


NUMBERS = [
    value.to_bytes(size, order)
    for value in (0, 1, 2, 255, 65_535, 44_100, 2**31 - 1)
    for size in (4, 8)
    for order in ("little", "big")
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Mostly the header, sometimes the rest, and sometimes the end is missing."""
    header = min(len(content), chance.choice((48, 128, 1200)))
    content = (
        mutated(content[:header], chance, [*NUMBERS, b"\xff\xff\xff\xff", b"\0\0", b"data", b"fmt ", b"LIST"]) + content[header:]
    )
    if chance.random() < 0.2:
        content = content[: chance.randrange(len(content) + 1)]
    if chance.random() < 0.2:
        content = mutated(content, chance)
    return content


@campaign(few=40)
def test_mutated_audio_is_refused_or_read(tmp_path: Path, seed: int, count: int) -> None:
    """What is read is as long as the header says, and two parts are the whole."""
    chance, read = random.Random(seed), 0
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 1600)
    sources = []
    for number, (kind, subtype) in enumerate(AUDIO):
        path = tmp_path / f"{number}.{kind.lower()}"
        soundfile.write(path, noise, RATE, format=kind, subtype=subtype)
        sources.append((path, kind, path.read_bytes()))
    for number in range(count):
        path, kind, content = chance.choice(sources)
        path.write_bytes(damaged(content, chance))
        try:
            header = read_header(path)
            if header.seconds > LONGEST:  # as extraction does
                continue
            samples = read_wave(path, header.sample_rate).samples
        except AudioError:
            continue
        read += 1
        stream = kind in ("OGG", "MP3")
        slack = round(STREAM_SLACK * header.sample_rate) if stream else 0
        # How long a damaged stream is can only be estimated: what is promised of it is what its whole frames hold.
        assert (header.least if stream else header.frames) <= len(samples) <= header.frames + slack, number
        if not stream and kind != "FLAC":
            assert header.frames * header.channels <= path.stat().st_size, number
        if stream or len(samples) < 2:
            continue
        half = chance.randint(1, len(samples) - 1) / header.sample_rate
        halves = [read_wave(path, header.sample_rate, part).samples for part in (Part(0, half), Part(half))]
        np.testing.assert_array_equal(np.concatenate(halves), samples)
    assert count / 20 < read < count
