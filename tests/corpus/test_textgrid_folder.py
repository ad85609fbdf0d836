import json
from pathlib import Path

import pytest

from mer.corpus import Alignment, Corpus, CorpusError, Segment, open_corpus
from mer.corpus.textgrid_file import write_textgrid
from mer.corpus.textgrid_folder import with_textgrids


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rows = [
        {"id": name, "wav": f"{name}-take.wav", "text": "hello", "label": "joy", "speaker": "s", "session": "1"}
        for name in ("a", "b", "c")
    ]
    manifest = tmp_path / "own.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_corpus(manifest)


def grid(path: Path, label: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_textgrid(path, Alignment(words=(Segment(label, 0, 100),), phones=(), syllables=()), 0.5)


def test_files_are_found_by_id_or_wav_name_in_any_folder(corpus: Corpus, tmp_path: Path) -> None:
    grid(tmp_path / "grids" / "a.TextGrid", "by_id")
    grid(tmp_path / "grids" / "s" / "b-take.TextGrid", "by_wav")
    found = with_textgrids(corpus, tmp_path / "grids", kind="pocketsphinx")
    a, b, c = found.utterances
    assert a.alignment is not None
    assert b.alignment is not None
    assert [a.alignment.read().words[0].label, b.alignment.read().words[0].label] == ["by_id", "by_wav"]
    assert (a.alignment.kind, c.alignment) == ("pocketsphinx", None)
    assert with_textgrids(corpus, tmp_path / "grids").utterances[0].alignment != a.alignment


def test_two_files_for_one_utterance_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    grid(tmp_path / "grids" / "x" / "a.TextGrid", "one")
    grid(tmp_path / "grids" / "y" / "a.TextGrid", "two")
    with pytest.raises(CorpusError, match="two files for 'a'"):
        with_textgrids(corpus, tmp_path / "grids")


def test_a_folder_of_another_corpus_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    grid(tmp_path / "grids" / "other.TextGrid", "one")
    with pytest.raises(CorpusError, match=r"1 TextGrids, none named after an utterance of 'own' \(such as a.TextGrid\)"):
        with_textgrids(corpus, tmp_path / "grids")
    with pytest.raises(CorpusError, match="no such folder of TextGrids"):
        with_textgrids(corpus, tmp_path / "nowhere")


def test_the_same_names_in_speakers_folders_are_told_apart_by_them(tmp_path: Path) -> None:
    rows = [
        {"id": f"{who}_a", "wav": f"wav/{who}/a.wav", "text": "hello", "label": "joy", "speaker": who, "session": who}
        for who in ("DC", "JE", "KL")
    ]
    manifest = tmp_path / "own.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for who in ("DC", "JE", "KL"):
        grid(tmp_path / "grids" / who / "a.textgrid", who)
        (tmp_path / "grids" / who / "a.json").write_text("{}")  # of another program
    found = with_textgrids(open_corpus(manifest), tmp_path / "grids")
    assert [each.alignment.read().words[0].label for each in found if each.alignment] == ["DC", "JE", "KL"]
