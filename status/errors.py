"""What a status cannot be given of."""


class StatusError(ValueError):
    """A place where nothing of mer lies; says what was looked for."""
