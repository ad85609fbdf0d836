"""A figure as SVG that stands in a page itself, so that it follows the page's theme."""

import re
from collections.abc import Collection

from matplotlib.figure import Figure

from mer.report.figures.style import BAND, GREY, svg
from mer.report.head_looks import COLOURS

THEME = {paper.lower(): f"var(--head-{number})" for number, (paper, _) in enumerate(COLOURS)} | {
    "#000000": "var(--fore)",
    "#ffffff": "var(--back)",
    GREY: "var(--soft)",
    BAND: "var(--panel)",
}
"""A colour on paper to what the page has instead, in either theme."""


def inline_svg(figure: Figure, name: str) -> str:
    """The `svg` element of a figure in the colours of the page's theme.

    Args:
        figure: drawn in colours of `THEME`.
        name: which no other figure of the page has: ids inside begin with it.
    """
    text = svg(figure, letters=True).decode()
    text = text[text.index("<svg") :]
    # What the document says of itself, each text once more as a comment, and a style of all elements, which would reach
    # beyond the figure.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    needed = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    # Tags only: a head may be called as a colour is.
    text = re.sub(r"<[^>]+>", lambda tag: _in_page(tag[0], name, needed), text)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip()


def _in_page(tag: str, name: str, needed: Collection[str]) -> str:
    """One tag of a figure: ids of its own where something points to them, colours of the theme, the font of the style sheet."""
    tag = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in needed else "", tag)
    tag = re.sub(r'(?<=xlink:href="#)|(?<=url\(#)', f"{name}-", tag)
    tag = tag.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    # Some versions of matplotlib write size and family as one.
    tag = re.sub(r"\bfont: ([\d.]+px)[^;\"]*", r"font-size: \1", re.sub(r" ?font-family: [^;\"]*;?", "", tag))
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda colour: THEME.get(colour[0], colour[0]), tag)
    # A hundredth of a point is finer than any screen.
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag)
