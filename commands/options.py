"""Options that mean the same in every command, as parameters of one that has few of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.extract.encoder_options import speech_model_option, text_model_option
from mer.settings.option import HOW as HOW
from mer.settings.option import SAID as SAID
from mer.settings.option import WHAT as WHAT
from mer.settings.option import WHERE as WHERE
from mer.settings.shared_options import (
    audio_root_option,
    cache_option,
    corpus_option,
    encoding_option,
    runs_option,
)

if TYPE_CHECKING:
    from typer import Context as Context
else:
    # What typer hands to a command is click's context, of which its own public class is only a subclass.
    Context = typer.Context.__base__


def parameter(field: Any) -> Any:
    """A field declared with `option` as typer knows it."""
    about = field.metadata
    return typer.Option(envvar=about["env"], rich_help_panel=about["panel"], help=about["help"], metavar=about.get("metavar"))


CorpusOption = Annotated[Path | None, parameter(corpus_option())]
AudioRootOption = Annotated[Path | None, parameter(audio_root_option())]
EncodingOption = Annotated[str | None, parameter(encoding_option())]
CacheOption = Annotated[Path, parameter(cache_option())]
RunsOption = Annotated[Path, parameter(runs_option())]
SpeechModelsOption = Annotated[list[Path], parameter(speech_model_option(metavar="<str>"))]
TextModelsOption = Annotated[list[Path], parameter(text_model_option(metavar="<str>"))]
RevisionOption = Annotated[
    list[str] | None,
    typer.Option(rich_help_panel=WHAT, help="Branch, tag or commit on the hub: speech=REV and/or text=REV."),
]
AllowMissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing-segments",
        rich_help_panel=HOW,
        help="Train even where P, S or W has no units of its own and is one segment over the whole utterance.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", rich_help_panel=SAID, help="Print one JSON object instead of tables.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=SAID, help="No progress and no messages.")]

DEFAULT_CORPUS = Path("IEMOCAP_full_release")
SPEECH_MODELS, TEXT_MODELS = ([Path(each().default)] for each in (speech_model_option, text_model_option))
