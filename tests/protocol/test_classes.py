from pathlib import Path

import pytest

from mer.corpus import AS_IS, CLASS_MAPS, CorpusError
from mer.heads import HeadConfig
from mer.protocol import ProtocolError, class_map
from mer.settings.option import options_of


def test_four_classes_merge_excitement_into_happiness_in_the_order_of_the_paper() -> None:
    found = class_map("4", ["neu", "exc", "hap", "xxx", "ang", "sad", "fru"])
    assert found.classes == ("angry", "happy", "sad", "neutral")
    assert found.indices(["neu", "exc", "hap", "xxx", "ang", "sad", "fru"]).tolist() == [
        3,
        1,
        1,
        -1,
        0,
        2,
        -1,
    ]


def test_six_classes_keep_excitement_and_frustration_apart() -> None:
    found = class_map("6", ["fru"])
    assert found.classes == ("angry", "happy", "excited", "sad", "neutral", "frustrated")
    assert found.indices(["exc", "hap", "fru", "dis"]).tolist() == [2, 1, 5, -1]


def test_without_excitement_it_is_left_out() -> None:
    assert class_map("4-noexc", ["hap", "exc"]).indices(["hap", "exc"]).tolist() == [1, -1]
    assert class_map("5", ["ang"]).classes == ("angry", "happy", "sad", "neutral", "frustrated")
    assert class_map("5", ["ang"]).indices(["exc", "fru", "xxx"]).tolist() == [1, 4, -1]


def test_as_is_keeps_the_labels_sorted_and_drops_the_empty_one() -> None:
    found = class_map(AS_IS, ["joy", "", "anger", "joy"])
    assert found.classes == ("anger", "joy")
    assert found.indices(["joy", "", "anger"]).tolist() == [1, -1, 0]


@pytest.mark.parametrize("name", [name for name, mapping in CLASS_MAPS.items() if mapping])
def test_every_class_of_a_map_has_a_label(name: str) -> None:
    found = class_map(name, list(CLASS_MAPS[name]))
    assert set(found.indices(list(CLASS_MAPS[name])).tolist()) == set(range(len(found.classes)))


def test_an_unknown_map_lists_the_valid_ones() -> None:
    with pytest.raises(ProtocolError, match=r"unknown classes '7', expected one of 4, 4-noexc, 5, 6, as-is"):
        class_map("7", ["ang"])


def test_labels_that_no_class_knows_are_shown() -> None:
    with pytest.raises(ProtocolError, match=r"no utterance has a label of classes '4' .*are joy, rage: use.*'as-is'"):
        class_map("4", ["rage", "joy"])


def test_one_class_is_not_enough() -> None:
    with pytest.raises(ProtocolError, match="classes 'as-is' give only joy: at least two"):
        class_map(AS_IS, ["joy", "joy"])


OWN = 'order = ["negative", "positive"]\ndrop = ["xxx"]\n[classes]\nhap = "positive"\nHappy = "positive"\nang = "negative"\n'


def test_a_file_of_ones_own_merges_drops_and_orders(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text(OWN, encoding="utf-8-sig")
    found = class_map(str(file), ["hap", "ang", "Happy", "xxx", ""])
    assert found.classes == ("negative", "positive")
    assert found.indices(["hap", "ang", "Happy", "xxx", ""]).tolist() == [1, 0, 1, -1, -1]
    with pytest.raises(ProtocolError, match=r"says nothing of the labels Hap, neu: give a class to each"):
        class_map(str(file), ["hap", "neu", "Hap"])
    file.write_text(OWN.replace('"xxx"', '"*"'))
    assert class_map(str(file), ["hap", "neu"]).indices(["neu"]).tolist() == [-1]


def test_the_identity_holds_what_a_file_says_and_not_where_it_lies(tmp_path: Path) -> None:
    made, configs = [], []
    for folder, text in (("a", OWN), ("b", OWN), ("c", OWN.replace('["negative", "positive"]', '["positive", "negative"]'))):
        file = tmp_path / folder / "map.toml"
        file.parent.mkdir()
        file.write_text(text)
        made.append(class_map(str(file), ["hap", "xxx"]).identity())
        configs.append(HeadConfig(classes=str(file)).identity())
    assert made[0] == made[1] != made[2]
    assert configs[0] == configs[1]
    assert configs[0]["classes"] == "map.toml"
    assert options_of(HeadConfig)["classes"].word("some/where.toml") == "some/where.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[classes", "cannot be read"),
        ('ang = "a"', r"knows no ang; order and drop stand above"),
        ('[classes]\nang = "a"\norder = ["a"]', r"needs a table \[classes\]"),
        ('order = ["a"]\n[classes]\nang = "a"\nhap = "b"', r"order names a, \[classes\] has a, b"),
        ('drop = "xxx"\n[classes]\nang = "a"', "drop must be a list of texts"),
        ('drop = ["ang"]\n[classes]\nang = "a"', "ang is dropped and has a class"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(text)
    with pytest.raises(CorpusError, match=f"odd.toml: .*{message}"):
        class_map(str(file), ["ang", "hap"])
