"""`mer predict`."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, print_result, progress_bar, say
from mer.commands.corpus_choice import HowTablesAreRead
from mer.commands.options import JsonOption, QuietOption
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.aligner.registry import ALIGNERS, POCKETSPHINX
from mer.extract.encoder_options import speech_model_option, text_model_option
from mer.settings.kinds import NUMBERS, SESSIONS
from mer.settings.option import WHAT, WHERE, option
from mer.settings.shared_options import device_option

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from mer.corpus import Utterance
    from mer.predict import Aligner, Found, Heard, Prediction, Predictor, Rating

RunArgument = Annotated[
    Path,
    typer.Argument(
        help="Run directory, such as those in runs/, a folder of `mer export`, or OWNER/NAME of one on the Hugging Face hub."
    ),
]


@dataclass(frozen=True, kw_only=True)
class WhichRuns:
    """Which of the trained runs answer, and where their encoders are."""

    fold: tuple[str, ...] | None = option(
        None, "Only the runs that left these sessions out, such as 1-2. Default: all.", kind=SESSIONS, panel=WHAT
    )
    seed: tuple[int, ...] | None = option(
        None, "Only the runs of these seeds, such as 0,2. Default: all.", kind=NUMBERS, panel=WHAT
    )
    revision: str | None = option(
        None, "Branch, tag or commit of a run that is on the hub. Default: its main branch as it is now.", panel=WHAT
    )
    speech_model: tuple[Path, ...] = speech_model_option(
        default=(),
        help="Folder of the run's speech encoder, where the hub does not have it; of several, each as NAME=DIR.",
        panel=WHERE,
        metavar="<str>",
    )
    text_model: tuple[Path, ...] = text_model_option(
        default=(), help="Folder of the run's text encoder, where the hub does not have it.", panel=WHERE, metavar="<str>"
    )

    @property
    def encoders(self) -> dict[str, Any]:
        """The folders or hub ids, as `mer.predict` takes them."""
        return {
            "speech_model": tuple(each.as_posix() for each in self.speech_model),
            "text_model": tuple(each.as_posix() for each in self.text_model),
        }


live_alignment_option = partial(
    option,
    default="auto",
    help="Times of recordings that bring none: auto (by the aligner that the run was trained with, else by pocketsphinx), none "
    "(one segment), or an aligner: pocketsphinx, or ctc with --ctc-model.",
    choices=ALIGNERS,
    also=("auto", "none"),
)


@dataclass(frozen=True, kw_only=True)
class WhatIsAnswered(HowTablesAreRead):
    """The recordings that are not named by their folder, and what is done with each."""

    wav: Path | None = option(None, "A single recording.", panel=WHERE)
    text: str | None = option(None, "What is said in it.", panel=WHAT)
    transcribe: str | None = option(
        None,
        "Write down what is said in recordings that bring no text, by this speech recogniser: folder or Hugging Face hub id of a "
        "Whisper or a CTC model.",
        panel=WHAT,
    )
    textgrid: Path | None = option(None, "Its alignment. Default: made where the run needs one.", panel=WHERE)
    labels: str | None = option(None, "Refuse a run that answers with other labels than these, such as angry,sad.", panel=WHAT)
    alignment: str = live_alignment_option()
    calibrated: bool = option(False, "Probabilities at the temperature that each run's validation part gave.", panel=WHAT)
    max_seconds: float = option(60.0, "Longer recordings are refused.")
    device: str = device_option()
    csv: Path | None = option(None, "Also write the predictions to this file.", panel=None)


@options_from()
def predict(
    run: RunArgument,
    which: WhichRuns,
    what: WhatIsAnswered,
    of_aligner: AlignerOptions,
    recordings: Annotated[
        Path | None,
        typer.Argument(help="Folder of audio with a .txt of the same name beside each, or a .jsonl / .csv list: wav, text."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer for new recordings with a run that was trained before: a fusion head, or a fine-tuned model.

    Everything else comes from the run: encoders, layers, normalisation, what is done to texts. By default the
    probabilities of all its folds and seeds are averaged. A recording that cannot be answered for is listed with
    the reason, and the exit code is 1.
    """
    with clear_errors("predictions are printed at the end only"):
        from mer.predict import Failure

        found, failed, problems = read_input(recordings, what)
        for odd in problems:
            say(f"{odd.kind}: {odd.where}: {odd.message}", quiet)
        predictor = open_run(run, which, what, quiet)
        heard = None
        if what.transcribe is not None:
            heard = write_down(found, what.transcribe, what, quiet)
            found, failed = heard.utterances, [*failed, *heard.failed]
        predictor.aligner = find_aligner(what.alignment, of_aligner, predictor, found)
        with progress_bar("predict", quiet) as bar:
            ask = predictor.rate_many if predictor.dimensions else predictor.predict_many
            answers = list(ask(found, progress=lambda done, total: bar.update(done, total)))
        failed += [each for each in answers if isinstance(each, Failure)]
        predictions = [each for each in answers if not isinstance(each, Failure)]
        if what.csv is not None:
            write_csv(what.csv, predictions, predictor.classes, None if heard is None else heard.texts)
    data = {
        "run": predictor.origin,
        "runs": list(predictor.runs),
        "calibrated": what.calibrated,
        "classes": list(predictor.classes),
        "predictions": [dataclasses.asdict(each) | heard_of(each.id, heard) for each in predictions],
        "failed": [dataclasses.asdict(each) for each in failed],
        "problems": [dataclasses.asdict(odd) for odd in problems],
        **({} if heard is None else {"transcribed_by": what.transcribe}),
    }
    print_result(data, ratings_table(data) if predictor.dimensions else predictions_table(data), as_json)
    for each in failed:
        say(f"no answer for {each.id}: {each.reason}", quiet)
    if failed:
        raise typer.Exit(1)


