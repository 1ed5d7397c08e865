"""The notebook of the documentation: it is the script beside it, and it runs."""

import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import notebook  # noqa: E402


def outputs(cells):
    """Printed text of each code cell."""
    return [
        "".join(output["text"] for output in cell["outputs"] if output["output_type"] == "stream")
        for cell in cells
        if cell["cell_type"] == "code"
    ]


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(notebook.NOTEBOOK, as_version=4)


def test_the_notebook_has_the_words_and_the_code_of_the_script(kept):
    found = [(cell["cell_type"], cell["source"]) for cell in kept["cells"]]
    wanted = [(cell["cell_type"], cell["source"]) for cell in notebook.cells(notebook.SCRIPT.read_text())]
    assert found == wanted
    code = "\n\n".join(source for kind, source in found if kind == "code")
    lines = [line for line in notebook.SCRIPT.read_text().split('"""')[2].splitlines() if line]
    assert [line for line in code.splitlines() if line] == [line for line in lines if line[0] != "#"]


def test_the_notebook_runs_and_prints_what_it_shows(kept):
    again = notebook.executed(nbformat.v4.new_notebook(cells=notebook.cells(notebook.SCRIPT.read_text())))
    shown, found = outputs(kept["cells"]), outputs(again["cells"])
    assert len(shown) == len(found)
    assert all(cell["execution_count"] for cell in kept["cells"] if cell["cell_type"] == "code")
    # Accuracies depend on secret noise; what is spent and what is stated do not.
    changing = [i for i, text in enumerate(shown) if "subject" in text and "epsilon" not in text]
    assert len(changing) == 1
    assert [text for i, text in enumerate(shown) if i not in changing] == [
        text for i, text in enumerate(found) if i not in changing
    ]
