import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus import open_corpus
from mer.corpus.alignment import AlignmentError, Segment
from mer.corpus.emo_evaluation import read_emo_evaluation
from mer.corpus.iemocap import read_iemocap
from mer.corpus.text_file import read_lines
from mer.corpus.transcriptions import read_transcription
from mer.corpus.utterance import Corpus, CorpusError, Utterance
from mer.corpus.utterance_id import parse_utterance_id

MakeRelease = Callable[[dict[str, list[tuple[str, str, str]]]], Path]
TURNS = [("F000", "neu", "Well, here  we are."), ("M000", "xxx", "[LAUGHTER]"), ("M001", "exc", "We are.")]
ALL_SESSIONS = {f"Ses0{n}F_impro01": TURNS[:1] for n in range(1, 6)}


def kinds(corpus: Corpus) -> Counter[str]:
    return Counter(problem.kind for problem in corpus.problems)


def by_id(corpus: Corpus) -> dict[str, Utterance]:
    return {utterance.id: utterance for utterance in corpus}


def label_file(root: Path, dialogue: str) -> Path:
    return root / f"Session{dialogue[4]}" / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"


def text_file(root: Path, dialogue: str) -> Path:
    return root / f"Session{dialogue[4]}" / "dialog" / "transcriptions" / f"{dialogue}.txt"


def test_a_whole_utterance_is_read(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS | {"Ses01F_impro01": TURNS, "Ses01M_script01_1": TURNS})
    corpus = read_iemocap(root)
    assert (corpus.name, corpus.kind, corpus.synthetic, corpus.problems) == ("iemocap", "iemocap", False, ())
    assert len(corpus) == 10
    utterance = by_id(corpus)["Ses01F_impro01_M001"]
    assert utterance.label == "exc"
    assert utterance.text == "We are."
    assert (utterance.speaker, utterance.session) == ("1M", "1")
    assert (utterance.dialogue, utterance.style) == ("Ses01F_impro01", "improvised")
    assert utterance.wav == root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav"
    assert utterance.alignment is not None
    assert [path.suffix for path in utterance.alignment.paths] == [".wdseg", ".phseg", ".syseg"]
    assert utterance.alignment.read().words == (Segment("DO", 30, 210),)
    assert by_id(corpus)["Ses01M_script01_1_F000"].style == "scripted"
    assert by_id(corpus)["Ses01M_script01_1_F000"].text == "Well, here  we are."
    assert pickle.loads(pickle.dumps(corpus)) == corpus


def test_the_speaker_is_the_last_letter_whoever_wears_the_markers(make_release: MakeRelease) -> None:
    corpus = read_iemocap(make_release({"Ses02F_impro01": TURNS, "Ses02M_impro01": TURNS}))
    assert {u.id: u.speaker for u in corpus} == {
        f"Ses02{wearer}_impro01_{turn}": f"2{turn[0]}" for wearer in "FM" for turn, _, _ in TURNS
    }


def test_utterances_are_sorted_by_session_and_id(make_release: MakeRelease) -> None:
    root = make_release({"Ses02F_impro01": TURNS[::-1], "Ses01M_script01_1": TURNS, "Ses01F_impro02": TURNS})
    keys = [(u.session, u.id) for u in read_iemocap(root, sessions=["2", "1"])]
    assert keys == sorted(keys)
    assert len(keys) == 9


def test_irregular_dialogue_names_are_read(make_release: MakeRelease) -> None:
    names = ["Ses03M_impro05a", "Ses03M_impro08b", "Ses05M_script01_1b", "Ses05M_script01_1"]
    corpus = read_iemocap(make_release({name: TURNS[:1] for name in names}))
    assert sorted(u.dialogue for u in corpus) == sorted(names)
    assert kinds(corpus) == Counter({"missing session": 3})


