"""Write docs/examples/in_python.ipynb: docs/examples/in_python.py as an executed notebook.

python docs/notebook.py
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode, v4

EXAMPLES = Path(__file__).parent / "examples"
SCRIPT, NOTEBOOK = EXAMPLES / "in_python.py", EXAMPLES / "in_python.ipynb"
_SECONDS_PER_CELL = 300


def cells(script: str) -> list[NotebookNode]:
    """Cells of a script: per paragraph its first comment as text, then its code."""
    _, title, body = script.split('"""', 2)
    found = [v4.new_markdown_cell(f"# In Python\n\n{title.strip()}")]
    for paragraph in body.strip().split("\n\n"):
        lines = paragraph.splitlines()
        comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        text = "\n".join(line.removeprefix("#").strip() for line in lines[:comments])
        found += [v4.new_markdown_cell(text)] if text else []
        found += [v4.new_code_cell("\n".join(lines[comments:]))]
    for number, cell in enumerate(found):
        # A random name would change the file with each writing.
        cell["id"] = f"cell-{number}"
    return found


def executed(notebook: NotebookNode) -> NotebookNode:
    """The notebook with the outputs of its code; raises CellExecutionError where a cell fails."""
    client = NotebookClient(notebook, timeout=_SECONDS_PER_CELL, record_timing=False)
    done: NotebookNode = client.execute()
    return done


def main() -> None:
    """Write the notebook."""
    notebook = executed(v4.new_notebook(cells=cells(SCRIPT.read_text())))
    # The version of the interpreter that wrote the file concerns nobody.
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
