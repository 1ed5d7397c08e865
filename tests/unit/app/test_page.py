"""The page itself where no browser is needed, and the command that serves it."""

import sys

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette import App

from pulseveil.app import body, page, serving


@pytest.fixture
def run(monkeypatch):
    def started(folder):
        monkeypatch.setattr(sys, "argv", ["page.py", "--folder", str(folder)])
        return AppTest.from_file(page.__file__, default_timeout=60).run()

    return started


def test_without_models_the_page_names_the_command_that_makes_them(run, tmp_path):
    shown = run(tmp_path)
    assert not shown.exception
    (told,) = shown.info
    assert f"No trained generators below `{tmp_path}/results`" in told.value
    assert "snakemake --cores 2 --configfile config/private.yaml" in told.value
    assert not shown.button


def test_a_damaged_model_is_a_sentence(run, tmp_path):
    path = tmp_path / "results/s/generators/c/moments/unit=subject/epsilon_generator=8/seed=0.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no model")
    shown = run(tmp_path)
    assert not shown.exception
    assert "not a readable HDF5 file" in shown.error[0].value


def test_a_card_on_the_page_has_smaller_headings():
    assert body._demoted("# A\n\n## B\nC # D\n") == "### A\n\n#### B\nC # D\n"


def test_the_server_is_for_this_machine_only_and_tells_nobody(monkeypatch):
    asked = {}
    monkeypatch.setattr(App, "run", lambda _, config: asked.update(config))
    serving.serve(serving.options(["--folder", "folder"]))
    assert asked["browser.gatherUsageStats"] is False
    assert asked["server.headless"] is True
    assert asked["server.address"] == "localhost"
