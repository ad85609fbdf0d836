"""A figure as SVG that stands in a page itself, so that it follows the page's theme."""

import re

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
    text = svg(figure).decode()
    text = text[text.index("<svg") :]
    # What the document says of itself, each text once more as a comment, and a style of all elements, which would reach
    # beyond the figure.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<=\bid=")|(?<=xlink:href="#)|(?<=url\(#)', f"{name}-", text)
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = re.sub(r"#[0-9a-f]{6}\b", lambda colour: THEME.get(colour[0], colour[0]), text)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1).strip()
