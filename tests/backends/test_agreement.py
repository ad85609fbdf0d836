"""Versions on the nodes must be the launcher's."""

import socket

import pytest

from mer.backends import BackendError
from mer.backends.agreement import check_same

OURS = {"mer": "0.3.0", "torch": "2.13.0", "numpy": "2.3"}


def test_the_same_versions_pass() -> None:
    check_same(OURS, dict(reversed(OURS.items())))


def test_every_difference_is_named_with_the_host() -> None:
    with pytest.raises(BackendError, match="install the same") as refused:
        check_same(OURS | {"transformers": "5.1"}, OURS | {"torch": "2.10.0", "mer": "0.2.0"})
    said = str(refused.value)
    assert f"node {socket.gethostname()} has" in said
    assert "torch 2.10.0 (the launcher has 2.13.0)" in said
    assert "mer 0.2.0 (the launcher has 0.3.0)" in said
    assert "transformers missing (the launcher has 5.1)" in said
    assert "numpy" not in said
