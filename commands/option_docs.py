"""Writes what `docs/` says of options, from where they are declared: `python -m mer.commands.option_docs docs`."""

import re
import subprocess
import sys
from pathlib import Path

from mer.settings.option import Option, options_of


def cli_page() -> str:
    """`docs/cli.md`: help of every command."""
    words = [sys.executable, "-m", "typer", "mer.cli", "utils", "docs", "--name", "mer"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() + "\n"


def with_tables(page: str) -> str:
    """A page of `docs/`, with the table of options of each grid's config written anew between its two comments."""
    from mer.finetune.config import FinetuneConfig
    from mer.heads.config import HeadConfig

    for name, config in (("heads", HeadConfig), ("finetune", FinetuneConfig)):
        rows = [_row(each) for each in options_of(config).values()]
        table = "\n".join(["", "| option | default | what it does |", "|---|---|---|", *rows, ""])
        mark = f"<!-- options of {name} -->"
        page = re.sub(f"{mark}.*?<!-- end -->", lambda _, m=mark, t=table: f"{m}{t}<!-- end -->", page, flags=re.DOTALL)  # type: ignore[misc]
    return page


def _row(option: Option) -> str:
    default = option.kind.show(option.default) if option.kind and option.default is not None else option.default
    shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    words = f" One of {', '.join(f'`{each}`' for each in option.usual_words)}." if option.usual_words else ""
    was = f" Earlier: {', '.join(f'`{each}`' for each in option.was)}." if option.was else ""
    return f"| `{option.name}` | {shown} | {option.help}{words}{was} |"


def main(folder: Path) -> None:
    """Write the pages of a folder `docs` anew."""
    (folder / "cli.md").write_text(cli_page(), encoding="utf-8")
    grids = folder / "grids.md"
    grids.write_text(with_tables(grids.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
