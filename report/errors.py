"""What a report refuses."""


class ReportError(ValueError):
    """Runs that cannot be reported: no run at a path, different corpora in one table."""
