import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer.grids.finetune_grid import FINETUNE_GRIDS
from mer.grids.grid import Grid, GridError, GridRow
from mer.grids.grid_file import preset_names, read_grid, read_grid_of
from mer.grids.grid_kind import HEAD_GRIDS
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.tests.fenced_blocks import blocks_of

Write = Callable[[str], str]

# Zhao 2022: tables 1, 2 and 3 as printed there, row by row.
TABLE_1 = {"T": (68.12, 67.29), "F": (65.44, 62.85), "P": (64.24, 62.79), "S": (63.86, 63.26), "W": (64.48, 62.38)}
TABLE_2 = {
    "F": (74.28, 74.88),
    "F+P": (74.57, 75.15),
    "F+S": (74.05, 75.80),
    "F+W": (74.27, 75.22),
    "F+P+S": (73.35, 74.67),
    "F+P+W": (73.96, 75.52),
    "F+S+W": (73.53, 75.59),
    "F+P+S+W": (73.64, 74.60),
}
TABLE_3 = {
    "concatenation F+P+T": 71.29,
    "coattention F+P+T": 74.57,
    "late F+S+T": 75.80,
    "multi-level coattention F+P + late F+S": 76.31,
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> str:
        (tmp_path / "my table.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "my table.toml")

    return to_file


def faults(write: Write, text: str, **overrides: object) -> list[str]:
    """What is wrong with a file, as `line: fault`."""
    file = write(text)
    with pytest.raises(GridError, match="the grid cannot be run") as problem:
        read_grid(file, overrides=overrides)
    first, *rest = str(problem.value).splitlines()
    assert first == "the grid cannot be run:"
    assert all(line.startswith(f"{file}:") for line in rest)
    return [line.removeprefix(f"{file}:") for line in rest]


def test_the_presets_are_the_tables_of_the_paper() -> None:
    assert preset_names("heads") == ("zhao2022-table1", "zhao2022-table2", "zhao2022-table3")
    first, second, third = (read_grid(name) for name in preset_names("heads"))
    assert [(row.name, row.published_ua) for row in first.rows] == [
        (f"{fusion} {branch}", ua)
        for branch, both in TABLE_1.items()
        for fusion, ua in zip(("linear", "transformer"), both, strict=True)
    ]
    assert [(row.name, row.published_ua) for row in second.rows] == [
        (f"{fusion} {speech}+T", ua)
        for speech, both in TABLE_2.items()
        for fusion, ua in zip(("coattention", "late"), both, strict=True)
    ]
    assert {row.name: row.published_ua for row in third.rows} == TABLE_3
    assert [grid.paper for grid in (first, second, third)] == [f"Zhao 2022, table {number}" for number in (1, 2, 3)]


def test_the_presets_use_the_protocol_of_the_paper() -> None:
    for name in preset_names("heads"):
        for row in read_grid(name).rows:
            for config in row.configs:
                assert (config.seeds, config.folds, config.validation, config.classes) == ((0, 1, 2, 3, 4), None, "random", "4")
                attention = config.fusion in ("transformer", "coattention")
                assert config.learning_rate == (5e-5 if attention else 1e-3)


def test_the_multi_level_row_is_two_rows_of_its_table_averaged() -> None:
    by_name = {row.name: row for row in read_grid("zhao2022-table3").rows}
    row = by_name["multi-level coattention F+P + late F+S"]
    assert row.multi_level
    assert row.fusion == "multi-level"
    assert row.configs == (*by_name["coattention F+P+T"].configs, *by_name["late F+S+T"].configs)
    assert row.branches == ("F", "P", "S", "T")


def test_a_row_is_what_the_config_of_its_options_is(write: Write) -> None:
    grid = read_grid(
        write(
            """
            [grid]
            title = "Mine"
            [defaults]
            hidden = 64
            learning-rate = 1
            seeds = 2
            folds = "1-2,4"
            [[rows]]
            granularity = "p + f"
            layers = "3,6-8"
            [[rows]]
            name = "words"
            modality = "speech"
            granularity = "W"
            fusion = "linear"
            hidden = 32
            seeds = [3, 9]
            folds = ["5", 1]
            layers = [12, 11]
            text_disjoint = true
            published_ua = 60
            """
        )
    )
    assert grid == Grid(
        name="my table",
        title="Mine",
        rows=(
            GridRow(
                name="late F+P+T layers=3,6-8",
                configs=(
                    HeadConfig(
                        granularities=("F", "P"),
                        hidden=64,
                        seeds=(0, 1),
                        folds=("1", "2", "4"),
                        layers=(3, 6, 7, 8),
                        learning_rate=1.0,
                    ),
                ),
            ),
            GridRow(
                name="words",
                configs=(
                    HeadConfig(
                        modality="speech",
                        granularities=("W",),
                        fusion="linear",
                        hidden=32,
                        seeds=(3, 9),
                        folds=("5", "1"),
                        layers=(11, 12),
                        text_disjoint=True,
                        learning_rate=1.0,
                    ),
                ),
                published_ua=60.0,
            ),
        ),
    )


def test_axes_multiply_rows_and_a_list_of_granularities_is_a_row_each(write: Write) -> None:
    grid = read_grid(
        write(
            """
            [axes]
            hidden = [64, 128]
            text_disjoint = [false, true]
            [[rows]]
            granularity = ["F", "F+S"]
            [[rows]]
            name = "text"
            modality = "text"
            fusion = "linear"
            """
        )
    )
    assert [row.name for row in grid.rows] == [
        f"{head} hidden={hidden} text_disjoint={disjoint}"
        for head in ("late F+T", "late F+S+T", "text")
        for hidden in (64, 128)
        for disjoint in ("false", "true")
    ]
    assert [(row.configs[0].hidden, row.configs[0].text_disjoint) for row in grid.rows] == 3 * [
        (64, False),
        (64, True),
        (128, False),
        (128, True),
    ]


def test_axes_alone_are_a_grid(write: Write) -> None:
    grid = read_grid(write('[axes]\ngranularity = ["F", "P"]\nfusion = ["late", "coattention"]\n'))
    assert [row.name for row in grid.rows] == ["late F+T", "coattention F+T", "late P+T", "coattention P+T"]
    assert grid.title == "my table"


def test_what_is_given_goes_before_the_file_and_that_before_what_is_fallen_back_to(write: Write) -> None:
    file = write('[defaults]\nseeds = 3\npatience = 2\n[axes]\nvalidation = ["random", "session"]\n')
    open_grid = read_grid(file, fallbacks={"patience": 9, "batch": 7})
    assert [row.configs[0].validation for row in open_grid.rows] == ["random", "session"]
    assert {(row.configs[0].patience, row.configs[0].batch) for row in open_grid.rows} == {(2, 7)}
    (row,) = read_grid(file, overrides={"validation": "session", "seeds": (5,)}).rows
    assert (row.configs[0].validation, row.configs[0].seeds, row.configs[0].patience) == ("session", (5,), 2)
    assert row.name == "late F+S+T"


def test_what_is_given_has_to_make_sense_on_its_own(write: Write) -> None:
    with pytest.raises(HeadError, match="unknown validation 'sesion'"):
        read_grid("zhao2022-table1", overrides={"validation": "sesion"})


def test_all_faults_come_at_once_each_with_its_line(write: Write) -> None:
    found = faults(
        write,
        """# line 1
[grid]
title = 3
papper = "x"
[defaults]
hidden = "wide"
patience = 0
[axes]
batch = [64, "x"]
dropout = 0.2
normalize = []
[[rows]]
fusoin = "linear"
learning-rate = -1
[[rows]]
granularity = ["F",
  "F+X",  # [[rows]]
]
fusion = "coattention"
published_ua = 3
[[rows]]
fusion = "linear"
seeds = [0, 0]
layers = true
[rowz]
""",
    )
    assert found == [
        "3: title must be a text in quotes, got 3",
        "4: unknown key 'papper' (did you mean 'paper'?)",
        "6: hidden must be a whole number, got 'wide'",
        "7: patience must be 1 or more, got 0",
        "9: batch must be a whole number, got 'x'",
        "10: axis dropout must be a list of values, got 0.2",
        "11: axis normalize must be a list of values, got []",
        "13: unknown option 'fusoin' (did you mean 'fusion'?)",
        "14: learning_rate must be positive, got -1.0",
        "16: unknown granularity X, expected some of F+P+S+W",
        "20: published_ua is one number, granularity several: write one [[rows]] each",
        "22: fusion 'linear' is one branch, got F+S+T: use 'late' or 'coattention', or modality 'speech' or 'text'",
        "23: seeds must be different numbers, 0 or more, got [0, 0]",
        '24: layers must be a list such as [6, 7, 8] or a text such as "6-8", got True',
        "25: unknown table 'rowz' (did you mean 'rows'?)",
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("hidden = 1.5", "hidden must be a whole number, got 1.5"),
        ("hidden = true", "hidden must be a whole number, got True"),
        ("dropout = false", "dropout must be a number, got False"),
        ("dropout = 1", "dropout must lie in [0, 1), got 1.0"),
        ("text_disjoint = 1", "text_disjoint must be true or false, got 1"),
        ("fusion = 3", "fusion must be a text in quotes, got 3"),
        (
            'fusion = "lat"',
            "unknown fusion head 'lat' (did you mean 'late'?): expected one of late, linear, transformer, coattention, "
            "concatenation, or package.module:Class of a file of your own (docs/extending.md)",
        ),
        ("granularity = 1", "granularity must be a text in quotes, got 1"),
        ("granularity = []", "granularity is an empty list"),
        ('granularity = ["F", 2]', "granularity must be a text in quotes, got 2"),
        ('granularity = "F+T"\nmodality = "speech"', "granularity T is text: ask for it with modality 'text' or 'both'"),
        ("name = ' '", "name must be a text in quotes, got ' '"),
        ("published_ua = '70'", "published_ua must be a UA in percent, got '70'"),
        ("published_ua = 101", "published_ua must be a UA in percent, got 101"),
        ("published_ua = true", "published_ua must be a UA in percent, got True"),
        ("late = 1", 'late must be granularities such as "F+P", got 1'),
        ('late = "F"', "late belongs to fusion 'multi-level' only"),
        ('seeds = "x"', "seeds 'x': expected numbers and ranges such as 1-5 or 1,3-5"),
        ("seeds = 0", "seeds must be different numbers, 0 or more, got []"),
        ("seeds = [0.5]", "seeds must be a count or a list such as [0, 1, 2], got [0.5]"),
        ("folds = [1.5]", 'folds must be a list such as ["1", "2"] or a text such as "1-5", got [1.5]'),
        ('folds = "5-1"', "folds '5-1': the range '5-1' runs backwards; write 1-5"),
        ('layers = "a"', "layers 'a': expected numbers and ranges such as 1-5 or 1,3-5"),
        ('layers = "1,"', "layers '1,': '' is neither a number, a range nor a name; expected something like 1-5 or 1,3-5"),
        ("granularities = 1", "unknown option 'granularities' (did you mean 'granularity'?)"),
    ],
)
def test_a_value_that_no_head_has_is_named_with_its_line(write: Write, line: str, fault: str) -> None:
    assert faults(write, f"[[rows]]\nfusion = 'late'\n[[rows]]\n\n{line}\n".replace("'late'", "'coattention'")) == [f"5: {fault}"]


PAPER = """
[grid]
paper = "Nobody 2000"
paper_seeds = 3
[setup]
corpus = "iemocap"
layers = "1-12"
hidden = 64
learning_rate = { late = 1e-3 }
[defaults]
batch = 16
hidden = 32
seeds = 2
[[rows]]
granularity = "F"
published_ua = 70
"""


def test_the_set_up_of_a_paper_is_what_the_file_says_whatever_is_given(write: Write) -> None:
    grid = read_grid(str(write(PAPER)), overrides={"batch": 8})
    assert (grid.paper_seeds, grid.rows[0].configs[0].batch) == (3, 8)
    setup = {"corpus": "iemocap", "layers": "1-12", "hidden": 64, "learning_rate": {"late": 1e-3}, "batch": 16}
    assert grid.rows[0].setup == setup
    assert read_grid(str(write("[[rows]]\n"))).rows[0].setup is None


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("paper_seeds = 0", "4: paper_seeds must be a whole number of 1 or more, got 0"),
        ('corpus = "iemocap"\nutterances = "5531"', "7: utterances must be a whole number, got '5531'"),
        ('corpus = "iemocap"\nlayer = "1"', "7: unknown key 'layer' (did you mean 'layers'?)"),
        ('layers = "first"', "7: layers must be numbers and ranges such as \"1-12\", got 'first'"),
        ('learning_rate = { late = "fast" }', "9: learning_rate must be a number, got 'fast'"),
    ],
)
def test_a_set_up_that_cannot_be_is_named_with_its_line(write: Write, wrong: str, fault: str) -> None:
    key = wrong.partition(" =")[0]
    text = "\n".join(wrong if line.startswith(f"{key} =") else line for line in PAPER.splitlines())
    with pytest.raises(GridError) as caught:
        read_grid(str(write(text)))
    assert fault in str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_declares_how_its_paper_made_its_figures(name: str) -> None:
    text = (files("mer.grids") / "presets" / f"{name}.toml").read_text("utf-8")
    preset = tomllib.loads(text)
    needed = {"corpus", "classes", "utterances", "folds", "speech_model", "text_model", "text_disjoint"}
    assert needed <= preset["setup"].keys()
    assert preset["grid"]["paper_seeds"] == (5 if name.startswith("zhao") else 1)


