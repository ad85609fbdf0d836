import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.report import RunGroup, find_runs, group_runs, score_table
from mer.report.figure_set import figure_set
from mer.report.page import page
from mer.report.page_data import BASE64, packed, page_data, script_json, visible
from mer.report.utterance_facts import UtteranceFacts

ATTACK = "<script>alert(1)</script> <!-- </script> & \u2028 ]]>"
VOID = {"meta", "wbr", "link", "br", "img", "input", "hr"}


class Structure(HTMLParser):
    """Elements that are not closed in order, ids given twice, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.scripts = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in VOID else [tag]
        self.scripts += tag == "script"
        names = [name for name, _ in attrs]
        self.faults += [f"{tag} has {name} twice" for name in names if names.count(name) > 1]
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.addresses += [value or ""] if name in ("src", "href", "action") else []

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def group(two_runs: Path) -> RunGroup:
    return group_runs(find_runs((two_runs,)))[0]


def made(group: RunGroup, text: str = "hello", name: str = "u1") -> str:
    facts = {name: UtteranceFacts(id=name, session="1", text=text, words=((text, 0.0, 1.0),), speaker=text, peaks=(0, 99))}
    return page(group, score_table(group), figure_set(group, facts), facts, version="1.2.3")


def data_in(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert found
    values: dict[str, Any] = json.loads(found[1])
    return values


def structure(html: str) -> Structure:
    parser = Structure()
    parser.feed(html)
    parser.close()
    return parser


def test_the_page_is_well_formed_and_asks_for_nothing(group: RunGroup) -> None:
    html = made(group)
    found = structure(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert (found.faults, found.open) == ([], [])
    assert len(set(found.ids)) == len(found.ids)
    assert found.addresses
    assert {f"#{name}" for name in found.ids} >= set(found.addresses)
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_markup_in_a_transcript_is_data_not_markup(group: RunGroup) -> None:
    html = made(group, ATTACK)
    assert structure(html).scripts == 2
    assert "<script>alert" not in html
    first = data_in(html)["utterances"][0]
    assert first["t"] == first["k"] == first["w"][0] == visible(ATTACK)


def test_markup_in_names_settings_and_commands_is_escaped(two_runs: Path) -> None:
    from dataclasses import replace

    attack = "<img src=x onerror=alert(1)>"
    runs = [replace(run, name=f"{attack} {run.name}", config={"note": attack}) for run in find_runs((two_runs,))]
    (group,) = group_runs(runs)
    html = made(group)
    assert attack not in html
    assert "mer train-head &lt;b&gt;" in html
    assert attack in structure(html).text


@given(st.text())
def test_no_text_can_end_the_script_element(text: str) -> None:
    shown = visible(text)
    made = script_json({"t": shown})
    assert not re.search("[<>&\u2028\u2029]", made)
    assert json.loads(made) == {"t": shown}
    made.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[2J", r"a\x00b\x1b[2J"),
        ("one\r\n\ttwo", "one two"),
        ("\ud800x\u202e\x9b", r"\ud800x\u202e\x9b"),
        ("ünïcode 字", "ünïcode 字"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_the_script_reads_is_what_the_heads_said(group: RunGroup) -> None:
    facts = {
        "u3": UtteranceFacts(
            id="u3",
            session="1",
            text="so",
            seconds=1.239,
            words=(("so", 0.1, 0.45), ("so", 0.5, 1.0)),
            phones=(("S", 0.1, 0.2), ("OW", 0.2, 0.45), ("S", 0.5, 0.7)),
            syllables=(("S_OW", 0.1, 0.45), ("S_OW", 0.5, 1.0)),
            peaks=(0, 50, 99),
        )
    }
    data = page_data(group, facts)
    assert (data["classes"], data["heads"]) == (["angry", "sad"], ["late F+T", "linear T"])
    assert data["phones"] == ["S", "OW"]
    # No head reads syllables.
    assert data["syllables"] == []
    assert [row["i"] for row in data["utterances"]] == [f"u{number}" for number in range(1, 9)]
    assert data["utterances"][2] == {
        "i": "u3",
        "s": "1",
        "t": "so",
        "d": 124,
        "w": ["so", 10, 35, "so", 5, 50],
        "f": "AUCUA8B",
        "p": "Ag/",
        "l": 1,
        "h": [[500, 500], [200, 800]],
        "r": ["1/2", "2/2"],
    }
    assert data["utterances"][7] == {"i": "u8", "s": "2", "l": 1, "h": [[200, 800], [500, 500]], "r": ["2/2", "1/2"]}


def test_syllables_are_there_where_a_head_reads_them(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path / "a-late-S-1", {("1", 0): "aass"}, fusion="late", branches=("S@wavlm", "T"))
    facts = {"u1": UtteranceFacts(id="u1", session="1", syllables=(("S_OW", 0.1, 0.45), ("AH", 0.5, 1.0), ("S_OW", 1.0, 1.2)))}
    data = page_data(group_runs(find_runs((tmp_path,)))[0], facts)
    assert data["syllables"] == ["S_OW", "AH"]
    assert unpacked(data["utterances"][0]["z"]) == [0, 10, 35, 1, 5, 50, 0, 0, 20]


def unpacked(text: str) -> list[int]:
    """The page's script once more: five bits a character, the lowest first, 32 where another follows."""
    numbers, bits = [], ""
    for digit in map(BASE64.index, text):
        bits = f"{digit % 32:05b}{bits}"
        if digit < 32:
            value, bits = int(bits, 2), ""
            numbers.append(-(value + 1) // 2 if value % 2 else value // 2)
    return numbers


@given(st.lists(st.integers(-100_000, 100_000)))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    assert unpacked(packed(numbers)) == numbers


def test_probabilities_are_rounded_to_the_nearest_per_mille(two_runs: Path) -> None:
    for file in two_runs.glob("*/predictions.csv"):
        file.write_text(file.read_text().replace("0.800000", "0.666600").replace("0.200000", "0.333400"))
    rows = page_data(group_runs(find_runs((two_runs,)))[0], {})["utterances"]
    # 666.6 and 333.4: cutting off would give 666 and 333.
    assert {share for row in rows for shares in row["h"] for share in shares} == {667, 333, 500}


def test_an_utterance_that_a_head_did_not_test_has_no_answer_of_it(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path / "a-linear-T-1", {("1", 0): "aass"})
    make_run(tmp_path / "b-late-F-2", {("1", 0): "aass", ("2", 0): "aaas"}, fusion="late", branches=("F",))
    data = page_data(group_runs(find_runs((tmp_path,)))[0], {})
    assert [row["h"] for row in data["utterances"]][4] == [None, [800, 200]]


def test_scores_paper_and_best_are_on_the_page(two_runs: Path) -> None:
    from dataclasses import replace

    runs = [replace(run, published={"ua": 68.12}) if run.name == "linear T" else run for run in find_runs((two_runs,))]
    html = " ".join(made(group_runs(runs)[0]).split())
    assert '</i>late F+T <span class="tag">best</span></th>' in html
    assert '<td data-value="0.6812">68.12</td> <td data-value="">-</td>' in html
    assert ">70.83</td>" in html


def test_settings_data_and_wide_figures_are_for_people(two_runs: Path) -> None:
    from dataclasses import replace

    config = {"hidden": 128, "layers": None, "text_disjoint": True, "seeds": [0, 1], "parts": {"a": 1}}
    runs = [replace(run, config=config) for run in find_runs((two_runs,))]
    html = made(group_runs(runs)[0])
    for name, shown in (("hidden", "128"), ("layers", "-"), ("text_disjoint", "yes"), ("seeds", "0, 1")):
        assert f"<dt>{name}</dt><dd>{shown}</dd>" in html
    assert "<dt>parts</dt><dd>{&#34;a&#34;: 1}</dd>" in html
    assert "<dt>utterances used</dt><dd>8</dd>" in html
    # The learning curves of two heads are wider than a column.
    assert html.count('<figure class="whole"><div class="scroll"') == 1


def test_a_difference_has_its_p_and_its_caution_explained(group: RunGroup) -> None:
    against = {"row": "linear T", "reference": "late F+T", "difference": -0.2, "low": -0.5, "high": -0.02}
    table = score_table(group, [against | {"p_holm": 0.02, "p_folds_holm": 0.06}])
    html = page(group, table, [], {}, version="1.2.3")
    assert "-20.00 [-50.00, -2.00]*</td>" in html
    assert "p (Holm) = p of the paired test" in html
    assert "which favours it" in html
    assert "p (Holm) =" not in made(group)


def test_a_page_without_any_finished_run_can_be_made(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path / "tiny-linear-T-1", {("1", 0): "aass"}, finished=False)
    html = made(group_runs(find_runs((tmp_path,)))[0])
    assert structure(html).faults == []
    assert "not finished: 1 run has ended" in html
    assert data_in(html)["utterances"] == []
