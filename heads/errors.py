"""What training refuses, and how a run fails."""


class HeadError(ValueError):
    """A head that cannot be trained as asked: bad settings, unfit features, a foreign run directory."""


class DivergedError(HeadError):
    """One run whose loss is no longer a number; the other runs go on."""
