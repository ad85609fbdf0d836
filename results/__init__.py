"""The run directory, without torch: who writes it, who reads it, what its files are called.

`run_directory` writes one result and knows which of its runs are finished; `run_files` reads whole files or says what is
wrong with one (`ResultError`); `artefact` looks at files that others are writing meanwhile, where nothing is an error.
"""

from mer.results.errors import ResultError as ResultError
from mer.results.result import Result as Result
from mer.results.result import RunDone as RunDone
