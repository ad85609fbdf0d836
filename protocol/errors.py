"""What the protocol refuses."""


class ProtocolError(ValueError):
    """Data that cannot be evaluated as asked, or scores that do not belong together."""
