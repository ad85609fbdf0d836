"""README's table is what `mer demo` prints: compare it with a demo, or write it anew.

    python tests/demo/readme_table.py demo.json            # exit 1 and a line per figure that is too far away
    python tests/demo/readme_table.py demo.json --write    # puts the demo's table and gain into the README

`demo.json` is what `mer demo --json` printed. The same demo gives other figures on another machine: text features differ in
their last digits between processors, and early stopping makes of that another epoch here and there. Between two machines
with the same packages the UA of `linear T` was 0.6 points apart, the other rows up to 0.4; ± over seeds is 0.5 to 2.8.
"""

import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mer.report.results_report import results_table, score_rows

README = Path(__file__).parent.parent.parent / "README.md"
TOLERANCE = 3.0
"""Points by which a figure may differ: about one ± over seeds of the row with the largest, five times what two machines gave."""
BLOCK = re.compile(r"(?<=It ends with\n\n```text\n).*?(?=\n```)", re.DOTALL)
GAIN = re.compile(r"(?<=fusing them gains )\w+(?= points)")
WORDS = "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()


def table_of(results: Sequence[Mapping[str, Any]]) -> str:
    """The table as the demo prints it."""
    text = io.StringIO()
    Console(file=text, width=80, color_system=None, force_terminal=False).print(results_table(score_rows(results)))
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def rows_of(table: str) -> dict[str, list[float]]:
    """Head to the figures of its row."""
    lines = table.partition("─\n")[2].splitlines()
    cells = [re.split(r"\s+(?=[\d.,-]+(?:\s|$))", line.strip()) for line in lines]
    return {name: [float(each.replace(",", "")) for each in rest] for name, *rest in cells}


def gain_of(table: str) -> str:
    """By how many points of UA the last row is above the best of the others, as a word."""
    *alone, both = [row[1] for row in rows_of(table).values()]
    return WORDS[max(0, round(both - max(alone)))]


def differences(readme: str, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the README says that this demo did not give, one line each; `n` and names must be the same."""
    block, gain = BLOCK.search(readme), GAIN.search(readme)
    if block is None or gain is None:
        return ["README.md has no table after 'It ends with', or no 'fusing them gains ... points'"]
    said, made = rows_of(block[0]), rows_of(table_of(results))
    if list(said) != list(made):
        return [f"README.md has the rows {', '.join(said)}, the demo {', '.join(made)}"]
    found = [
        f"{name}: README.md says n = {said[name][0]:g}, the demo {made[name][0]:g}"
        for name in said
        if said[name][0] != made[name][0]
    ]
    for name in said:
        pairs = zip(said[name][1:], made[name][1:], strict=True)
        found += [f"{name}: README.md says {one}, the demo {other}" for one, other in pairs if abs(one - other) > TOLERANCE]
    if gain[0] != gain_of(block[0]):
        found.append(f"README.md says that fusion gains {gain[0]} points, its own table {gain_of(block[0])}")
    return found


def rewritten(readme: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The README with the table and the gain of this demo."""
    table = table_of(results)
    return GAIN.sub(gain_of(table), BLOCK.sub(lambda _: table, readme))


def main(arguments: Sequence[str]) -> int:
    """Compare or write; the exit status."""
    results = json.loads(Path(arguments[0]).read_text())["results"]
    readme = README.read_text(encoding="utf-8")
    if "--write" in arguments:
        README.write_text(rewritten(readme, results), encoding="utf-8")
        return 0
    found = differences(readme, results)
    for line in found:
        print(f"{line} (more than {TOLERANCE:g} points apart, or not the same)", file=sys.stderr)
    if found:
        print(f"if that is meant: python {Path(__file__).relative_to(README.parent)} {arguments[0]} --write", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
