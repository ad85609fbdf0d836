import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.corpus import CorpusError, is_only_tags
from mer.corpus.iemocap import read_iemocap
from mer.corpus.synthetic import EXACT_TIMES, MARKER, ensure_synthetic_corpus, write_synthetic_corpus
from mer.corpus.synthetic.dialogue_files import CATEGORIES
from mer.corpus.synthetic.write_corpus import SyntheticSummary

UTTERANCES = 100
TRANSCRIPT = re.compile(r"(\S+) \[(\d{3}\.\d{4})-(\d{3}\.\d{4})\]: (.*)")
SUMMARY = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t(\w+)\t(\w+)\t\[(\d+\.\d{4}), (\d+\.\d{4}), (\d+\.\d{4})\]")
NUMBERED = re.compile(r"(Ses0[1-5][FM]_(?:impro|script)\d\d[ab]?(?:_\d[ab]?)?)_([FM])(\d{3})")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSummary:
    return write_synthetic_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", utterances=UTTERANCES)


@pytest.fixture(scope="module")
def root(summary: SyntheticSummary) -> Path:
    return summary.root


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()
    }


def transcripts(root: Path) -> dict[str, tuple[str, str, str]]:
    found = {}
    for path in root.glob("Session*/dialog/transcriptions/Ses*.txt"):
        for line in path.read_bytes().decode("latin-1").splitlines():
            if (match := TRANSCRIPT.fullmatch(line)) and NUMBERED.fullmatch(match[1]):
                found[match[1]] = (match[2], match[3], match[4])
    return found


def label_lines(root: Path) -> list[str]:
    files = sorted(root.glob("Session*/dialog/EmoEvaluation/Ses*.txt"))
    return [line for path in files for line in path.read_text(encoding="ascii").split("\n")]


def test_one_seed_gives_the_same_bytes_again(root: Path, tmp_path: Path) -> None:
    write_synthetic_corpus(tmp_path / "again", utterances=UTTERANCES)
    first, again = digests(root), digests(tmp_path / "again")
    assert len(first) > 3 * UTTERANCES
    assert first == again


