"""Snakemake, bound to the life of its controller: `python -m pulseveil.cluster.bound PARENT ARGUMENT...`.

A controller that is killed can tell nobody. The kernel then sends Snakemake the signal at which it cancels
its jobs and ends, so that no second Snakemake ever works beside it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run Snakemake with the arguments after the parent's process id."""
    parent, *arguments = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != int(parent):
        sys.exit("the controller has gone")
    # SLURM's warning of a time limit reaches all processes of the controller's job, and is not for this one.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # The words of Snakemake go through the controller: when it is gone, nobody reads them.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    from snakemake.cli import main as snakemake

    snakemake(arguments)


if __name__ == "__main__":
    main()
