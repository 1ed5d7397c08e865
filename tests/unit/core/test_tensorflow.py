"""What TensorFlow writes to the terminal at its start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pulseveil.core.tensorflow import without_notices

START = """
from pulseveil.core import tensorflow
tensorflow.start(1)
import tensorflow as tf
tf.ones(3) + tf.ones(3)
"""


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="a driver may have something to report")
def test_a_start_without_a_gpu_writes_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_everything_but_notices_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    lines = (
        b"I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on.\n",
        b"E0000 00:00:1 1 dso_loader.cc:9] a library is damaged\n",
        b"Segmentation of a plain line\n",
    )
    with without_notices():
        os.write(2, b"".join(lines))
    assert capfd.readouterr().err.encode() == lines[1] + lines[2]