def open_run(run: Path, which: WhichRuns, what: WhatIsAnswered, quiet: bool) -> "Predictor":
    """The run that answers; says where it is from, and what could not be checked of it."""
    from mer.predict import load

    predictor = load(
        run,
        revision=which.revision,
        folds=which.fold,
        seeds=which.seed,
        labels=None if what.labels is None else tuple(each.strip() for each in what.labels.split(",")),
        **which.encoders,
        device=what.device,
        max_seconds=what.max_seconds,
        calibrated=what.calibrated,
    )
    say_origin(run, predictor, quiet)
    return predictor


def say_origin(run: Path, predictor: "Predictor", quiet: bool) -> None:
    """Say which commit of the hub answers, if one does, and what could not be checked of the run."""
    if predictor.origin != str(run):
        say(f"{predictor.origin} of the Hugging Face hub answers", quiet)
    for remark in predictor.remarks:
        say(remark, quiet)


def read_input(recordings: Path | None, what: WhatIsAnswered) -> "Found":
    """The recordings that are asked for, those of them that are refused at once, and what is odd in a corpus."""
    from mer.corpus import TextGridAlignment, Wanted
    from mer.predict import Found, find_recordings, recording

    if (recordings is None) == (what.wav is None and what.text is None):
        raise typer.BadParameter("give either a folder or list of recordings, or --wav with --text")
    if what.transcribe is not None and what.text is not None:
        raise typer.BadParameter("it is for recordings without a text; leave out --text, or this", param_hint="--transcribe")
    if recordings is not None:
        return find_recordings(recordings, Wanted(audio_root=what.audio_root, encoding=what.encoding))
    source = None if what.textgrid is None else TextGridAlignment(path=what.textgrid)
    return Found([recording(what.wav or Path(), what.text, alignment=source)], [])


def write_down(found: "Sequence[Utterance]", recogniser: str, what: WhatIsAnswered, quiet: bool) -> "Heard":
    """What a speech recogniser hears in recordings without a text.

    Args:
        found: the recordings.
        recogniser: folder or hub id.
        what: with the device and the longest recording.
        quiet: whether nothing is said on the way.
    """
    from mer.predict import open_transcriber, transcribe

    transcriber = open_transcriber(recogniser, device=what.device)
    with progress_bar("transcribe", quiet) as bar:
        heard = transcribe(found, transcriber, max_seconds=what.max_seconds, progress=lambda done, all: bar.update(done, all))
    if kept := len(heard.utterances) - len(heard.texts):
        say(f"{kept:,} recordings bring a text, and keep it", quiet)
    if heard.cut:
        window = f"{transcriber.window_seconds:g} s"
        say(f"heard in pieces of {window}, so a word at a cut may be wrong: {', '.join(heard.cut)}", quiet)
    return heard


