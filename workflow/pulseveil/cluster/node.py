"""Facts about the node of a trial job, as JSON on standard output.

Usage: `python -m pulseveil.cluster.node GPUS`. Only with GPUs in the job, TensorFlow is imported.
"""

import json
import os
import sys

import pulseveil


def main() -> None:
    """Print the node's name, the version of PulseVeil there, and the number of GPUs that TensorFlow sees."""
    gpus = None
    if sys.argv[1] != "0":
        import tensorflow

        gpus = len(tensorflow.config.list_physical_devices("GPU"))
    node = os.environ.get("SLURMD_NODENAME", "")
    print(json.dumps({"node": node, "version": pulseveil.__version__, "gpus": gpus}))


if __name__ == "__main__":
    main()
