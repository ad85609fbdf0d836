"""What is far larger than anybody means is refused at once, with the limit."""

from pathlib import Path

import pytest

from mer.corpus import CorpusError, open_corpus
from mer.grids.grid import GridError
from mer.grids.grid_file import read_grid
from mer.heads import HeadConfig, HeadError
from mer.tests.campaign.fuzz import at_once

HEADER = "id,wav,text,label,speaker,session"


def test_a_grid_of_a_million_rows_is_refused_before_one_is_made(tmp_path: Path) -> None:
    values = ", ".join(map(str, range(1, 101)))
    axes = "".join(f"{name} = [{values}]\n" for name in ("hidden", "batch", "patience"))
    (tmp_path / "g.toml").write_text(f'[[rows]]\nmodality = "text"\nfusion = "linear"\n[axes]\n{axes}')
    said = r"makes 1,000,000 rows \(hidden 100 x batch 100 x patience 100\), and a table has 10,000 at most"
    with at_once(5), pytest.raises(GridError, match=said):
        read_grid(str(tmp_path / "g.toml"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            HEADER + "".join(f",f{n}" for n in range(100_000)) + "\n",
            r"100,006 columns, and a table has 10,000 at most",
        ),
        ("a.jsonl", "{" + ",".join(f'"f{n}": 1' for n in range(100_000)) + "}\n", r"100,000 columns"),
        (
            "a.csv",
            f"{HEADER}\n1,a.wav,{'long ' * 40_000},x,s,1\n",
            r"larger than field limit .*under 131,072 characters",
        ),
    ],
    ids=["columns", "columns of JSON Lines", "a cell"],
)
def test_tables_that_nobody_has_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with at_once(10), pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / name)


@pytest.mark.parametrize("wrong", [{"attention_layers": 10**6}, {"hidden": 10**12}, {"feed_forward_ratio": 10**4}], ids=str)
def test_heads_that_fit_into_no_machine_are_refused(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(HeadError, match=rf"{name} must lie in \[1, "):
        HeadConfig(fusion="transformer", modality="text", **wrong)  # type: ignore[arg-type]
