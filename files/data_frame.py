"""Columns as a pandas data frame, where pandas is installed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

INSTALL = 'python -m pip install "mer-fusion[pandas]"'


class MissingPandasError(ImportError):
    """A data frame was asked for, and pandas is not installed; the text has the command that installs it."""


def data_frame(columns: Mapping[str, Sequence[Any]]) -> "pandas.DataFrame":
    """A data frame with these columns, one row for each of their values.

    Raises:
        MissingPandasError: the extra `pandas` is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingPandasError(f"a data frame needs the extra `pandas`, which is not installed: {INSTALL}") from None
    return pandas.DataFrame(dict(columns))
