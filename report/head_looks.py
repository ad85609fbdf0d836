"""How each head looks: its colour, marker and dashes, the same on the page and in every figure."""

from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = (
    ("#0072B2", "#3D9BE0"),
    ("#D55E00", "#E8702A"),
    ("#009E73", "#22B98A"),
    ("#CC79A7", "#DD8FBB"),
    ("#000000", "#ECECF1"),
    ("#882255", "#C06078"),
    ("#E69F00", "#F0AE1F"),
    ("#56B4E9", "#8CD0F7"),
)
"""On paper and on a dark page. On paper those of Okabe and Ito (2008) and a wine red: distinct to people with any common
colour blindness. On a dark page all have a contrast of 4 and more with what is behind them."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":")
"""First for as many heads as there are colours, then for as many again."""


@dataclass(frozen=True, kw_only=True)
class HeadLook:
    """What a head is recognised by."""

    number: int
    """Place of its colour in `COLOURS`: the page's `--head-0`, `--head-1` ..."""
    colour: str
    """On paper, `#rrggbb`."""
    dash: str
    """Dashes of its lines, as matplotlib writes them."""
    marker: str
    """Marker of its points, as matplotlib writes it."""
    filled: bool
    """Whether its points are filled; those of heads that share a colour with an earlier one are rings."""

    @property
    def face(self) -> str:
        """The colour inside its points."""
        return self.colour if self.filled else "none"


def head_looks(names: Sequence[str]) -> dict[str, HeadLook]:
    """The look of each head, by its place among all rows of a table.

    Args:
        names: of all rows, finished or not, in the order of the table.
    """
    return {name: _look(place) for place, name in enumerate(names)}


def _look(place: int) -> HeadLook:
    number, turn = place % len(COLOURS), place // len(COLOURS)
    return HeadLook(
        number=number,
        colour=COLOURS[number][0],
        dash=DASHES[turn % len(DASHES)],
        marker=MARKERS[number],
        filled=turn == 0,
    )
