"""The terminal, or whatever standard output and error are: the one place where text of others becomes harmless to look at."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from mer.files.shown_text import shown


class Screen(Console):
    """A console on which no name of an id, a file or a row can move the cursor, colour or turn round what is shown."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as it may be seen; cells are measured by this, too."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, less what is not meant for the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


def screen(*, stderr: bool = False) -> Screen:
    """A screen without colours of its own for numbers and paths."""
    settings: dict[str, Any] = {"highlight": False, "stderr": stderr}
    return Screen(**settings)
