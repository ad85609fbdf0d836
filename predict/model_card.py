"""The README of an exported run: what it is, what it was measured on, and what it must not be taken for."""

from collections.abc import Mapping, Sequence
from typing import Any

from mer.cache.granularity import STREAMS
from mer.corpus import CORPORA
from mer.predict.card_metadata import UNKNOWN_LICENSE, card_metadata
from mer.protocol import METRICS
from mer.protocol.dimensions import dimensions_of
from mer.protocol.metrics import learned_by, metrics_for


def model_card(
    result: Mapping[str, Any],
    encoders: Mapping[str, Mapping[str, Any]],
    runs: Sequence[tuple[str, int]],
    *,
    copied: bool,
    kind: str,
    license: str = UNKNOWN_LICENSE,
) -> str:
    """A model card in Markdown, with the metadata that the Hugging Face hub reads.

    Args:
        result: what `result.json` holds.
        encoders: `speech` and `text`, or `speech@wavlm` of several, as the features or the result identify them.
        runs: folds and seeds that are exported.
        copied: whether the encoders' weights are part of the folder.
        kind: `head` or `finetuned`.
        license: identifier of the licence that it is under, as the hub has them.
    """
    title = f"{result['corpus']}: {_what(result, kind)}"
    metadata = card_metadata(result, encoders, title=title, protocol=_protocol(result), license=license)
    parts = [
        f"---\n{metadata}\n---",
        f"# {title}",
        _unedited(license),
        _use(result, copied),
        _labels(result),
        _training(result, encoders, runs),
        _metrics(result),
        _limits(result),
    ]
    return "\n\n".join(parts) + "\n"


def _what(result: Mapping[str, Any], kind: str) -> str:
    branches = "+".join(result["branches"])
    if kind == "finetuned":
        return f"fine-tuned encoders, {branches} ({result.get('name', 'one row')})"
    return f"{result['config']['fusion']} head on frozen encoders, {branches}"


def _unedited(license: str) -> str:
    """Who has written the card, and what only people can add."""
    if license == UNKNOWN_LICENSE:
        return "Written by `mer export`. Not edited by anybody; add who made it, why, and under which licence it may be used."
    return "Written by `mer export`. Not edited by anybody; add who made it, and why."


def _use(result: Mapping[str, Any], copied: bool) -> str:
    where = (
        "Everything needed is in this folder."
        if copied
        else "The encoders are fetched from the Hugging Face hub when first used."
    )
    asks = (
        '`--wav x.wav --text "what is said"`'
        if {name.partition("@")[0] for name in result["branches"]} - {"T", "text"}
        else '`--text "what is said"`'
    )
    told = f"`mer predict THIS` with {asks}, or `mer.predict.load(THIS)` in Python"
    return f"## Use\n\n`pip install mer-fusion`; then {told}. THIS is the folder, or OWNER/NAME on the Hugging Face hub. {where}"


def _labels(result: Mapping[str, Any]) -> str:
    names = result["summary"]["classes"]
    if dimensions_of(result["config"]):
        told = f"Ratings of one spoken utterance in the unit of the corpus: {', '.join(names)}."
        return f"## Task\n\n{told} Arousal is also called activation."
    merged = ""
    if result["config"].get("classes") == "4":
        merged = " `happy` also stands for excitement, as in most work on IEMOCAP."
    return f"## Task and labels\n\nEmotion of one spoken utterance, one of {len(names)}: {', '.join(names)}.{merged}"


