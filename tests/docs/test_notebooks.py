"""The notebooks run as they are stored, on loans of people who do not exist; a cell that raises fails the test."""

import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from ml import artifact
from ml.data import Dataset
from ml.train import train
from tests.docs.tables import DOCS, REPOSITORY
from tests.ml.conftest import KEY, for_epochs
from tests.ml.portfolio import portfolio

NOTEBOOKS = DOCS / "notebooks"
SECONDS = 900


@pytest.fixture(scope="module")
def loans() -> Dataset:
    return portfolio(2_400, seed=21)


@pytest.fixture
def directory(loans: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the loans lie, and no settings of whoever runs the tests."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    loans.save(tmp_path / "loans.parquet")
    return tmp_path


def run(name: str, directory: Path) -> str:
    """Execute a notebook beside the loans and return all that it has written."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(directory)}})
    client.execute(env=os.environ | {"PYTHONPATH": str(REPOSITORY), "MODEL_KEY": KEY.decode()})
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def test_exploring_says_what_is_in_the_loans(directory: Path, loans: Dataset) -> None:
    said = run("explore.ipynb", directory)
    assert f"2,400 loans with {len(loans.names)} numbers each" in said
    assert f"{loans.default.mean():.1%} more than 30 days late" in said
    assert "0 of 2,400 loans have a number that cannot be true" in said
    assert "mean_days_late               AUC 0." in said


def test_a_challenger_beats_the_champion_and_has_its_card(directory: Path, loans: Dataset) -> None:
    young = train(loans.take(np.arange(400)), seed=1, plan=for_epochs(2))
    artifact.save(young, directory / "champion", key=KEY)
    said = run("challenger.ipynb", directory)
    assert "\nbetter: log-loss 0." in said and "passed AUC" in said
    assert artifact.load(directory / "challenger", key=KEY).manifest["loans"] == 2_400
    page = (directory / "challenger.html").read_text()
    assert "amount large" in page and "Drift against the champion" in page
    assert (directory / "challenger.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_what_it_said(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and all(not cell.outputs and cell.execution_count is None for cell in cells)
