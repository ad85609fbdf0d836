"""The packages of the extra `align`."""

import importlib
from types import ModuleType

from mer.corpus.aligner.align_error import AlignError

EXTRA_PACKAGES = ("pocketsphinx", "num2words", "espeakng_loader")
"""The modules that the extra brings, and that the aligner `pocketsphinx` needs."""


def extra_package(name: str) -> ModuleType:
    """Import a package that comes with the extra `align`.

    Args:
        name: of its module.

    Raises:
        AlignError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AlignError(
            f"`mer align` needs the package {name}, which is not installed: `pip install 'mer-fusion[align]'` brings "
            "pocketsphinx with its model, espeak-ng and num2words"
        ) from error
