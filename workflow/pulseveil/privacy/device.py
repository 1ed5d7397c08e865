"""What computed a private training: equal programs round alike on equal devices only."""

from __future__ import annotations

import platform
from pathlib import Path

import tensorflow as tf

from pulseveil.privacy.ledger import package_versions

_CPU_FILE = Path("/proc/cpuinfo")


def describe_device() -> tuple[str, ...]:
    """Processor, accelerators, threads and versions of the libraries that take part."""
    names = [f"{name} {version}" for name, version in package_versions().items()]
    accelerators = [
        str(tf.config.experimental.get_device_details(device).get("device_name", device.name))
        for device in tf.config.list_physical_devices("GPU")
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return (_processor(), *accelerators, f"{threads} threads", *names)


def _processor() -> str:
    """Its model where the system tells it, else its architecture."""
    if _CPU_FILE.exists():
        for line in _CPU_FILE.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
