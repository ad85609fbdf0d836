"""Options that mean the same in every command, and their defaults."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from typer import Context as Context
else:
    # What typer hands to a command is click's context, of which its own public class is only a subclass.
    Context = typer.Context.__base__

WHERE, WHAT, HOW = "Where things are", "What is done", "How it is done"

CorpusOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MER_CORPUS",
        rich_help_panel=WHERE,
        help="Folder or file of a corpus: IEMOCAP_full_release, a .jsonl or .csv manifest, or KIND:PATH where several kinds "
        "are possible. Default: ./IEMOCAP_full_release.",
    ),
]
CacheOption = Annotated[
    Path,
    typer.Option(envvar="MER_CACHE", rich_help_panel=WHERE, help="Folder of the feature caches, or one cache."),
]
RunsOption = Annotated[Path, typer.Option(envvar="MER_RUNS", rich_help_panel=WHERE, help="Folder of the run directories.")]
SpeechModelOption = Annotated[
    str,
    typer.Option(
        envvar="MER_SPEECH_MODEL",
        rich_help_panel=WHAT,
        help="wav2vec2, HuBERT, WavLM or data2vec-audio encoder: hub id or folder.",
    ),
]
TextModelOption = Annotated[
    str,
    typer.Option(envvar="MER_TEXT_MODEL", rich_help_panel=WHAT, help="BERT-like encoder: hub id or folder."),
]
DeviceOption = Annotated[
    str,
    typer.Option(envvar="MER_DEVICE", rich_help_panel=HOW, help="auto (CUDA if there is one), cpu, cuda, cuda:1."),
]
AllowMissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing-segments",
        rich_help_panel=HOW,
        help="Train even where P, S or W has no units of its own and is one segment over the whole utterance.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]
SeedsOption = Annotated[int, typer.Option(min=1, rich_help_panel=HOW, help="Random seeds: runs per fold.")]

DEFAULT_CORPUS = Path("IEMOCAP_full_release")
SPEECH_MODEL, TEXT_MODEL = "facebook/wav2vec2-base", "google-bert/bert-base-uncased"
