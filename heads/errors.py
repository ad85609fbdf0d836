"""What training refuses, and how a run fails."""


class HeadError(ValueError):
    """A head that cannot be trained as asked: bad settings, unfit features, a foreign run directory."""


class DivergedError(HeadError):
    """One run whose loss is no longer a number; the other runs go on."""


class UnfinishedError(HeadError):
    """A result that cannot be written yet: runs of it are still to be trained, by this command or by others."""
