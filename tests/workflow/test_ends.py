"""Ends of a run of Snakemake that something asks for while it works."""

import subprocess
import sys

# Snakemake writes this message while its main thread holds the lock that its handler of SIGTERM waits for.
SNAKEFILE = """
import logging, os, signal
from pulseveil.cluster import listener
class Ends(logging.Handler):
    def emit(self, record):
        if "Trying to restart job" in record.getMessage():
            os.kill(os.getpid(), signal.SIGTERM)
onstart:
    listener.listen(workflow, "light")
    workflow.logger_manager.logger.addHandler(Ends())
rule fails:
    output: "a.txt"
    retries: 1
    shell: "exit 3"
"""


def test_a_run_that_is_told_to_end_at_a_bad_moment_ends(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "Will exit after finishing currently running jobs" in done.stderr