def test_an_option_that_resembles_none_lists_them_all(write: Write) -> None:
    (fault,) = faults(write, "[[rows]]\nqqqq = 1\n")
    assert fault.startswith("2: unknown option 'qqqq' (expected one of granularity, modality, fusion, hidden")
    assert "published_ua" in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[rows]]\n[[rows]]\ngranularity = 'S+F'\n", "2: 'late F+S+T' is the same row as 'late F+S+T' of line 1: leave one out"),
        (
            "[[rows]]\nname = 'a'\n[[rows]]\nname = 'a'\nhidden = 3\n",
            "3: 'a' is called as 'a' of line 1: give one another name",
        ),
        (
            "[[rows]]\nfusion = 'linear'\n[axes]\nmodality = ['text']\ngranularity = ['F', 'P']\n",
            "1: 'linear T' is the same row as 'linear T': leave one out",
        ),
        ("[axes]\nhidden = [8, 9, 8]\n", "2: axis hidden has a value twice: 8,9,8"),
        ("[[rows]]\nhidden = 3\n[axes]\nhidden = [8, 9]\n", "2: hidden is in [axes] too: set it in one place"),
        (
            "[[rows]]\ngranularity = ['F', 'P']\n[axes]\ngranularity = ['S']\n",
            "2: granularity is in [axes] too: set it in one place",
        ),
        (
            "[[rows]]\nmodality = 'text'\nfusion = 'linear'\ngranularity = 'F'\n",
            "4: a text row has no speech granularity: leave it out",
        ),
        ("rows = 3\n", "1: rows must be tables: write [[rows]] above each"),
        ("\n[rows]\n", "2: rows must be tables: write [[rows]] above each"),
        ("defaults = 3\n[[rows]]\n", "1: defaults must be a table: write [defaults]"),
        (
            "[[rows]]\nfusion = 'multi-level'\ncoattention = 'F+P'\n",
            "2: fusion 'multi-level' needs late, such as late = \"F+P\"",
        ),
        (
            "[[rows]]\nfusion = 'multi-level'\n",
            "2: fusion 'multi-level' needs coattention and late, such as coattention = \"F+P\"",
        ),
        (
            "[[rows]]\nfusion = 'multi-level'\ncoattention = 'F+P'\nlate = 'F+Q'\n",
            "4: unknown granularity Q, expected some of F+P+S+W",
        ),
        (
            "[[rows]]\nfusion = 'multi-level'\ncoattention = 'F'\nlate = 'F'\ngranularity = 'F'\n",
            "5: fusion 'multi-level' has no granularity, but coattention and late",
        ),
        (
            "[defaults]\nmodality = 'speech'\n[[rows]]\nfusion = 'multi-level'\ncoattention = 'F'\nlate = 'F'\n",
            "3: fusion 'multi-level' needs modality 'both'",
        ),
    ],
)
def test_a_grid_that_contradicts_itself_is_refused(write: Write, text: str, expected: str) -> None:
    assert faults(write, text) == [expected]


