"""The pictures of README and quick start, from a finished demo: `python docs/pictures.py results/demo`."""

import shutil
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from pulseveil.summary.terminal import WIDTH, read_main_table, terminal_summary

results, docs = Path(sys.argv[1]), Path(__file__).parent
console = Console(width=WIDTH, record=True, file=StringIO())
console.print(terminal_summary(read_main_table(results / "tables" / "main.csv"), []), highlight=False)
console.save_svg(str(docs / "demo-table.svg"), title="make demo")
shutil.copy(results / "figures" / "main.png", docs / "demo-figure.png")
