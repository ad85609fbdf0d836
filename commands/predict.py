"""`mer predict`."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.console import clear_errors, print_result, progress_bar, say
from mer.commands.options import HOW, WHAT, WHERE, DeviceOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mer.corpus import Utterance
    from mer.predict import Aligner, Failure, Prediction, Predictor

RunArgument = Annotated[Path, typer.Argument(help="Run directory, such as those in runs/, or a folder that `mer export` made.")]
FoldsOption = Annotated[
    str | None,
    typer.Option("--fold", rich_help_panel=WHAT, help="Only the runs that left these sessions out, such as 1-2. Default: all."),
]
RunSeedsOption = Annotated[
    str | None, typer.Option("--seed", rich_help_panel=WHAT, help="Only the runs of these seeds, such as 0,2. Default: all.")
]
EncoderFolder = "the run's own, where the hub does not have it"


def predict(
    run: RunArgument,
    recordings: Annotated[
        Path | None,
        typer.Argument(help="Folder of audio with a .txt of the same name beside each, or a .jsonl / .csv list: wav, text."),
    ] = None,
    wav: Annotated[Path | None, typer.Option(rich_help_panel=WHERE, help="A single recording.")] = None,
    text: Annotated[str | None, typer.Option(rich_help_panel=WHAT, help="What is said in it.")] = None,
    textgrid: Annotated[
        Path | None, typer.Option(rich_help_panel=WHERE, help="Its alignment. Default: made where the run needs one.")
    ] = None,
    fold: FoldsOption = None,
    seed: RunSeedsOption = None,
    labels: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, help="Refuse a run that answers with other labels than these, such as angry,sad."),
    ] = None,
    speech_model: Annotated[
        str | None,
        typer.Option(envvar="MER_SPEECH_MODEL", rich_help_panel=WHERE, help=f"Folder of the speech encoder: {EncoderFolder}."),
    ] = None,
    text_model: Annotated[
        str | None,
        typer.Option(envvar="MER_TEXT_MODEL", rich_help_panel=WHERE, help=f"Folder of the text encoder: {EncoderFolder}."),
    ] = None,
    alignment: Annotated[
        str,
        typer.Option(rich_help_panel=HOW, help="auto: with pocketsphinx where a recording brings none; none: one segment."),
    ] = "auto",
    max_seconds: Annotated[float, typer.Option(rich_help_panel=HOW, help="Longer recordings are refused.")] = 60.0,
    device: DeviceOption = "auto",
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write the predictions to this file.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer for new recordings with a run that was trained before: a fusion head, or a fine-tuned model.

    Everything else comes from the run: encoders, layers, normalisation, what is done to texts. By default the
    probabilities of all its folds and seeds are averaged. A recording that cannot be answered for is listed with
    the reason, and the exit code is 1.
    """
    with clear_errors("predictions are printed at the end only"):
        from mer.predict import Failure, load
        from mer.settings.kinds import names_of, numbers_of

        if (recordings is None) == (wav is None and text is None):
            raise typer.BadParameter("give either a folder or list of recordings, or --wav with --text")
        found, failed = read_input(recordings, wav, text, textgrid)
        predictor = load(
            run,
            folds=names_of("--fold", fold) if fold else None,
            seeds=numbers_of("--seed", seed) if seed else None,
            labels=None if labels is None else tuple(each.strip() for each in labels.split(",")),
            speech_model=speech_model,
            text_model=text_model,
            device=device,
            max_seconds=max_seconds,
        )
        for remark in predictor.remarks:
            say(remark, quiet)
        predictor.aligner = find_aligner(alignment, predictor, found)
        with progress_bar("predict", quiet) as bar:
            answers = predictor.predict_many(found, progress=lambda done, total: bar.update(done, total))
        failed += [each for each in answers if isinstance(each, Failure)]
        predictions = [each for each in answers if not isinstance(each, Failure)]
        if csv_file is not None:
            write_csv(csv_file, predictions, predictor.classes)
    data = {
        "run": str(run),
        "runs": list(predictor.runs),
        "classes": list(predictor.classes),
        "predictions": [dataclasses.asdict(each) for each in predictions],
        "failed": [dataclasses.asdict(each) for each in failed],
    }
    print_result(data, predictions_table(data), as_json)
    for each in failed:
        say(f"no answer for {each.id}: {each.reason}", quiet)
    if failed:
        raise typer.Exit(1)


def read_input(
    recordings: Path | None, wav: Path | None, text: str | None, textgrid: Path | None
) -> "tuple[list[Utterance], list[Failure]]":
    """The recordings that are asked for, and those of them that are refused at once."""
    from mer.corpus import TextGridAlignment
    from mer.predict import read_recordings, recording

    if recordings is not None:
        return read_recordings(recordings)
    source = None if textgrid is None else TextGridAlignment(path=textgrid)
    return [recording(wav or Path(), text, alignment=source)], []


def find_aligner(alignment: str, predictor: "Predictor", found: "Sequence[Utterance]") -> "Aligner | None":
    """Pocketsphinx, if the run needs an alignment that a recording does not bring."""
    if alignment not in ("auto", "none"):
        raise typer.BadParameter(f"{alignment!r}: expected auto or none", param_hint="--alignment")
    if alignment == "none" or not predictor.needs_aligner(found):
        return None
    from mer.predict import pocketsphinx_aligner

    return pocketsphinx_aligner()


def predictions_table(data: dict[str, Any]) -> "RenderableType":
    """One row a recording: the class, the probability of each, and how many of the runs agree."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("recording", overflow="fold")
    table.add_column("emotion")
    for name in (*data["classes"], "agree"):
        table.add_column(escape(name), justify="right", no_wrap=True)
    for each in data["predictions"]:
        shares = [f"{100 * each['probabilities'][name]:.1f}" for name in data["classes"]]
        table.add_row(escape(each["id"]), escape(each["label"]), *shares, f"{100 * each['agreement']:.0f}")
    count = len(data["runs"])
    meaning = (
        f"Probabilities in percent, mean over {count} run{'s' if count > 1 else ''}; agree = share of them with this answer."
    )
    notes = [Text(f"{each['id']}: {note}", style="dim") for each in data["predictions"] for note in each["notes"]]
    return Group(table, *notes, Text(meaning, style="dim"))


def write_csv(path: Path, predictions: "Sequence[Prediction]", classes: "Sequence[str]") -> None:
    """One line a recording: id, prediction, probability of each class, agreement, notes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "prediction", *classes, "agreement", "notes"])
        for each in predictions:
            shares = [f"{each.probabilities[name]:.6f}" for name in classes]
            writer.writerow([each.id, each.label, *shares, f"{each.agreement:.3f}", "; ".join(each.notes)])