def test_a_fault_in_the_defaults_is_told_once_however_many_rows_there_are(write: Write) -> None:
    assert faults(write, "[defaults]\nhidden = 0\n[axes]\nbatch = [1, 2, 3]\n[[rows]]\n[[rows]]\ngranularity = 'F'\n") == [
        "2: hidden must lie in [1, 65536], got 0"
    ]


@pytest.mark.parametrize("table", ["[[rows]]", "[defaults]"])
def test_what_follows_from_a_value_of_the_wrong_type_is_not_told(write: Write, table: str) -> None:
    """Without its modality the row would be the linear head of three branches, which is another fault."""
    text = f"{table}\nmodality = 3\nfusion = 'linear'\n" + ("[[rows]]\n" if table == "[defaults]" else "")
    assert faults(write, text) == ["2: modality must be a text in quotes, got 3"]


def test_an_empty_grid_says_what_a_grid_needs(write: Write) -> None:
    with pytest.raises(GridError, match=r"my table.toml: the grid 'my table' has no rows: give \[\[rows\]\], \[axes\] or both"):
        read_grid(write("[grid]\ntitle = 'x'\n"))


@pytest.mark.parametrize("name", ["zhao2022-table9", "nowhere.toml", "."])
def test_an_unknown_grid_lists_the_presets_and_says_that_files_work(name: str) -> None:
    with pytest.raises(
        GridError, match=r"there is no grid '.*'.*: expected sun2023-table1, .*zhao2022-table1, .*, or a TOML file of your own"
    ):
        read_grid(name)


