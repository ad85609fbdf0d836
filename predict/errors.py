"""What prediction refuses."""


class PredictError(ValueError):
    """A saved run that cannot answer as asked, or a recording that it cannot answer for."""
