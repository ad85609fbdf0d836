"""What a report refuses."""


class ReportError(ValueError):
    """Runs that cannot be reported: no run at a path, a damaged file, different corpora in one table."""
