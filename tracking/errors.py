"""What goes wrong with a tracker."""

from mer.results import Result


class TrackingError(ValueError):
    """A tracker that is not installed or not ready, or one that failed after a result was written."""

    def __init__(self, message: str, result: Result | None = None) -> None:
        super().__init__(message)
        self.result = result
        """The result, which is whole; None where nothing was trained yet."""
