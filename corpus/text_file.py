"""Small text files of unknown encoding and line ends."""

from pathlib import Path

from mer.corpus.utterance import CorpusError
from mer.files.regular_file import read_file


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends: UTF-8 where it is valid, else Latin-1, which always is.

    Lines end with LF or CRLF only; other characters that Unicode calls line ends stay in the line.

    Raises:
        CorpusError: if the file cannot be read.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return [line.removesuffix("\r") for line in text.split("\n")]
