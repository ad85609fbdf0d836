"""The metadata of a model card, as the Hugging Face hub reads it: what it can be searched by, and its model-index."""

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from mer.corpus import CORPORA
from mer.predict.errors import PredictError
from mer.protocol import METRICS
from mer.protocol.dimensions import DIMENSIONS, dimensions_of

UNKNOWN_LICENSE = "unknown"
"""What the hub calls a licence that nobody has named: `mer` cannot know what a corpus and its encoders allow."""
Told = tuple[str, Mapping[str, str] | None]
HUB_METRICS: Mapping[str, Told] = {
    "ua": ("recall", {"average": "macro"}),
    "wa": ("accuracy", None),
    "macro_f1": ("f1", {"average": "macro"}),
}
"""Measure to what the hub calls it, and how it is taken over classes."""
RATING_METRICS: Mapping[str, Told] = dict.fromkeys(("ccc", *(f"ccc_{name}" for name in DIMENSIONS)), ("ccc", None))
"""The same of ratings: the hub has no name for the concordance correlation coefficient, which keeps ours."""


def card_metadata(
    result: Mapping[str, Any],
    encoders: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    protocol: str,
    license: str,
) -> str:
    """The lines between the two `---` at the top of a card, in YAML.

    Args:
        result: what `result.json` holds.
        encoders: `speech` and `text`, or `speech@wavlm` of several, as the features or the result identify them.
        title: what the model is called.
        protocol: what each fold was tested on, in words.
        license: identifier of a licence, as the hub has them.
    """
    corpus = published_corpus(result, encoders)
    results = _measured(result, corpus, protocol)
    data = ModelCardData(
        language=_one_or_all(_languages(result, corpus)),
        license=license,
        library_name="mer",
        pipeline_tag="audio-classification" if _hears(result) else "text-classification",
        tags=["speech-emotion-recognition", *(["synthetic-speech"] if result["synthetic"] else [])],
        base_model=base_models(encoders) or None,
        datasets=[corpus] if corpus else None,
        metrics=list(dict.fromkeys(each.metric_type for each in results)) or None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def check_license(license: str) -> None:
    """Refuse what the hub would not read as the identifier of a licence; whether it knows it is seen when a card is uploaded.

    Raises:
        PredictError: other signs than those of identifiers.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise PredictError(
            f"licence {license!r}: expected an identifier of the Hugging Face hub, such as mit, cc-by-nc-4.0, other or "
            f"{UNKNOWN_LICENSE}"
        )


def base_models(encoders: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Hub ids of the encoders; one that was a folder here has no revision, and no page on the hub that could be linked to."""
    known = [encoders[name] for name in sorted(encoders) if name.partition("@")[0] in ("speech", "text")]
    return list(dict.fromkeys(each["model"] for each in known if each.get("revision")))


def published_corpus(result: Mapping[str, Any], encoders: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The kind of corpus that a result was trained on, where that is one corpus and not a format in which any may be.

    A fine-tuned result knows the name of its corpus only, which is that of its kind unless it was a table.
    """
    name = str(encoders.get("corpus", {}).get("kind", result["corpus"]))
    return name if not result["synthetic"] and name in CORPORA and CORPORA[name].languages else None


def _languages(result: Mapping[str, Any], corpus: str | None) -> tuple[str, ...]:
    if result["synthetic"]:
        return ("en",)  # `mer synth` speaks nothing else
    return () if corpus is None else CORPORA[corpus].languages


def _one_or_all(languages: tuple[str, ...]) -> str | list[str] | None:
    return list(languages) if len(languages) > 1 else next(iter(languages), None)


def _hears(result: Mapping[str, Any]) -> bool:
    return bool({name.partition("@")[0] for name in result["branches"]} - {"T", "text"})


def _measured(result: Mapping[str, Any], corpus: str | None, protocol: str) -> list[EvalResult]:
    """Each measure that the hub knows, as the mean over folds and seeds, rounded as the card's table is."""
    scores = result["summary"]["all"]
    told = RATING_METRICS if dimensions_of(result["config"]) else HUB_METRICS
    return [
        EvalResult(
            task_type="audio-classification" if _hears(result) else "text-classification",
            task_name="Speech emotion recognition",
            dataset_type=str(result["corpus"]),
            dataset_name=CORPORA[corpus].title if corpus else str(result["corpus"]),
            dataset_args={"protocol": protocol},
            metric_type=hub_name,
            metric_name=f"{METRICS[name].title}, mean of folds",
            metric_value=round(scores[name]["mean_of_folds"], 4),
            metric_args=None if how is None else dict(how),
        )
        for name, (hub_name, how) in told.items()
        if scores.get(name, {}).get("mean_of_folds") is not None  # earlier results have fewer
    ]