def test_another_seed_speaks_otherwise_and_progress_counts_to_the_end(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    new = tmp_path / "new"
    ensure_synthetic_corpus(new, utterances=100, seed=1, progress=lambda done, total: seen.append((done, total)))
    assert {text for *_, text in transcripts(new).values()} != {text for *_, text in transcripts(root).values()}
    assert seen == [(done, 100) for done in range(1, 101)]


def test_the_reader_finds_everything_and_no_problem(summary: SyntheticSummary) -> None:
    corpus = read_iemocap(summary.root)
    assert corpus.synthetic
    assert corpus.problems == ()
    assert len(corpus) == UTTERANCES == summary.utterances
    assert Counter(utterance.label for utterance in corpus) == summary.labels
    assert sum(utterance.alignment is None for utterance in corpus) == summary.without_alignment > 1
    for utterance in corpus:
        assert utterance.wav.is_file()
        assert utterance.text
        if utterance.alignment:
            utterance.alignment.read()


def test_every_speaker_has_all_four_classes_and_something_to_drop(root: Path) -> None:
    labels = defaultdict(set)
    for utterance in read_iemocap(root):
        labels[utterance.speaker].add(utterance.label)
    assert sorted(labels) == [f"{session}{gender}" for session in "12345" for gender in "FM"]
    for found in labels.values():
        assert found >= {"ang", "hap", "exc", "sad", "neu", "xxx"}
    assert set().union(*labels.values()) >= {"fru", "oth"}


def test_numbers_run_from_zero_without_gaps(root: Path) -> None:
    tracks = defaultdict(list)
    for utterance in read_iemocap(root):
        match = NUMBERED.fullmatch(utterance.id)
        assert match
        tracks[match[1], match[2]].append(int(match[3]))
    for numbers in tracks.values():
        assert numbers == list(range(len(numbers)))


def test_dialogues_have_the_regular_and_the_irregular_names(root: Path) -> None:
    names = {utterance.dialogue for utterance in read_iemocap(root)}
    assert names >= {"Ses01F_impro01", "Ses01M_script01_1", "Ses03M_impro05a", "Ses03M_impro05b", "Ses05M_script01_1b"}
    assert "Ses03M_impro05" not in names


def test_sound_is_audible_unclipped_16_khz_pcm_as_long_as_the_transcript_says(root: Path) -> None:
    times = transcripts(root)
    assert len(times) == UTTERANCES
    for utterance in read_iemocap(root):
        info = soundfile.info(utterance.wav)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (16_000, 1, "PCM_16", "WAV")
        start, end, _ = times[utterance.id]
        assert abs(float(end) - float(start) - info.frames / 16_000) < 0.00015
        loudest = np.abs(soundfile.read(utterance.wav)[0]).max()
        assert 0.02 < loudest < 0.99


def test_words_are_where_the_energy_is(root: Path) -> None:
    exact = {row["id"]: row for row in map(json.loads, (root / EXACT_TIMES).read_text().splitlines())}
    contrasts = []
    for utterance in read_iemocap(root):
        samples, rate = soundfile.read(utterance.wav)
        spoken = np.zeros(len(samples), bool)
        for _, start, end in exact[utterance.id]["words"]:
            spoken[round(start * rate) : round(end * rate)] = True
        contrasts.append(20 * np.log10(samples[spoken].std() / samples[~spoken].std()))
    assert min(contrasts) > 20


def test_alignments_follow_the_exact_times(root: Path) -> None:
    exact = {row["id"]: row for row in map(json.loads, (root / EXACT_TIMES).read_text().splitlines())}
    errors = []
    for utterance in read_iemocap(root):
        alignment = utterance.alignment.read() if utterance.alignment else None
        if alignment is None or not alignment.phones:
            continue
        assert [phone.label for phone in alignment.phones] == [name for name, *_ in exact[utterance.id]["phones"]]
        assert [word.label for word in alignment.words] == [name for name, *_ in exact[utterance.id]["words"]]
        errors += [
            phone.start_ms - 1000 * start
            for phone, (_, start, _) in zip(alignment.phones, exact[utterance.id]["phones"], strict=True)
        ]
    assert np.median(np.abs(errors)) < 3.0  # rounding to 10 ms alone gives 2.5
    assert np.max(np.abs(errors)) < 60.0


def test_exact_times_are_ordered_and_inside_the_sound(root: Path) -> None:
    rows = [json.loads(line) for line in (root / EXACT_TIMES).read_text().splitlines()]
    assert [row["id"] for row in rows] == sorted(transcripts(root))
    for row in rows:
        times = [time for _, start, end in row["phones"] for time in (start, end)]
        assert times == sorted(times)
        assert 0 < times[0]
        assert times[-1] <= row["seconds"]


def test_labels_agree_with_the_raters(root: Path) -> None:
    names = {word: label for label, word in CATEGORIES.items()}
    blocks = "\n".join(label_lines(root)).split("\n\n")
    checked = 0
    for block in blocks:
        lines = block.strip().split("\n")
        match = SUMMARY.fullmatch(lines[0])
        if not match:
            continue
        votes = Counter(
            names[word] for line in lines if line.startswith("C-E") for word in line.split("\t")[1].strip(";").split("; ")
        )
        (winner, most), *others = votes.most_common()
        if match[4] == "xxx":
            assert most == 1
        else:
            assert winner == match[4]
            assert all(count < most for _, count in others)
        ratings = [re.fullmatch(r"A-E\d:\tval (\d); act (\d); dom  (\d?);\t\(\)", line) for line in lines]
        for axis in (1, 2, 3):
            values = [int(rating[axis]) for rating in ratings if rating and rating[axis]]
            assert float(match[4 + axis]) == pytest.approx(np.mean(values), abs=1e-4)
        checked += 1
    assert checked == UTTERANCES


def test_label_files_start_with_the_header_and_end_with_a_blank_line(root: Path) -> None:
    for path in root.glob("Session*/dialog/EmoEvaluation/Ses*.txt"):
        text = path.read_text(encoding="ascii")
        assert text.startswith("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n[")
        assert text.endswith("\n\n")


def test_scripted_sentences_recur_in_other_sessions(root: Path) -> None:
    sessions = defaultdict(set)
    for utterance in read_iemocap(root):
        if utterance.style == "scripted":
            sessions[utterance.text].add(utterance.session)
    assert sum(len(found) > 1 for found in sessions.values()) >= 2


def text_quirks(root: Path) -> dict[str, bool]:
    files = [path.read_bytes() for path in root.glob("Session*/dialog/transcriptions/Ses*.txt")]
    decoded = "\n".join(content.decode("latin-1").replace("\r", "") for content in files)
    texts = [text for *_, text in transcripts(root).values()]
    extra = re.findall(r"^(Ses\S+_[FM]XX\d) \[(\S+)-(\S+)\]", decoded, re.MULTILINE)
    starts = [re.findall(r"^Ses\S+_[FM]\d+ \[(\S+)-", content.decode("latin-1"), re.MULTILINE) for content in files]
    return {
        "one file with CRLF": sum(b"\r\n" in content for content in files) == 1,
        "a latin-1 byte": any(b"caf\xe9" in content for content in files),
        "untimed lines": all(re.search(f"^{who}", decoded, re.MULTILINE) for who in ("M: Y", "F:U", "F :H", "M:$")),
        "XX turns": len(extra) > 3,
        "an XX turn twice": max(Counter(name for name, *_ in extra).values()) == 2,
        "an XX turn that ends before it starts": any(float(end) < float(start) for _, start, end in extra),
        "texts that are only tags": sum(map(is_only_tags, texts)) == 3,
        "tags inside texts": any(re.search(r"\w\S* \[LAUGHTER\] \w+", text) for text in texts),
        "every tag": all(f"[{tag}]" in decoded for tag in ("LAUGHTER", "BREATHING", "GARBAGE", "LIPSMACK", "laughter")),
        "a tab in a text": sum("\t" in text for text in texts) == 1,
        "double spaces": any("  " in text for text in texts),
        "lines out of order": any(times != sorted(times) for times in starts),
    }


def file_quirks(root: Path) -> dict[str, bool]:
    seconds = [float(end) - float(start) for start, end, _ in transcripts(root).values()]
    aligned = list(root.glob("Session*/sentences/ForcedAlignment/*/*"))
    words = "\n".join(path.read_text() for path in aligned if path.suffix == ".wdseg")
    phones = "\n".join(path.read_text() for path in aligned if path.suffix == ".phseg")
    suffixes = Counter(path.suffix for path in aligned)
    hidden = root / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt"
    return {
        "an AppleDouble file": hidden.read_bytes().startswith(b"\x00\x05\x16\x07"),
        "one overlong turn": sum(30 < length < 38 for length in seconds) == 1,
        "one very short turn": 0.5 < min(seconds) < 0.7,
        "the rest between": sum(0.7 < length < 12 for length in seconds) >= UTTERANCES - 3,
        "turns without alignment": suffixes[".wdseg"] == suffixes[".phseg"] == UTTERANCES - 2,
        "turns without syllables": suffixes[".syseg"] == UTTERANCES - 2 - 2,
        "an empty alignment": sum(path.stat().st_size == 0 for path in aligned) == 3,
        "an alignment of headers": any(path.read_text().count("\n") == 1 for path in aligned),
        "second pronunciations": bool(re.search(r" THE\(2\)$|[A-Z']+\(2\)$", words, re.MULTILINE)),
        "fillers": "++LAUGHTER++" in words and bool(re.search(r" \+LAUGHTER\+$", phones, re.MULTILINE)),
        "a dimension not rated": any("dom  ;" in line for line in label_lines(root)),
        "raters with two categories": any(re.match(r"C-E\d:\t\w+; \w+;", line) for line in label_lines(root)),
    }


@pytest.mark.parametrize("kind", [text_quirks, file_quirks])
def test_every_quirk_of_the_real_corpus_is_there(root: Path, kind: Callable[[Path], dict[str, bool]]) -> None:
    quirks = kind(root)
    assert [name for name, there in quirks.items() if not there] == []


def test_marker_and_readme_say_synthetic(root: Path, summary: SyntheticSummary) -> None:
    marker = json.loads((root / MARKER).read_text())
    assert marker["generator"] == "mer synth"
    assert marker["complete"] is True
    assert marker["utterances"] == UTTERANCES
    assert marker["labels"] == summary.labels
    assert marker["seconds"] == summary.seconds
    assert "synthetic" in (root / "README.txt").read_text()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(CorpusError, match=rf"{tmp_path}: not an empty folder; give a new one"):
        write_synthetic_corpus(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="at least 100 utterances, got 99"):
        write_synthetic_corpus(tmp_path, utterances=99)


def test_ensure_keeps_what_is_there(root: Path, summary: SyntheticSummary) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert ensure_synthetic_corpus(root, utterances=UTTERANCES) == summary
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_an_interrupted_corpus_leaves_nothing_and_half_of_an_earlier_version_is_spoken_anew(
    root: Path, summary: SyntheticSummary, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_synthetic_corpus(tmp_path / "half", utterances=UTTERANCES, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "left.wav").touch()
    marker = json.loads((root / MARKER).read_text()) | {"complete": False}
    (tmp_path / "half" / MARKER).write_text(json.dumps(marker))
    assert ensure_synthetic_corpus(tmp_path / "half", utterances=UTTERANCES) == replace(summary, root=tmp_path / "half")
    assert digests(tmp_path / "half") == digests(root)


def test_ensure_refuses_a_corpus_with_other_settings(root: Path) -> None:
    with pytest.raises(CorpusError, match="holds a synthetic corpus with seed 0, wanted 3"):
        ensure_synthetic_corpus(root, utterances=UTTERANCES, seed=3)


@pytest.mark.parametrize("content", ["", "[]", '{"generator": "somebody"}', "\x00"])
def test_ensure_refuses_a_foreign_marker(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(CorpusError, match=f"{MARKER}: not the marker of a corpus by mer synth"):
        ensure_synthetic_corpus(tmp_path)
