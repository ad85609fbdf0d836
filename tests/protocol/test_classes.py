import pytest

from mer.corpus import AS_IS, CLASS_MAPS
from mer.protocol import ProtocolError, class_map


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


def test_as_is_keeps_the_labels_sorted_and_drops_the_empty_one() -> None:
    found = class_map(AS_IS, ["joy", "", "anger", "joy"])
    assert found.classes == ("anger", "joy")
    assert found.indices(["joy", "", "anger"]).tolist() == [1, -1, 0]


@pytest.mark.parametrize("name", [name for name, mapping in CLASS_MAPS.items() if mapping])
def test_every_class_of_a_map_has_a_label(name: str) -> None:
    found = class_map(name, list(CLASS_MAPS[name]))
    assert set(found.indices(list(CLASS_MAPS[name])).tolist()) == set(range(len(found.classes)))


def test_an_unknown_map_lists_the_valid_ones() -> None:
    with pytest.raises(ProtocolError, match=r"unknown classes '7', expected one of 4, 4-noexc, 6, as-is"):
        class_map("7", ["ang"])


def test_labels_that_no_class_knows_are_shown() -> None:
    with pytest.raises(ProtocolError, match=r"no utterance has a label of classes '4' .*are joy, rage: use.*'as-is'"):
        class_map("4", ["rage", "joy"])


def test_one_class_is_not_enough() -> None:
    with pytest.raises(ProtocolError, match="classes 'as-is' give only joy: at least two"):
        class_map(AS_IS, ["joy", "joy"])
