"""Whether the numbers of an earlier cache are what they are taken for.

Two things were once whatever came out, and are stated in the `spec.json` of caches made since: the last layer of
speech encoders that end in a norm (`transformers` gives it with that norm up to 5.14 and without it from 5.16), and text
encoders whose numbers depend on the other texts of a batch. A cache without the statement may be of an encoder that needs
none, or may have been made when the numbers came out right, so it is looked at before it is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from mer.cache.cache_error import CacheError
from mer.cache.cache_set import CacheSet
from mer.cache.feature_cache import FeatureCache
from mer.cache.granularity import stream

CLOSED_BY_NORM = ("wav2vec2", "hubert", "wavlm")
"""Types of speech encoders whose caches did not say it once, and that end in a norm in some checkpoints. History, and no
list of families: caches of later families have always said it, and data2vec-audio, of which there are such caches, never
ends in a norm."""
FIRST_WITHOUT_NORM = (5, 15)
"""Versions of transformers before this one give the last layer with the closing norm."""
BATCH_DEPENDENT = ("convbert", "fnet", "mobilebert", "nystromformer", "yoso")
"""Types of text encoders whose texts were once mixed in padded batches. History as well: any encoder is tried now."""

_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-23, "float64": 2.0**-24}
"""Largest relative error of a value that went through a type; 2**-23 leaves float32 a step for the norm itself."""
_NORMED, _RAW = 4.0, 30.0
"""Up to the first, a direction varies no more than rounding does; from the second on, surely more."""
_DENSE = 0.1
"""Share of the dimensions that a norm's direction has to spread over; it has weight in all of them."""


class OutdatedCacheError(CacheError):
    """A cache of an earlier version with numbers that are, or may be, other than stated."""


def check_numbers(cache: FeatureCache, granularity: str, layers: Sequence[int] | None = None) -> str | None:
    """Refuse what an earlier version stored otherwise than it is taken for.

    Args:
        cache: of any version.
        granularity: one that it holds and that is wanted.
        layers: numbers of the wanted encoder layers; None = all that are stored.

    Returns:
        What to tell where it cannot be known; None where all is well.

    Raises:
        OutdatedCacheError: saying what is wrong, and how to make the cache anew.
    """
    encoder = cache.spec.get(stream(granularity))
    if not isinstance(encoder, Mapping):
        return None
    if granularity == "T":
        _check_batches(cache, encoder)
        return None
    top = max(cache.layers(granularity))
    wanted = cache.layers(granularity) if layers is None else layers
    if top == 0 or top not in wanted or encoder.get("type") not in CLOSED_BY_NORM or "last_layer" in encoder:
        return None
    if _stated_by_a_shard(cache) or all(_before_the_change(each) for each in cache.provenances):
        return None
    normed = ends_in_norm(cache)
    if normed:
        return None
    made = sorted({str(each.get("transformers", "an unknown version")) for each in cache.provenances})
    name = f"{cache.folder.path}: layer {top} of {encoder.get('model')}"
    if normed is None:
        return (
            f"{name} may lack the encoder's closing norm: the cache was made with transformers {', '.join(made)}, does not "
            "say, and its values do not tell. It is right for base encoders; for large ones (do_stable_layer_norm) run "
            "`mer extract` again"
        )
    raise OutdatedCacheError(
        f"{name} was stored without the encoder's closing norm, as transformers from 5.16 on hands it out (this cache: "
        f"{', '.join(made)}; its values are not normalised). mer takes the last layer with that norm now, so the two must not be "
        f"mixed, and nothing is trained on this one: run `mer extract` again, which makes a new cache beside it. Layers below "
        f"{top} are right: --layers leaves {top} out. (If {top} is not the encoder's last layer, it is right, too, but such a "
        "cache does not say so: delete one .json in its shards/, and the shard that `mer extract` then makes again says it.)"
    )


def doubt(cache: FeatureCache | CacheSet) -> str | None:
    """What to tell of a cache whose numbers cannot be judged; what can be refused is, where it is used."""
    try:
        return next((note for name in cache.granularities if (note := check_numbers(*cache.holder(name)))), None)
    except OutdatedCacheError:
        return None


def ends_in_norm(cache: FeatureCache) -> bool | None:
    """Whether the highest stored layer of speech is the output of a LayerNorm; None where its values do not tell.

    What a norm puts out, g x + b with x of mean zero over the dimensions, has sum((h - b) / g) = 0: one direction in which
    it does not vary, whatever g and b are, and neither do averages of it. On disk, that direction varies by rounding alone.
    """
    states = _sample(cache)
    if len(states) < 2 * states.shape[1]:
        return None
    spec = cache.spec
    rounding = max(_ROUNDING[spec["storage"]["dtype"]], _ROUNDING.get(spec.get("compute", {}).get("dtype", "float32"), 0.0))
    flattest, direction = flattest_direction(states, rounding)
    if flattest > _RAW:
        return False
    dense = 1 / (direction**4).sum() / len(direction)
    return True if flattest <= _NORMED and dense >= _DENSE else None


def flattest_direction(states: Float[np.ndarray, "units dim"], rounding: float) -> tuple[float, Float64[np.ndarray, " dim"]]:
    """The direction in which units vary least, and by how much, in units of the variance that rounding makes.

    Args:
        states: vectors of one layer.
        rounding: largest relative error of each value. The mean square of it over a binade is a sixth of its square.
    """
    states = states.astype(np.float64)
    noise = np.sqrt((states**2).mean(0) * rounding**2 / 6)
    scaled = (states - states.mean(0)) / np.where(noise > 0, noise, 1.0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    return float(values[0]), vectors[:, 0]


def _sample(cache: FeatureCache) -> Float[np.ndarray, "units dim"]:
    """The highest layer of the finest granularity, of utterances all over the cache: eight units a dimension, or all."""
    granularity = next(name for name in cache.granularities if name != "T")
    stored = cache.layers(granularity)
    position, wanted = stored.index(max(stored)), 8 * cache.dim(granularity)
    found, units = [], 0
    order = np.random.default_rng(0).permutation(len(cache.utterances.ids))
    for row in order.tolist():
        found.append(np.array(cache.read(cache.utterances.ids[row], granularity)[:, position]))
        units += len(found[-1])
        if units >= wanted:
            break
    return np.concatenate(found)


def _check_batches(cache: FeatureCache, encoder: Mapping[str, Any]) -> None:
    if encoder.get("type") in BATCH_DEPENDENT and "batches" not in encoder:
        raise OutdatedCacheError(
            f"{cache.folder.path}: its T come from {encoder.get('model')}, a {encoder['type']} encoder, in padded batches, and "
            "what such an encoder makes of a text depends on the others in the batch. Run `mer extract` again: texts go through "
            "it one by one now, into a new cache beside this one"
        )


def _stated_by_a_shard(cache: FeatureCache) -> bool:
    """Whether a shard of a later version says that the highest stored layer was never in question.

    All shards of a cache are of the same weights. Where the layer is in question, a later version has another key.
    """
    return any(
        isinstance(each.get("encoder_layers"), Mapping) and "speech" in each["encoder_layers"] for each in cache.provenances
    )


def _before_the_change(provenance: Mapping[str, Any]) -> bool:
    if "resegmented_from" in provenance:  # of its own version, not of the one that made the frames
        return False
    found = re.match(r"(\d+)\.(\d+)", str(provenance.get("transformers", "")))
    return found is not None and (int(found[1]), int(found[2])) < FIRST_WITHOUT_NORM
