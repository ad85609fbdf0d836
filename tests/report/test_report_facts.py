"""What a page knows of its utterances, and which recordings it carries."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.cache import CacheFolder, Units, UtteranceRecord, build_shard
from mer.corpus import open_corpus
from mer.report import RunGroup, find_runs, group_runs
from mer.report.corpus_facts import corpus_facts, waveform
from mer.report.known_facts import cache_facts, known_facts
from mer.report.page_sources import PageSources
from mer.report.report_folder import embed_audio, gather_facts
from mer.report.utterance_facts import UtteranceFacts

Make = Callable[..., Path]
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "so"
        intervals [2]:
            xmin = 0.25
            xmax = 1
            text = "what"
"""


@pytest.fixture
def group(two_runs: Path) -> RunGroup:
    return group_runs(find_runs((two_runs,)))[0]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three utterances: aligned, with an alignment that is no TextGrid, and without one."""
    (tmp_path / "u1.TextGrid").write_text(TEXTGRID)
    (tmp_path / "u2.TextGrid").write_text("nothing of the kind")
    lines = []
    for number, grid in ((1, "u1.TextGrid"), (2, "u2.TextGrid"), (3, "")):
        soundfile.write(tmp_path / f"u{number}.wav", np.full(16000, 0.25), 16000)
        entry = {"id": f"u{number}", "wav": f"u{number}.wav", "text": "so what", "label": "sad", "speaker": "x", "session": "1"}
        lines.append(json.dumps(entry | ({"textgrid": grid} if grid else {})))
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    return tmp_path / "own.jsonl"


def wanted(manifest: Path, *names: str) -> dict[str, UtteranceFacts]:
    corpus = open_corpus(manifest)
    return corpus_facts(corpus, frozenset(names), manifest.parent, audio=True, progress=lambda done, total: None)


def test_words_are_in_seconds_and_only_what_was_tested_is_read(manifest: Path) -> None:
    found = wanted(manifest, "u1", "u9")
    assert set(found) == {"u1"}
    assert found["u1"].words == (("so", 0.0, 0.25), ("what", 0.25, 1.0))
    assert (found["u1"].seconds, found["u1"].audio) == (1.0, "u1.wav")


@pytest.mark.slow
def test_processes_read_what_threads_read(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = wanted(manifest, "u1", "u2", "u3")
    monkeypatch.setattr("mer.report.corpus_facts.WORTH_PROCESSES", 1)
    monkeypatch.setattr("mer.report.corpus_facts.CHUNK", 1)
    monkeypatch.setattr("mer.report.corpus_facts.cores", lambda: 2)
    done: list[float] = []
    corpus = open_corpus(manifest)
    found = corpus_facts(corpus, frozenset(threads), manifest.parent, audio=True, progress=lambda part, total: done.append(part))
    assert found == threads
    assert list(found) == ["u1", "u2", "u3"]
    assert done == [1, 2, 3]


def test_an_alignment_that_cannot_be_read_is_a_picture_without_words(manifest: Path) -> None:
    found = wanted(manifest, "u2", "u3")
    assert [found[name].words for name in ("u2", "u3")] == [(), ()]
    assert all(len(each.peaks) == 100 for each in found.values())


def test_a_waveform_counts_both_signs_and_all_channels_and_survives_what_is_no_number(tmp_path: Path) -> None:
    samples = np.zeros((1000, 2), dtype=np.float32)
    samples[0, 0], samples[500, 1], samples[990, 0] = 0.25, -0.5, np.nan
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    seconds, peaks = waveform(tmp_path / "a.wav")
    assert seconds == 1000 / 8000
    assert [place for place, peak in enumerate(peaks) if peak] == [0, 50]
    assert (peaks[0], peaks[50]) == (50, 99)


def test_silence_nothing_and_what_is_no_recording_have_no_peaks(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    (tmp_path / "text.wav").write_text("no sound")
    assert waveform(tmp_path / "silent.wav") == (1.0, (0,) * 100)
    assert waveform(tmp_path / "empty.wav") == (0.0, (0,))
    assert waveform(tmp_path / "text.wav") == (None, ())
    assert waveform(tmp_path / "missing.wav") == (None, ())


def small_cache(root: Path, model: str) -> CacheFolder:
    spec = {
        "format_version": 1,
        "corpus": {"name": "tiny", "kind": "manifest", "synthetic": False},
        "granularities": ["T"],
        "layers": {"speech": [1], "text": [1]},
        "dim": {"speech": 2, "text": 2},
        "storage": {"dtype": "float16"},
        "speech": {"model": "s"},
        "text": {"model": model},
    }
    about = {"label": "angry", "dialogue": "d", "style": "scripted", "alignment": "corpus", "fingerprint": "0" * 64}
    records = [
        UtteranceRecord(id=name, speaker=f"who {name}", session="1", text=f"{model} {name}", seconds=1.5, **about)
        for name in ("u1", "never tested")
    ]
    units = {"T": Units(data=np.zeros((1, 1, 2), dtype=np.float16), span=None, labels=None)}
    folder = CacheFolder.create(root, spec)
    folder.commit("session1-000", build_shard(spec, [(record, units) for record in records], ()), {"host": "test"})
    return folder


def test_facts_are_those_of_the_cache_that_the_runs_were_trained_on(tmp_path: Path) -> None:
    one, other = small_cache(tmp_path, "one"), small_cache(tmp_path, "other")
    for folder, text in ((one, "one u1"), (other, "other u1")):
        found = cache_facts(tmp_path, folder.key)
        assert found is not None
        assert (found["u1"].text, found["u1"].speaker, found["u1"].seconds) == (text, "who u1", 1.5)
    # The folder of a cache can be given itself; of another one it tells nothing.
    assert cache_facts(one.path, one.key) is not None
    assert cache_facts(one.path, other.key) is None
    assert cache_facts(tmp_path / "nowhere", one.key) is None


def test_the_page_knows_of_the_cache_what_was_tested_only(
    group: RunGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = small_cache(tmp_path / "features", "one").key
    runs = tuple(replace(run, result={**run.result, "cache_key": key}) for run in group.runs)
    sources = PageSources(corpus=tmp_path / "no corpus", named=False, cache=tmp_path / "features")
    facts, notes = gather_facts(replace(group, runs=runs), tmp_path, sources, quiet=True)
    assert set(facts) == {"u1"}
    assert notes == ["Transcripts are from the feature cache; with --corpus there are recordings and segments, too."]


def test_a_corpus_without_the_utterances_is_said(group: RunGroup, manifest: Path) -> None:
    lines = manifest.read_text().replace('"id": "u', '"id": "other')
    manifest.write_text(lines)
    sources = PageSources(corpus=manifest, named=True, cache=manifest)
    facts, notes = gather_facts(group, manifest.parent, sources, quiet=True)
    assert facts == {}
    assert notes == ["own: holds none of the 8 utterances of these runs: no transcript, no audio."]


def test_a_corpus_is_read_as_the_options_say(group: RunGroup, manifest: Path) -> None:
    table, disk = manifest.with_name("own.csv"), manifest.parent / "disk"
    table.write_bytes("id,wav,text,label,speaker\nu1,u1.wav,déjà,sad,x\n".encode("cp1252"))
    disk.mkdir()
    manifest.with_name("u1.wav").rename(disk / "u1.wav")
    sources = PageSources(corpus=table, named=True, cache=manifest, audio_root=disk, encoding="cp1252")
    facts, _ = gather_facts(group, manifest.parent, sources, quiet=True)
    assert (facts["u1"].text, facts["u1"].audio, facts["u1"].seconds) == ("déjà", "disk/u1.wav", 1.0)


def test_recordings_are_embedded_disagreements_first_then_what_all_have_wrong(tmp_path: Path, make_run: Make) -> None:
    # u1 both right, u2 and u4 both wrong, u3 disagreed about.
    make_run(tmp_path / "runs" / "tiny-linear-T-1", {("1", 0): "assa"})
    make_run(tmp_path / "runs" / "tiny-late-F-2", {("1", 0): "asaa"}, fusion="late", branches=("F",))
    (group,) = group_runs(find_runs((tmp_path / "runs",)))
    facts = {}
    for number in range(1, 5):
        soundfile.write(tmp_path / f"u{number}.flac", np.zeros(16000), 16000)
        facts[f"u{number}"] = UtteranceFacts(id=f"u{number}", session="1", audio=f"u{number}.flac")
    size = 4 / 3 * (tmp_path / "u1.flac").stat().st_size
    for count, expected in ((1, {"u3"}), (3, {"u2", "u3", "u4"})):
        found, note = embed_audio(group, facts, tmp_path, (count + 0.5) * size)
        assert {name for name, each in found.items() if each.audio} == expected
        assert all(each.audio.startswith("data:audio/flac;base64,") for each in found.values() if each.audio)
        assert note.startswith(f"{count} of 4 recordings are in this page")


def test_a_table_elsewhere_and_in_another_encoding_says_its_facts(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    soundfile.write(tmp_path / "disk" / "a.wav", np.ones(8_000, dtype=np.float32) / 8, 16_000)
    (tmp_path / "t.csv").write_bytes("wav,label,text,session\na.wav,joy,café,1\n".encode("cp1252"))
    sources = PageSources(corpus=tmp_path / "t.csv", named=True, cache=tmp_path, audio_root=tmp_path / "disk", encoding="cp1252")
    (facts,) = known_facts(None, "t", (), sources).values()
    assert (facts.text, facts.seconds) == ("café", 0.5)
