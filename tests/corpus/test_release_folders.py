"""Corpora as their releases lie on disk: what is read of each, and what is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mer.corpus import CLASS_MAPS, CORPORA, Corpus, CorpusError, Utterance, corpora_at, open_corpus
from mer.tests.corpus.release_folders import RELEASES, msp_podcast_as_json, noise

Read = Callable[[str], tuple[Path, Corpus, dict[str, Utterance]]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The folder of a miniature, its corpus, and the utterances by their ids."""
    made: dict[str, tuple[Path, Corpus, dict[str, Utterance]]] = {}

    def once(name: str) -> tuple[Path, Corpus, dict[str, Utterance]]:
        if name not in made:
            root = tmp_path_factory.mktemp("releases") / f"a copy of {name}"
            RELEASES[name](root)
            corpus = open_corpus(root)
            made[name] = root, corpus, {each.id: each for each in corpus}
        return made[name]

    return once


def told(corpus: Corpus) -> dict[str, str]:
    return {each.kind: f"{each.where}: {each.message}" for each in corpus.problems if each.kind != "label without transcript"}


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_one_kind_of_corpus_with_a_class_for_each_label(read: Read, name: str) -> None:
    root, corpus, _ = read(name)
    assert [place.name for place in corpora_at(root)] == [corpus.kind] == [name]
    assert all(each.wav.is_file() for each in corpus)
    assert all((each.columns or {}).get("gender") in ("male", "female", None) for each in corpus)
    kind = CORPORA[name]
    assert kind.classes in kind.class_maps
    assert {each.label for each in corpus} <= set(kind.released or {each.label for each in corpus})
    for mapping in kind.class_maps.values():
        assert set(kind.released or mapping) == set(mapping)
    census = kind.survey(root)[1]
    assert not census.complete or kind.released is None
    assert sum(census.labels.values()) == len(corpus)
    assert kind.limits.startswith("**Trained on ")


def test_classes_have_the_same_names_in_every_corpus() -> None:
    names = {"neutral", "happy", "sad", "angry", "fear", "disgust", "surprise", "calm", "boredom", "contempt"}
    maps = {name: set(mapping.values()) for name, mapping in CLASS_MAPS.items() if name.rpartition("-")[0] in RELEASES}
    assert maps.pop("meld-3") == {"neutral", "positive", "negative"}
    assert set().union(*maps.values()) == names
    assert all(len(classes) == int(name.rpartition("-")[2]) for name, classes in maps.items())


def test_counts_of_the_releases_are_those_that_are_published() -> None:
    totals = {name: sum((CORPORA[name].released or {}).values()) for name in RELEASES}
    assert totals == {
        "ravdess": 1440,
        "crema-d": 7442,
        "emodb": 535,
        "esd": 35_000,
        "savee": 480,
        "tess": 2800,
        "meld": 13_706,
        "msp-podcast": 0,
    }


def test_ravdess_is_read_once_and_without_its_songs(read: Read) -> None:
    root, corpus, by_id = read("ravdess")
    one = by_id["03-01-05-01-02-01-01"]
    assert (one.text, one.label, one.speaker, one.session) == ("Dogs are sitting by the door.", "angry", "01", "1")
    assert one.columns == {"gender": "male", "intensity": "normal", "repetition": "1"}
    assert one.wav == root / "Actor_01" / "03-01-05-01-02-01-01.wav"
    assert (len(corpus), {each.session for each in corpus if each.speaker in ("04", "08", "20")}) == (32, {"1", "2", "3"})
    said = told(corpus)
    assert said["recording that is there twice"].startswith("31 files: ")
    assert "03-01-03-01-01-01-04.wav" in said["recordings of one name that differ"]
    assert said["recording of another name"].startswith("1 files: not read")
    assert said["recording of another name"].endswith("Actor_01/03-02-03-01-01-01-01.wav")


def test_crema_d_has_actors_votes_and_no_pointers(read: Read) -> None:
    root, corpus, by_id = read("crema-d")
    one = by_id["1001_DFA_ANG_XX"]
    assert (one.text, one.label, one.session) == ("Don't forget a jacket.", "ANG", "1001")
    assert one.votes == {"ANG": 6, "DIS": 2, "NEU": 1}  # of those who heard it, not of those who saw it
    gender = {"gender": "male", "age": "51", "race": "Caucasian", "ethnicity": "Not Hispanic"}
    assert one.columns == {**gender, "level": "unspecified", "sentence": "DFA"}
    assert by_id["1002_DFA_HAP_XX"].columns == {"gender": "female", "age": "21", "level": "unspecified", "sentence": "DFA"}
    assert (by_id["1003_DFA_HAP_XX"].votes, len(corpus)) == (None, 19)
    said = told(corpus)
    assert "git lfs pull" in said["pointer of Git LFS"]
    assert "18 files" in said["recording that is there twice"]
    alone = open_corpus(root / "AudioWAV")
    assert next(iter(alone)).votes == one.votes  # the tables lie beside the folder
    assert told(open_corpus(root)) == said


def test_emodb_says_what_its_codes_mean(read: Read) -> None:
    _, corpus, by_id = read("emodb")
    one = by_id["03a02Wc"]
    assert (one.text, one.label, one.session) == ("Das will sie am Mittwoch abgeben.", "anger", "03")
    assert one.columns == {"gender": "male", "age": "31", "sentence": "a02"}
    assert (len(corpus), told(corpus)) == (22, {})