def test_quirks_of_real_files_are_no_problems(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS | {"Ses01F_impro01": TURNS})
    path = text_file(root, "Ses01F_impro01")
    extra = (
        b"M: Yeah.\nF:Umm.\nF :Here you go.\nM:\nF:[LAUGHTER]  \n"
        b"Ses01F_impro01_FXX0 [100.0518-100.6198]: Yeah.\n"
        b"Ses01F_impro01_FXX0 [120.9121-120.4741]: Once more.\n"
    )
    texts = path.read_bytes().replace(b"We are.", b"We\tare caf\xe9.") + extra
    path.write_bytes(texts.replace(b"\n", b"\r\n"))
    labels = label_file(root, "Ses01F_impro01")
    content = labels.read_bytes().replace(b"\tneu\t[2.5000, 2.5000, 2.5000]", b"   neu ")
    labels.write_bytes(content.replace(b"\n", b"\r\n"))
    for hidden in (path, labels, root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F009.wav"):
        hidden.with_name(f"._{hidden.name}").write_bytes(b"\x00\x05\x16\x07Mac OS X [1 - 2] Ses01F_impro01_F009")
    (labels.parent / "Categorical").mkdir()
    corpus = read_iemocap(root)
    assert corpus.problems == ()
    assert len(corpus) == 7
    assert by_id(corpus)["Ses01F_impro01_F000"].label == "neu"
    assert by_id(corpus)["Ses01F_impro01_M001"].text == "We\tare caf\u00e9."


def test_what_does_not_fit_is_a_problem_and_the_utterance_stays(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS | {"Ses01F_impro01": TURNS})
    wavs = root / "Session1/sentences/wav/Ses01F_impro01"
    (wavs / "Ses01F_impro01_F000.wav").unlink()
    (wavs / "Ses01F_impro01_F007.wav").touch()
    texts = text_file(root, "Ses01F_impro01")
    lines = texts.read_text().splitlines()[:2]
    texts.write_text("\n".join([*lines, lines[0], "Ses01F_impro01_F008 [001.0000-002.0000]: Lost.", "what?"]))
    labels = label_file(root, "Ses01F_impro01")
    labels.write_text(
        labels.read_text().replace("\txxx\t", "\tyyy\t")
        + "[1.0 - 2.0]\tSes01F_impro01_F003\n9 - 10]\tSes01F_impro01_F004\tneu\t[]\n[5 - 6]\tSes9\tneu\n"
    )
    (labels.parent / "Ses01F_impro02.txt").write_text("% only a header\n\nC-E2:\tNeutral;\t()\n")
    (labels.parent / "Ses01F_impro03.txt").write_text("[1.0 - 2.0]\tSes02F_impro03_F000\tneu\t[2, 2, 2]\n")
    corpus = read_iemocap(root)
    assert kinds(corpus) == Counter(
        {
            "label without wav": 1,
            "wav without label": 1,
            "label without transcript": 1,
            "transcript without label": 1,
            "malformed transcript line": 1,
            "duplicate transcript": 1,
            "malformed label line": 3,
            "unknown label": 1,
            "file without labels": 1,
            "label of another session": 1,
        }
    )
    where = {problem.kind: problem.where for problem in corpus.problems}
    assert where["label without wav"] == "Ses01F_impro01_F000"
    assert where["wav without label"] == "Ses01F_impro01_F007"
    assert where["label without transcript"] == "Ses01F_impro01_M001"
    assert where["transcript without label"] == "Ses01F_impro01_F008"
    assert where["malformed transcript line"] == f"{texts}:5"
    assert where["duplicate transcript"] == f"{texts}:3"
    assert where["unknown label"] == "Ses01F_impro01_M000"
    assert where["label of another session"] == f"{labels.parent / 'Ses01F_impro03.txt'}:1"
    assert len(corpus) == 7
    assert by_id(corpus)["Ses01F_impro01_M001"].text is None


def test_labels_select_and_do_not_complain(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS | {"Ses01F_impro01": TURNS})
    (root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    assert kinds(read_iemocap(root)) == Counter({"label without wav": 1})
    corpus = read_iemocap(root, labels=frozenset({"neu", "exc"}))
    assert corpus.problems == ()
    assert Counter(u.label for u in corpus) == Counter(neu=5, exc=1)
    with pytest.raises(CorpusError, match=r"no utterance .* label of foo; labels there: exc 1, neu 5, xxx 1"):
        read_iemocap(root, labels=frozenset({"foo"}))


def test_sessions_select(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS)
    corpus = read_iemocap(root, sessions=["2", "4", "2"])
    assert [u.session for u in corpus] == ["2", "4"]
    assert corpus.problems == ()
    with pytest.raises(CorpusError, match=r"no session 6, x; there are 1, 2, 3, 4, 5"):
        read_iemocap(root, sessions=["1", "6", "x"])
    with pytest.raises(CorpusError, match=r"\(none asked for\)"):
        read_iemocap(root, sessions=[])


def test_a_session_that_is_not_there_is_a_problem_unless_others_were_asked_for(
    make_release: MakeRelease,
) -> None:
    root = make_release({"Ses02F_impro01": TURNS, "Ses03F_impro01": TURNS})
    assert [p.where for p in read_iemocap(root).problems] == ["Session1", "Session4", "Session5"]
    (root / "SYNTHETIC.json").write_text('{"generator": "mer synth"}')
    corpus = read_iemocap(root)
    assert (corpus.name, corpus.synthetic, corpus.problems) == ("synthetic", True, ())


def test_alignment_files_may_lack(make_release: MakeRelease) -> None:
    root = make_release({"Ses01F_impro01": TURNS})
    aligned = root / "Session1/sentences/ForcedAlignment/Ses01F_impro01"
    (aligned / "Ses01F_impro01_F000.syseg").unlink()
    for path in aligned.glob("*_M000.*"):
        path.unlink()
    (aligned / "Ses01F_impro01_M001.wdseg").write_text("1 0 0 A")
    utterances = by_id(read_iemocap(root, alignment_offset_ms=20))
    partly = utterances["Ses01F_impro01_F000"].alignment
    assert partly is not None
    assert [path.suffix for path in partly.paths] == [".wdseg", ".phseg"]
    assert partly.read().syllables == (Segment("D_UW", 50, 230),)
    assert utterances["Ses01F_impro01_M000"].alignment is None
    broken = utterances["Ses01F_impro01_M001"].alignment
    assert broken is not None
    with pytest.raises(AlignmentError, match=r"Ses01F_impro01_M001\.wdseg:1: ends before it starts"):
        broken.read()
    with pytest.raises(CorpusError, match="0 ms or more, got -1"):
        read_iemocap(root, alignment_offset_ms=-1)


def test_an_id_labelled_twice_names_both_places(make_release: MakeRelease) -> None:
    root = make_release({"Ses01F_impro01": TURNS})
    path = label_file(root, "Ses01F_impro01")
    copy = path.with_name("Ses01F_impro01 (copy).txt")
    copy.write_bytes(path.read_bytes())
    expected = r"Ses01F_impro01_F000 is labelled twice, in .*\(copy\)\.txt:3 and .*Ses01F_impro01\.txt:3"
    with pytest.raises(CorpusError, match=expected):
        read_iemocap(root)


@pytest.mark.parametrize(
    ("given_path", "message"),
    [
        ("nowhere", r"no such file or folder\. Expected one of\n  iemocap: the folder IEMOCAP_full_release"),
        ("release/README.txt", "the manifest has no rows"),
        ("", r"layout of no corpus that is known\. A corpus is inside: give .*release\."),
        ("release/Session1", r"This is a part of a corpus: give .*release\."),
        ("release/Session1/dialog/EmoEvaluation", r"This is a part of a corpus: give .*release\."),
        ("empty", r"layout of no corpus that is known\. Expected one of(.|\n)*`mer demo` needs no corpus"),
    ],
)
def test_a_wrong_folder_says_which_is_right(make_release: MakeRelease, tmp_path: Path, given_path: str, message: str) -> None:
    root = make_release({"Ses01F_impro01": TURNS})
    (root / "README.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / given_path)


@pytest.mark.parametrize("missing", ["dialog/EmoEvaluation", "sentences/wav"])
def test_a_session_without_labels_or_audio_is_named(make_release: MakeRelease, missing: str) -> None:
    root = make_release({"Ses01F_impro01": TURNS, "Ses02F_impro01": TURNS})
    (root / "Session2" / missing).rename(root / "away")
    with pytest.raises(CorpusError, match=f"Session2 has no folder {missing}"):
        read_iemocap(root)
    assert len(read_iemocap(root, sessions=["1"])) == 3


def test_without_transcriptions_every_text_is_none(make_release: MakeRelease) -> None:
    root = make_release({"Ses01F_impro01": TURNS})
    (root / "Session1/dialog/transcriptions").rename(root / "away")
    corpus = read_iemocap(root, sessions=["1"])
    assert {u.text for u in corpus} == {None}
    assert kinds(corpus) == Counter({"label without transcript": 3})


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\n", ["a", "b", ""]),
        (b"\xef\xbb\xbfa", ["a"]),
        (b"\xc3\xa9|\xe9", ["\u00c3\u00a9|\u00e9"]),
        (b"\xc3\xa9", ["\u00e9"]),
        (b"a\x0cb\xe2\x80\xa8c", ["a\x0cb\u2028c"]),
    ],
)
def test_lines_are_utf8_or_latin1(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert read_lines(path) == lines
    with pytest.raises(CorpusError, match=r"cannot be read"):
        read_lines(tmp_path)


@pytest.mark.parametrize("text", ["Ses01F_impro01", "Ses01X_impro01_F000", "Ses01F_impro01_F00", "Ses01F_a_F000"])
def test_other_ids_are_refused(text: str) -> None:
    assert parse_utterance_id(text) is None


def test_turns_without_label_have_no_number() -> None:
    turn = parse_utterance_id("Ses03F_impro06_FXX0")
    assert turn is not None
    assert (turn.number, turn.speaker, turn.track) == (None, "3F", "Ses03F_impro06_F")


PIECE = st.sampled_from(["[", "]", "1.0", " - ", "-", "\t", "Ses01F_impro01_F000", "neu", ":", " ", "F", "%", "\n"])


@given(st.lists(PIECE, max_size=12).map("".join) | st.text(max_size=30))
def test_any_text_gives_labels_texts_and_problems_only(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "Ses01F_impro01.txt")
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
        labels, problems = read_emo_evaluation(path)
        assert labels or problems
        assert all(parse_utterance_id(line.id) for line in labels)
        texts, _ = read_transcription(path)
        assert all(parse_utterance_id(name) for name in texts)


@pytest.mark.parametrize(
    ("written", "attributes"),
    [
        ("[2.5000, 3.0000, 1.3333]", (2.5, 3.0, 1.3333)),
        ("[2.5000, 3.0000, ]", None),
        ("[, , ]", None),
        ("", None),
    ],
)
def test_valence_activation_and_dominance_are_read_where_all_three_are_there(
    make_release: MakeRelease, written: str, attributes: tuple[float, float, float] | None
) -> None:
    root = make_release({"Ses01F_impro01": [("F000", "neu", "Well.")]})
    path = label_file(root, "Ses01F_impro01")
    path.write_text(path.read_text().replace("[2.5000, 2.5000, 2.5000]", written))
    corpus = read_iemocap(root, sessions=["1"])
    assert corpus.utterances[0].attributes == attributes
    assert corpus.utterances[0].label == "neu"


def test_votes_are_those_of_the_raters_and_not_of_the_actor(make_release: MakeRelease) -> None:
    root = make_release(ALL_SESSIONS | {"Ses01F_impro01": TURNS[:1]})
    labels = label_file(root, "Ses01F_impro01")
    more = "C-E3:\tNeutral; Neutral;\t()\nC-E4:\t Excited;  Anger; \t(C-E5: Sadness;)\nC-M1:\tFear;\t()\n"
    labels.write_text(labels.read_text().replace("C-F1:", f"{more}C-F1:"))
    corpus = read_iemocap(root)
    assert by_id(corpus)["Ses01F_impro01_F000"].votes == {"neu": 2, "ang": 2, "exc": 1}
    assert corpus.problems == ()
    labels.write_text(labels.read_text().replace("Excited", "Bliss"))
    (problem,) = read_iemocap(root).problems
    assert (problem.kind, "'Bliss' is none of Anger, Happiness" in problem.message) == ("unknown category", True)
