"""The run directory, without torch: who writes it, who reads it, what its files are called.

`load` reads a finished result; `run_directory` writes one and knows which of its runs are finished; `run_files` reads whole
files or says what is wrong with one (`ResultError`); `artefact` looks at files that others are writing meanwhile, where
nothing is an error.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.results.errors import ResultError as ResultError
    from mer.results.rated_predictions import RatingRow as RatingRow
    from mer.results.result import Result as Result
    from mer.results.result import RunDone as RunDone
    from mer.results.run_answers import RunLogits as RunLogits
    from mer.results.run_files import PredictionRow as PredictionRow
    from mer.results.saved_result import SavedResult as SavedResult
    from mer.results.saved_result import frame as frame
    from mer.results.saved_result import load as load
else:
    __getattr__ = lazy(__name__)
