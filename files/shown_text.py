"""Text of others as people may see it: nothing in it moves the cursor, colours, hides or turns round what stands beside it."""

import codecs
import re
import sys
import unicodedata

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters but tabs and ends of lines, overrides of the direction, marks without width, and halves of characters."""
_PLAIN = {
    "±": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"',
    "”": '"',
    "Δ": "d",
    "━": "-",
    "█": "#",
    "•": "*",
    "·": ".",
}
"""What tables of mer hold, for terminals that know ASCII only."""


def shown(text: str) -> str:
    r"""The text with control characters and overrides of its direction written out, such as `\x1b` and `\u202e`."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def spreadsheet_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before one that begins as one and is no number."""
    safe = shown(text)
    if not safe.lstrip().startswith(("=", "+", "-", "@")):
        return safe
    try:
        float(safe)
    except ValueError:
        return f"'{safe}"
    return safe


def write_plainly() -> None:
    """Let what a terminal's encoding lacks be written with letters that it has; without this, printing it is an error."""
    codecs.register_error("mer.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="mer.plain")


def _plain(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    wanted = problem.object[problem.start : problem.end]
    letters = (_PLAIN.get(each) or unicodedata.normalize("NFKD", each).encode("ascii", "ignore").decode() for each in wanted)
    shown_as = (found or each.encode("unicode_escape").decode() for found, each in zip(letters, wanted, strict=True))
    return "".join(shown_as), problem.end
