"""Snakemake as a child process that is interrupted when its controller dies.

Usage: `python -m pulseveil.cluster.bound PARENT ARGUMENT...`. A controller that is killed cannot end its
Snakemake. The kernel then sends SIGINT to Snakemake, which cancels its jobs and ends. So no second Snakemake
works beside it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run Snakemake with the arguments after the parent's process id.

    Raises:
        SystemExit: The parent has ended already.
    """
    parent, *arguments = sys.argv[1:]
    # SIGINT, not SIGTERM: at SIGTERM Snakemake leaves its jobs in the queue.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    # For a parent that ended before the call above, the kernel sends no signal.
    if os.getppid() != int(parent):
        sys.exit("the controller has gone")
    # SLURM's warning of a time limit reaches all processes of the controller's job. Only the controller acts
    # on it: the default action would end Snakemake.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # Snakemake writes into a pipe to the controller, which nobody reads once the controller is gone.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    from snakemake.cli import main as snakemake

    snakemake(arguments)


if __name__ == "__main__":
    main()
