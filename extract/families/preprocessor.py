"""The preprocessor config of a speech encoder's checkpoint: how its audio was prepared in training."""

from typing import Any

from transformers import AutoFeatureExtractor

from mer.extract.checkpoint_files import COPY_AGAIN
from mer.extract.pretrained import EncoderError

SAMPLE_RATE = 16_000
"""Hz, where a preprocessor config states no rate."""


def load_preprocessor(title: str, name: str, revision: str | None) -> tuple[Any, dict[str, Any]]:
    """The feature extractor, and what its file states; its rate is stated here where the file leaves it open.

    Args:
        title: option and checkpoint, for errors.
        name: hub id or folder.
        revision: branch, tag or commit of a hub id.

    Raises:
        EncoderError: no such file, one that cannot be read, or a rate that is none.
    """
    try:
        found: Any = AutoFeatureExtractor.from_pretrained(name, revision=revision, trust_remote_code=False)
        stated, _ = type(found).get_feature_extractor_dict(name, revision=revision)
    except Exception as problem:  # damaged files end in whatever error transformers happens to meet
        raise EncoderError(
            f"{title}: no readable preprocessor_config.json (it says at which rate and with which normalisation the "
            "encoder was trained); copy it from where the checkpoint comes from"
        ) from problem
    found.sampling_rate = stated.get("sampling_rate", SAMPLE_RATE)
    if type(found.sampling_rate) is not int or found.sampling_rate < 1:
        raise EncoderError(
            f"{title}: preprocessor_config.json has sampling_rate = {found.sampling_rate!r}; expected a number of Hz. "
            f"{COPY_AGAIN.capitalize()}"
        )
    return found, stated


def takes_spectra(title: str, found: Any, kind: type) -> None:
    """Refuse a preprocessor that is not the one of a family, as when files of two checkpoints are in one folder.

    Args:
        title: option and checkpoint, for errors.
        found: of `load_preprocessor`.
        kind: what the family's checkpoints have.

    Raises:
        EncoderError: it is of another kind.
    """
    if not isinstance(found, kind):
        raise EncoderError(
            f"{title}: its preprocessor_config.json is that of a {type(found).__name__}, its encoder takes a {kind.__name__}: "
            f"they are not of one checkpoint; {COPY_AGAIN}"
        )