def _training(result: Mapping[str, Any], encoders: Mapping[str, Mapping[str, Any]], runs: Sequence[tuple[str, int]]) -> str:
    config = result["config"]
    validation = (
        "10 % of the training utterances, drawn at random" if config["validation"] == "random" else "one training session"
    )
    spoken = "**synthetic speech** (a synthesiser's, not people's)" if result["synthetic"] else "speech"
    lines = [
        "## Training",
        "",
        f"* Corpus: `{result['corpus']}`, {result['utterances']['used']:,} utterances of {spoken}.",
        *(
            f"* {_titled(name)}: `{encoders[name]['model']}`, revision "
            f"{encoders[name].get('revision') or 'unknown'}, weights sha256 `{encoders[name]['weights_sha256'][:12]}`."
            for name in _named(encoders)
        ),
        *_normalisation(config),
        f"* Protocol: {_protocol(result)}; the epoch was chosen on {validation}, never on the test session"
        + ("; sentences of the test session were left out of training." if config.get("text_disjoint") else "."),
        f"* Runs in this folder: {', '.join(f'fold {fold} seed {seed}' for fold, seed in runs)}. Their "
        f"{'ratings' if dimensions_of(config) else 'probabilities'} are averaged.",
    ]
    return "\n".join(lines)


def _named(encoders: Mapping[str, Any]) -> list[str]:
    """Names of encoders, those of speech first: `speech`, or `speech@wavlm` of several."""
    return [name for kind in STREAMS for name in sorted(encoders) if name.partition("@")[0] == kind]


def _titled(name: str) -> str:
    kind, _, own = name.partition("@")
    return f"{kind.capitalize()} encoder" + (f" {own}" if own else "")


def _protocol(result: Mapping[str, Any]) -> str:
    """What each fold was tested on."""
    left_out, count = result.get("leave_out", "session"), result["config"].get("fold_count")
    if left_out == "given":
        return "the corpus' own training and test parts"
    return f"{count} folds of whole {left_out}s" if count else f"leave one {left_out} out"


def _normalisation(config: Mapping[str, Any]) -> list[str]:
    """What a head's features are normalised by, and what that asks of new recordings; nothing for whole encoders."""
    said = {
        "speech": "speech by mean and deviation of the training part, text not at all",
        "global": "speech and text by mean and deviation of the training part",
        "speaker": "speech **by mean and deviation of each speaker's own recordings**, those of the test speakers included. New "
        "recordings of a speaker must be given together, two at least, with the column `speaker` where several speak",
        "none": "none",
    }
    name = config.get("normalize")
    return [f"* Normalisation: {said[name]}."] if name in said else []


def _metrics(result: Mapping[str, Any]) -> str:
    scores = result["summary"]["all"]
    rows = [
        f"| {metric.title} | {_percent(scores[name]['mean_of_folds'])} | {_percent(scores[name]['std_folds'])} "
        f"| {_percent(scores[name]['std_seeds'])} | {_percent(scores[name]['merged'])} |"
        for name, metric in METRICS.items()
        if name in scores  # earlier results have fewer
    ]
    told = [f"{metric.title}: {metric.meaning}." for metric in metrics_for([learned_by(result["config"])]).values()]
    recall = ", ".join(f"{name} {_percent(value)}" for name, value in result["summary"]["recall"].items())
    return "\n".join(
        [
            "## Measured",
            "",
            f"In percent, over {len(result['runs'])} runs, each on the session that it left out.",
            "",
            "| | mean of folds | ± folds | ± seeds | merged |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *told,
            "merged: all test sessions scored together." + (f" Recall: {recall}." if recall else ""),
        ]
    )


def _limits(result: Mapping[str, Any]) -> str:
    lines = ["## Limits", ""]
    if result["synthetic"]:
        lines.append("* **Trained on synthetic speech**: it shows that the tool works and says nothing about people.")
    elif known := [kind.limits for name, kind in CORPORA.items() if kind.limits and str(result["corpus"]).startswith(name)]:
        lines += [f"* {limits}" for limits in known]
    else:
        lines.append("* If the corpus holds acted speech, expect less on spontaneous speech; `mer` does not know which it is.")
    rated = dimensions_of(result["config"])
    lines += [
        "* The figures are those of single runs on speakers of the same corpus. The average of several runs has not been "
        "measured, and recordings of the training corpus have been seen by most runs.",
        "* It always answers, also for music and noise; its unit is that of the raters of this corpus."
        if rated
        else "* It always answers with one of its labels, also for music, noise, and emotions that are none of them.",
        f"* {'Ratings are not calibrated' if rated else 'Probabilities are not calibrated without `mer predict --calibrated`'}. "
        "Do not decide about a person by them.",
    ]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