def test_esd_has_its_texts_in_whatever_encoding(read: Read) -> None:
    _, corpus, by_id = read("esd")
    assert {each.text for each in corpus if each.speaker != "0001"} == {"It\u2019s late."}
    assert {each.text for each in corpus if each.speaker == "0001"} == {"打远一看。"}
    one = by_id["0011_000351"]
    assert (one.label, one.session) == ("Angry", "0011")
    assert one.columns == {"gender": "male", "language": "English", "emobox_fold": "1", "part": "test"}
    assert "0011/0011_000009.wav" in told(corpus)["recording of another name"]


def test_savee_keeps_speakers_apart_whose_files_have_the_same_names(read: Read, tmp_path: Path) -> None:
    _, corpus, by_id = read("savee")
    assert set(by_id) == {
        f"{speaker}_{name}" for speaker in ("DC", "JE", "KL") for name in ("a01", "d15", "f01", "h01", "n30", "sa01", "su01")
    }
    assert [by_id[f"JE_{name}"].label for name in ("a01", "sa01", "su01")] == ["anger", "sadness", "surprise"]
    for each in corpus:
        noise(tmp_path / f"{each.id}.wav", 80)
    flat = open_corpus(tmp_path)
    assert [(each.id, each.label, each.speaker) for each in flat] == [(each.id, each.label, each.speaker) for each in corpus]


def test_tess_is_read_once_however_its_folders_are_spelled(read: Read) -> None:
    _, corpus, by_id = read("tess")
    assert (len(corpus), told(corpus)["recording that is there twice"].startswith("28 files")) == (29, True)
    one = by_id["OAF_bite_neutral"]
    assert (one.text, one.label, one.wav.name) == ("Say the word bite.", "neutral", "OA_bite_neutral.wav")


def test_meld_is_its_tables_with_the_clips_that_belong_to_them(read: Read) -> None:
    root, corpus, by_id = read("meld")
    assert {each.text for each in corpus if each.id.endswith("dia0_utt0")} == {"You\u2019re here?"}
    one = by_id["train_dia0_utt0"]
    assert (one.label, one.speaker, one.session, one.split, one.dialogue) == (
        "surprise-positive",
        "Monica train",
        "train",
        "train",
        "train_dia0",
    )
    assert (one.start, one.end) == (0, None)  # the times of the table are those of the episode
    assert one.columns == {"sentiment": "positive", "season": "8", "episode": "21"}
    assert one.wav == root / "train" / "train_splits" / "dia0_utt0.wav"
    assert len({each.wav for each in corpus}) == len(corpus) == 24
    said = told(corpus)
    assert said["row that is left out"].startswith("train_dia125_utt3: ")
    assert "final_videos_testdia1_utt1.wav" in said["recording of another name"]
    assert "dia66_utt9.wav" in said["recording without a row"]


def test_msp_podcast_has_votes_attributes_and_parts_in_every_version(read: Read, tmp_path: Path) -> None:
    _, corpus, by_id = read("msp-podcast")
    one = by_id["MSP-PODCAST_0001_0000"]
    assert (one.label, one.speaker, one.split, one.text) == ("Angry", "9", "dev", "so what do you think")
    assert (one.attributes, one.votes) == ((2.4, 5.2, 5.0), {"Angry": 2, "Other": 1})
    assert by_id["MSP-PODCAST_0003_0008"].speaker == "unknown in MSP-PODCAST_0003"
    assert by_id["MSP-PODCAST_0003_0008"].label == "No agreement"
    assert {each.split for each in corpus} == {"train", "dev", "test1", "test2"}
    RELEASES["msp-podcast"](tmp_path)
    msp_podcast_as_json(tmp_path)
    again = open_corpus(tmp_path)
    keep = ("id", "label", "speaker", "split", "votes", "attributes", "text", "columns")
    assert [[getattr(each, name) for name in keep] for each in again] == [
        [getattr(each, name) for name in keep] for each in corpus
    ]


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("meld", "dev_sent_emo.csv", "joy", "jjoy", r"dev_sent_emo.csv: row 4: emotion 'jjoy' .* expected one of neutral, joy"),
        ("meld", "dev_sent_emo.csv", "Emotion", "Feeling", "no column Emotion; expected Utterance"),
        ("meld", "dev_sent_emo.csv", '0,3,8,21,"00:16:16,059","00:16:21,731"', "0", "row 5 has fewer values than the 11 columns"),
        ("msp-podcast", "Labels/labels_consensus.csv", ",H,", ",Q,", r"row 4: EmoClass is 'Q', expected one of A, S"),
        ("msp-podcast", "Labels/labels_consensus.csv", "5.2", "high", "row 2: EmoVal, EmoAct and EmoDom must be numbers"),
        ("msp-podcast", "Labels/labels_detailed.csv", "EmoDetail", "Detail", "has neither EmoClass_Major nor EmoDetail"),
    ],
)
def test_a_damaged_table_is_named_with_its_row(tmp_path: Path, name: str, file: str, old: str, new: str, message: str) -> None:
    RELEASES[name](tmp_path)
    table_file = tmp_path / file
    table_file.write_text(table_file.read_text().replace(old, new))
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path)
