"""Trainings of jobs within the process of the tests."""

from collections.abc import Iterator

import pytest

from pulseveil.core import tensorflow


@pytest.fixture(scope="module", autouse=True)
def threads_stay() -> Iterator[None]:
    """Leave TensorFlow its threads: an earlier test of this process may have started it with others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow, "start", lambda threads: None)
        yield
