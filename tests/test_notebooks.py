"""The notebooks: they run from top to bottom without an error or a warning, and are stored with their outputs.

`TFINPUT_STORE_NOTEBOOKS=1 pytest tests/test_notebooks.py` stores the outputs of the run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def complaints(notebook: Any) -> list[str]:
    """Errors, and whatever went to standard error: warnings and logs."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    errors = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    return errors + [output.text for output in outputs if output.get("name") == "stderr"]


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["accelerators", "from_fit_generator", "images", "quickstart"]


@each_notebook
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    how = {"timeout": 240, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, **how).execute()
    assert complaints(notebook) == []
    if os.environ.get("TFINPUT_STORE_NOTEBOOKS"):
        notebook.metadata.language_info = {"name": "python"}
        nbformat.write(notebook, path)


@each_notebook
def test_it_is_stored_with_its_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.source for cell in cells[1:] if not cell.outputs] == []  # The first cell only imports.
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds
    assert complaints(notebook) == []


@each_notebook
def test_it_names_no_path_of_the_machine_it_ran_on(path: Path) -> None:
    text = path.read_text()
    assert [word for word in (str(ROOT), str(Path.home()), "/tmp/", "site-packages") if word in text] == []
