"""Set-up of TensorFlow, once per process: number of threads, deterministic operations, no notices in logs."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Notices of TensorFlow's libraries at its start: levels INFO, and continuations of such lines.
_NOTICE = re.compile(
    r"I\d{4} |WARNING: All log messages before absl::InitializeLog|To enable the following instructions:"
)
# Without the driver's device file, each start reports that there is no driver.
_NO_DRIVER = re.compile(r"E\d{4} .*failed call to cuInit")
_DRIVER = Path("/dev/nvidiactl")


def start(threads: int) -> None:
    """Import TensorFlow with `threads` CPU threads, deterministic operations and full float32 products.

    The program calls this function, not the library, before TensorFlow computes anything. A second call with
    the same number changes nothing.

    Raises:
        RuntimeError: TensorFlow already runs with another number of threads.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_notices():
        # Not at the top: the import takes 12 s, and no plan of a study may wait for it.
        import tensorflow as tf

        # The first look for devices writes more of them.
        tf.config.list_physical_devices()
    # A sum is rounded differently if more threads share it, so `threads` belongs to the identity of results.
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    # By default GPUs round factors to 10 bits (TF32). Measured on an H100: norms of records were off by 4e-4,
    # and one clipped gradient was 2e-5 above the clip norm, which breaks the accounted sensitivity.
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextmanager
def without_notices() -> Iterator[None]:
    """Drop the lines of `_NOTICE` that the block writes to file descriptor 2; others come after the block.

    TF_CPP_MIN_LOG_LEVEL does not reach them: libraries write them before TensorFlow reads the variable.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            lines = written.read().decode(errors="replace").splitlines(keepends=True)
            os.write(2, "".join(line for line in lines if not _is_notice(line)).encode())


def _is_notice(line: str) -> bool:
    return bool(_NOTICE.match(line) or (_NO_DRIVER.match(line) and not _DRIVER.exists()))


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU; imports TensorFlow."""
    with without_notices():
        import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
