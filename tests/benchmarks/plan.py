"""Seconds to plan a study of 100,000 runs, imports not counted: `python tests/benchmarks/plan.py`."""

import sys
import time
from pathlib import Path

import yaml

from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    values = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()) | {"seeds": 93}
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        runs = make_plan(check_study(values, "paper.yaml")).runs()
        seconds.append(time.perf_counter() - started)
    print(f"{len(runs)} runs: best {min(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}")
    print(f"TensorFlow imported: {'tensorflow' in sys.modules}")


if __name__ == "__main__":
    main()
