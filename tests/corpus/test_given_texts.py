"""Transcripts from elsewhere: read in every dialect of a manifest, and no utterance left with the corpus' own."""

from pathlib import Path

import pytest

from mer.corpus import Corpus, CorpusError, Utterance
from mer.corpus.given_texts import read_texts, with_texts

FORMS = {
    "a.csv": "id,text\nu1,hello there\nu2,\n",
    "b.tsv": "\ufeffutterance_id\tTranscript\r\nu2\t\r\nu1\thello there\r\n",
    "c.csv": "ID;sentence\nu1;hello there\nu2;\n",
    "d.jsonl": '{"key": "u2", "text": ""}\n{"key": "u1", "text": "hello there", "score": 0.5}\n',
}


def corpus_of(*names: str) -> Corpus:
    found = [Utterance(id=n, wav=Path(f"{n}.wav"), text="gold", label="a", speaker="s", session="1") for n in names]
    return Corpus(name="tiny", kind="manifest", synthetic=False, utterances=tuple(found))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_texts_and_identity(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    (tmp_path / "plain.csv").write_text(FORMS["a.csv"])
    found = read_texts(tmp_path / name)
    assert dict(found.texts) == {"u1": "hello there", "u2": ""}
    assert found.sha256 == read_texts(tmp_path / "plain.csv").sha256
    (tmp_path / "other.csv").write_text("id,text\nu1,hello here\nu2,\n")
    assert found.sha256 != read_texts(tmp_path / "other.csv").sha256


def test_texts_replace_those_of_the_corpus_and_what_is_odd_is_said(tmp_path: Path) -> None:
    (tmp_path / "asr.csv").write_text("id,text\nu1,hello\nu2,\nu9,nobody\n")
    corpus, notes = with_texts(corpus_of("u1", "u2"), read_texts(tmp_path / "asr.csv"))
    assert [each.text for each in corpus] == ["hello", ""]
    assert [note.replace(str(tmp_path), "") for note in notes] == [
        "1 ids of /asr.csv are not among the utterances that are used, first u9",
        "1 transcripts of /asr.csv are empty, first u2",
    ]


REFUSED = {
    "id,text\nu1,a\nu1,b\n": r"asr.csv: line 3: 'u1' is there twice, first in line 2",
    "id,words\nu1,a\n": r"asr.csv: line 2 has no column text; it has id, words",
    "id,text\n,a\n": r"asr.csv: line 2: expected an id and a text, got None and 'a'",
    "id,text\nu1\n": r"asr.csv: line 2: 1 cells under 2 columns",
    "id,text\n": r"asr.csv: holds no row; expected the columns id and text",
    "id,text\nu1,a\nu9,b\n": r"asr.csv: 2 of the 3 utterances of 'tiny' are not in it, first u2, u3; its 2 ids begin with u1, u9",
}


@pytest.mark.parametrize("content", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "asr.csv").write_text(content)
    with pytest.raises(CorpusError, match=REFUSED[content]):
        with_texts(corpus_of("u1", "u2", "u3"), read_texts(tmp_path / "asr.csv"))