def heard_of(name: str, heard: "Heard | None") -> dict[str, str]:
    """What was heard in a recording, for its answer; nothing where it brought its own text."""
    return {"heard": heard.texts[name]} if heard is not None and name in heard.texts else {}


def heard_lines(data: dict[str, Any]) -> "list[Text]":
    """What the speech recogniser wrote, a line for each recording."""
    from rich.text import Text

    told = [each for each in data["predictions"] if "heard" in each]
    return [Text(f"{each['id']}: heard {each['heard']!r}") for each in told]


def find_aligner(
    alignment: str, options: AlignerOptions, predictor: "Predictor", found: "Sequence[Utterance]"
) -> "Aligner | None":
    """The aligner that is asked for, if the run needs an alignment that a recording does not bring.

    Args:
        alignment: `auto`, `none`, or an aligner's name.
        options: of aligners.
        predictor: the run.
        found: the recordings.

    Raises:
        AlignError: an aligner that is not here, or whose model is not named.
    """
    if alignment == "none" or not predictor.needs_aligner(found):
        return None
    from mer.predict import live_aligner

    trained_with = predictor.aligned_by if predictor.aligned_by in ALIGNERS else POCKETSPHINX
    return live_aligner(trained_with if alignment == "auto" else alignment, options)


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
    kind = "Calibrated probabilities" if data["calibrated"] else "Probabilities"
    meaning = f"{kind} in percent, mean over {count} run{'s' if count > 1 else ''}; agree = share of them with this answer."
    notes = [Text(f"{each['id']}: {note}", style="dim") for each in data["predictions"] for note in each["notes"]]
    return Group(table, *heard_lines(data), *notes, Text(meaning, style="dim"))


def ratings_table(data: dict[str, Any]) -> "RenderableType":
    """One row a recording: each rating, with its deviation over the runs."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("recording", overflow="fold")
    for name in data["classes"]:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for each in data["predictions"]:
        spread = {name: "" if value is None else f" ±{value:.2f}" for name, value in each["deviations"].items()}
        table.add_row(escape(each["id"]), *(f"{value:.2f}{spread[name]}" for name, value in each["ratings"].items()))
    count = len(data["runs"])
    meaning = f"In the unit of the training corpus, mean over {count} run{'s' if count > 1 else ''}; ± = deviation over them."
    notes = [Text(f"{each['id']}: {note}", style="dim") for each in data["predictions"] for note in each["notes"]]
    return Group(table, *heard_lines(data), *notes, Text(meaning, style="dim"))


def write_csv(
    path: Path, predictions: "Sequence[Prediction | Rating]", classes: "Sequence[str]", heard: Mapping[str, str] | None = None
) -> None:
    """One line a recording: id, prediction, probability of each class, agreement, notes; or id, ratings, deviations, notes.

    Args:
        path: the file.
        predictions: one for each line.
        classes: their order.
        heard: what a speech recogniser wrote, by id: a last column, where one was asked.
    """
    from mer.files import write_file
    from mer.predict import Rating

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rated = any(isinstance(each, Rating) for each in predictions)
    names = [*classes, *(f"{name}_std" for name in classes)] if rated else ["prediction", *classes, "agreement"]
    writer.writerow(["id", *names, "notes", *([] if heard is None else ["heard"])])
    for each in predictions:
        said = [] if heard is None else [heard.get(each.id, "")]
        if isinstance(each, Rating):
            numbers = [*each.ratings.values(), *each.deviations.values()]
            shown = ["" if value is None else f"{value:.6f}" for value in numbers]
            writer.writerow([each.id, *shown, "; ".join(each.notes), *said])
            continue
        shares = [f"{each.probabilities[name]:.6f}" for name in classes]
        writer.writerow([each.id, each.label, *shares, f"{each.agreement:.3f}", "; ".join(each.notes), *said])
    write_file(path, text.getvalue().encode())
