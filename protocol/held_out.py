"""What of the training sessions chooses the epoch: words that need no arrays."""

from typing import Literal

Validation = Literal["random", "session", "group"]
"""How the validation part is chosen: a random share of the training utterances, one whole training session, or whole groups
of what is left out (speakers, dialogues ...) that make up the share."""

HeldOut = Literal[Validation, "none"]
"""The same, or nothing: every training utterance is trained on, and no epoch can be chosen."""