def test_no_valid_toml_is_refused_with_the_line_of_the_parser(write: Write, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"my table.toml: no valid TOML: .*line 2"):
        read_grid(write("[[rows]]\nfusion = \n"))
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(GridError, match=r"latin.toml: no valid TOML: .*utf-8"):
        read_grid(str(tmp_path / "latin.toml"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["hidden = 8", "hiden = 1", "batch = 'x'", "patience = 0", "name = 'n'", ""]), max_size=6),
    st.integers(0, 5),
)
def test_every_fault_has_the_line_where_it_stands(write: Write, lines: list[str], blank: int) -> None:
    """Each row gets another granularity width, so that rows differ; each faulty line has to be found, and no other."""
    text, expected = blank * "\n", []
    for number, line in enumerate(lines):
        text += f"[[rows]]\ndropout = 0.{number + 1}\n"
        here = text.count("\n") + 1
        text += line + "\n"
        if line in ("hiden = 1", "batch = 'x'", "patience = 0"):
            expected.append(here)
        if line == "name = 'n'" and line in lines[:number]:
            expected.append(here - 2)
    if expected:
        assert [int(fault.partition(":")[0]) for fault in faults(write, text)] == expected
    elif lines:
        assert len(read_grid(write(text)).rows) == len(lines)


def test_the_example_of_the_documentation_is_the_grid_it_says_it_is(write: Write) -> None:
    text = (Path(__file__).parents[2] / "docs" / "grids.md").read_text(encoding="utf-8")
    own, multi_level, finetuned = (block.text for block in blocks_of(text) if block.language == "toml")
    grid = read_grid(write(own))
    assert f"= {len(grid.rows)} rows" in text
    assert (grid.title, grid.paper) == ("Which layers carry emotion", "Somebody 2024, table 3")
    assert [row.name for row in grid.rows if row.published_ua] == [
        f"late F+S+T layers={layers} text_disjoint={disjoint}"
        for layers in ("1-12", "1-4", "5-8", "9-12")
        for disjoint in ("false", "true")
    ]
    assert [row.name for row in read_grid(write(multi_level)).rows] == ["multi-level coattention F+P + late F+S"]
    assert len(read_grid_of(FINETUNE_GRIDS, str(write(finetuned))).rows) == 3


def test_the_documentation_names_every_option() -> None:
    text = (Path(__file__).parents[2] / "docs" / "grids.md").read_text(encoding="utf-8")
    assert [option for option in HEAD_GRIDS.options.names() if f"`{option}`" not in text] == []
