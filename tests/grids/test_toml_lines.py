import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.grids.toml_lines import TomlLines

TEXT = '''# a comment = with an equals sign
[grid] # [rows]
title = """two
lines [[rows]]
x = 1"""
"quoted key" = 'a # b'

[[rows]]
fusion = "late"  # "
granularity = [
  "F", # [defaults]
  "F+S",
]
[[rows]]
  name = "a \\" = b"
[rows.extra]
deep.er = {a = 1, b = [1, 2]}

[[ "rows" ]]
fusion = QQQit's QQQQ
[axes]
hidden = [64]
'''.replace("Q", "'")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("grid",), 2),
        (("grid", "title"), 3),
        (("grid", "quoted key"), 6),
        (("rows",), 8),
        (("rows", 0), 8),
        (("rows", 0, "fusion"), 9),
        (("rows", 0, "granularity"), 10),
        (("rows", 1), 14),
        (("rows", 1, "name"), 15),
        (("rows", 1, "extra"), 16),
        (("rows", 1, "extra", "deep"), 17),
        (("rows", 1, "extra", "deep", "er"), 17),
        (("rows", 2, "fusion"), 20),
        (("axes", "hidden"), 22),
    ],
)
def test_every_key_has_its_line(place: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(TEXT)
    assert TomlLines(TEXT).line(*place) == line


def test_what_has_no_line_of_its_own_has_that_of_what_is_around_it() -> None:
    lines = TomlLines(TEXT)
    assert lines.line("rows", 0, "granularity", 1) == 10
    assert lines.line("rows", 1, "nothing") == 14
    assert lines.line("rows", 7) == 8
    assert lines.line("nothing") == 1
    assert TomlLines('rows = [\n {fusion = "late"},\n {fusion = "x"},\n]\n').line("rows", 1, "fusion") == 1


def test_windows_line_ends_and_a_missing_last_one_change_nothing() -> None:
    lines = TomlLines('[grid]\r\ntitle = "x"\r\n[axes]\r\nhidden = [\r\n1]\r\nbatch = 2')
    assert [lines.line("grid", "title"), lines.line("axes", "hidden"), lines.line("axes", "batch")] == [2, 4, 6]


VALUES = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(
        [
            '"a = # [["',
            "'\\'",
            '"\\""',
            '"""x\n[t]\ny = 1"""',
            "'''\n]]\n'''",
            "[1,\n 2, # ]\n]",
            '{a = "}"}',
            "[[1], [\n]]",
            "true",
        ]
    ),
)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "\n", "# [x]\n", "  "]), VALUES), min_size=1, max_size=12))
def test_lines_are_right_whatever_the_values_look_like(items: list[tuple[bool, str, str]]) -> None:
    text, expected, position = "[[rows]]\n", [], 0
    for number, (starts_row, before, value) in enumerate(items):
        if starts_row:
            text, position = text + "[[rows]]\n", position + 1
        text += before
        expected.append((("rows", position, f"k{number}"), text.count("\n") + 1))
        text += f"k{number} = {value}\n"
    tomllib.loads(text)
    lines = TomlLines(text)
    assert [lines.line(*place) for place, _ in expected] == [line for _, line in expected]
