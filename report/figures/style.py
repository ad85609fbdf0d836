"""How figures look: widths of a paper's columns, fonts that can be read there, colours for every eye."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN, PAGE = 3.35, 7.0
"""Width of one column and of a whole page of a two-column paper, in inches."""
GREY = "#767676"
BAND = "#f2f2f2"
"""Behind every second group of points."""
LINES = 4
"""Most lines that a name gets in a figure; captions and tables have it in full."""
DPI = 200
SETTINGS = {
    "font.size": 7.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "svg.hashsalt": "mer",
    "pdf.fonttype": 42,
}


def wrapped(name: str, width: int = 26) -> str:
    """A row's name in lines that a legend, a title or an axis has room for; of a longer one the rest is left out."""
    return "\n".join(textwrap.wrap(name, width, break_on_hyphens=False, max_lines=LINES, placeholder=" …")) or name


@contextmanager
def paper_style() -> Iterator[None]:
    """Figures made inside look like the others; nothing outside changes."""
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]  # its stub wants literals
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, without a window and without global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as pixels."""
    return _saved(figure, "png")


def svg(figure: Figure, *, letters: bool = False) -> bytes:
    """The figure as SVG, the same bytes each time.

    Args:
        figure: made in `paper_style`.
        letters: write words as text, which is short and can be searched, but looks as the reader's fonts do; outlines otherwise.
    """
    with mpl.rc_context({"svg.fonttype": "none" if letters else "path"}):
        return _saved(figure, "svg")


def vector(figure: Figure) -> bytes:
    """The figure as PDF, the same bytes each time."""
    return _saved(figure, "pdf")


def _saved(figure: Figure, kind: str) -> bytes:
    image = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with paper_style():
        figure.savefig(image, format=kind, dpi=DPI, metadata=undated)
    return image.getvalue()
