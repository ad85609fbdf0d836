"""Which kind of corpus lies at a path, and what a reader of one's own has to give."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from mer.corpus import AS_IS, CLASS_MAPS, CORPORA, CorpusError, CorpusKind, Utterance, census_of, corpus_at, open_corpus
from mer.corpus.corpora import Corpora


class Folder(CorpusKind):
    """A folder with a file `mark`."""

    title, layout = "marked", "a folder with a file mark"

    def __init__(self, utterances: Iterable[Utterance] = ()) -> None:
        self.given = tuple(utterances)

    def recognises(self, path: Path) -> bool:
        return (path / "mark").is_file()

    def utterances(self, path: Path) -> Iterable[Utterance]:
        return self.given


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds to the registries is gone afterwards."""
    for registry in (CORPORA, CLASS_MAPS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    folder = tmp_path / "some" / "where"
    folder.mkdir(parents=True)
    (folder / "mark").touch()
    (folder / "a.wav").touch()
    return folder


def spoken(folder: Path, **changed: object) -> Utterance:
    known = Utterance(id="b", wav=folder / "a.wav", text="yes", label="joy", speaker="s", session="2")
    return replace(known, **changed)  # type: ignore[arg-type]


@pytest.mark.usefixtures("added")
def test_a_reader_of_ones_own_is_checked_sorted_and_chosen_from(marked: Path) -> None:
    given = [spoken(marked), spoken(marked, id="a", text=None), spoken(marked, id="c", session="1", wav=marked / "none.wav")]
    CORPORA.add("marked", Folder([*given, spoken(marked, id="d", label="grief")]))
    corpus = open_corpus(marked, labels=frozenset({"joy"}))
    assert (corpus.kind, corpus.name, corpus.synthetic) == ("marked", "marked", False)
    assert [each.id for each in corpus] == ["c", "a", "b"]
    assert {problem.kind for problem in corpus.problems} == {"label without wav", "label without transcript"}
    assert [each.id for each in open_corpus(marked, sessions=["1"])] == ["c"]
    census = CORPORA["marked"].survey(marked)[1]
    assert census.labels == {"joy": 3, "grief": 1}
    assert census.findings == {"labels without wav": ("c",), "labels without transcript": ("a",)}
    assert not census.complete
    assert [(each.session, each.utterances) for each in census.sessions] == [("1", 1), ("2", 3)]
    released = census_of(marked, "marked", open_corpus(marked, sessions=["2"]), {"joy": 3})
    assert not released.complete
    with pytest.raises(CorpusError, match="no session 9; there are 1, 2"):
        open_corpus(marked, sessions=["9"])
    with pytest.raises(CorpusError, match="no utterance has a label of calm; labels there: grief 1, joy 3"):
        open_corpus(marked, labels=frozenset({"calm"}))
    with pytest.raises(CorpusError, match=r"alignment offset \(5 ms\)"):
        open_corpus(marked, alignment_offset_ms=5)


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"id": "x" * 65}, "longer than 64 bytes"),
        ({"label": ""}, "'b': no label"),
        ({"session": ""}, "'b': no session"),
        ({"speaker": "a\nb"}, "control character"),
        ({"id": "a"}, "'a': the id of 2 utterances"),
    ],
)
def test_utterances_that_cannot_be_used_are_named(marked: Path, changed: dict[str, object], told: str) -> None:
    CORPORA.add("marked", Folder([spoken(marked, id="a"), spoken(marked, **changed)]))
    with pytest.raises(CorpusError, match=told):
        open_corpus(marked)


@pytest.mark.usefixtures("added")
def test_a_path_says_its_kind_where_several_could_be_meant(marked: Path) -> None:
    CORPORA.add("one", Folder([spoken(marked)]))
    CORPORA.add("two", Folder([spoken(marked)]))
    with pytest.raises(CorpusError, match=rf"several kinds: give one:{marked} or two:{marked}"):
        corpus_at(marked)
    assert corpus_at(Path(f"two:{marked}")).name == "two"
    assert open_corpus(Path(f"one:{marked}")).kind == "one"
    inside = marked / "inner"
    inside.mkdir()
    with pytest.raises(CorpusError, match=f"part of a corpus: give {marked}"):
        corpus_at(inside)


def test_a_corpus_beside_a_folder_is_not_around_it(tmp_path: Path) -> None:
    """MELD's tables are found in folders of a folder, so a folder of downloads can be read as MELD."""
    (tmp_path / "meld").mkdir()
    (tmp_path / "meld" / "test_sent_emo.csv").touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(CorpusError, match="no corpus that is known") as caught:
        corpus_at(tmp_path / "notes")
    assert "give" not in str(caught.value)
    (tmp_path / "meld" / "notes").mkdir()
    with pytest.raises(CorpusError, match=r"part of a corpus: give .*meld"):
        corpus_at(tmp_path / "meld" / "notes")


def test_any_file_in_a_folder_is_no_hint_at_a_corpus(tmp_path: Path) -> None:
    folder = tmp_path / "so" / "deep" / "that" / "others"  # what other tests have written lies out of sight
    folder.mkdir(parents=True)
    (folder / "001.wav").touch()
    with pytest.raises(CorpusError, match=r"layout of no corpus that is known\. Expected one of"):
        corpus_at(folder)


def test_maps_and_names_are_taken_once() -> None:
    class Own(Folder):
        class_maps = {"4": {"joy": "happy"}}  # noqa: RUF012

    with pytest.raises(ValueError, match="a class map named '4' exists already"):
        Corpora("corpus").add("own", Own())
    with pytest.raises(ValueError, match="colon"):
        Corpora("corpus").add("a:b", Folder())
    assert CLASS_MAPS[AS_IS] == {}
