"""Granularities as a cache calls them, whatever a head's config calls them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mer.cache.granularity import encoder_of, in_order, is_text, stream, unit_of
from mer.cache.set_file import short_name
from mer.heads.config import HeadConfig
from mer.heads.errors import HeadError
from mer.heads.features.features import Features


def in_cache(config: HeadConfig, cache: Features) -> HeadConfig:
    """The same head with the names that a cache has for its granularities.

    `F` of a set with one speech encoder is `F@wavlm`, `F@wavlm` of a set that calls it `wavlm-large` is that, and of a cache of
    one encoder, of which it is the name or begins it, `F`. What is not held stays as it is.

    Args:
        config: a head.
        cache: a cache, or a set of several.

    Raises:
        HeadError: a granularity that several encoders have, with the choices.
    """
    held = tuple(_held(name, cache.granularities, cache.spec) for name in config.branches)
    if held == config.branches:
        return config
    return replace(config, granularities=tuple(name for name in held if name != "T"))


def what_holds(granularities: Iterable[str]) -> str:
    """The command that makes a cache, or a set of caches, with these granularities."""
    wanted = in_order(granularities)
    encoders = dict.fromkeys(stream(name) for name in wanted if encoder_of(name))
    if not encoders:
        return f"`mer extract --granularity {'+'.join(wanted)}`"
    units = "+".join(dict.fromkeys(map(unit_of, wanted)))
    models = " ".join(f"--{kind}-model {name}=..." for kind, _, name in (each.partition("@") for each in encoders))
    return f"`mer extract --granularity {units} {models}`"


def _held(name: str, granularities: Sequence[str], spec: Mapping[str, Any]) -> str:
    if name in granularities:
        return name
    unit, encoder = unit_of(name), encoder_of(name)
    found = [each for each in granularities if unit_of(each) == unit and encoder_of(each).startswith(encoder)]
    if len(found) > 1:
        kind = "text" if is_text(name) else "speech"
        raise HeadError(
            f"granularity {name} is of several {kind} encoders here: say which of {', '.join(found)}, or several, "
            f"such as {'+'.join(found[:2])}"
        )
    if found:
        return found[0]
    model = (spec.get(stream(unit)) or {}).get("model", "")
    return unit if unit in granularities and short_name(str(model)).startswith(encoder) else name
