"""The front end in Chromium: what a user can see, do and download, and what nobody can."""

import hashlib
import io
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.by import By

from pulseveil.app import catalogue, synthesis
from pulseveil.core import store
from pulseveil.core.contracts import SyntheticSet
from pulseveil.release.export import export_csv

pytestmark = pytest.mark.browser


def trained(models_folder, study, epsilon, fold="S1"):
    (file,) = [f for f in catalogue.find_models(models_folder) if (f.study, f.epsilon) == (study, epsilon)]
    return catalogue.open_model(file, fold)


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def words(text):
    return " ".join(text.split())


@pytest.fixture
def private(page):
    """The page at the private model of the study `small`."""
    page.choose("study", "small")
    page.wait_for("epsilon 8, delta 1e-05, for one whole person")
    return page


def test_the_statement_of_the_chosen_model_can_be_read(private, models_folder):
    assert "NOT PRIVATE" not in private.text
    private.click("statement", "summary")
    expected = words(trained(models_folder, "small", 8.0).facts.claim.statement)
    assert expected.startswith("What is protected")
    # It unfolds slowly: text that is still hidden does not count.
    private.wait(lambda: words(private.of("statement", "code")[0].text) == expected, "the whole statement")


def test_a_downloaded_csv_holds_what_the_library_makes_and_its_card(private, models_folder, tmp_path):
    private.choose("fold", "all people except S2")
    for key, value in {"subjects": 2, "windows": 10, "seed": 5}.items():
        private.enter(key, value)
    private.enter("share-not-stress", 40)
    private.enter("share-stress", 60)
    private.click("generate", "button")
    private.wait_for("Synthetic subjects: 2, windows: 20")
    downloaded = private.download()
    files = read_zip(downloaded)
    (name,) = [name for name in files if name.endswith(".csv")]
    made = synthesis.make(
        trained(models_folder, "small", 8.0, "S2"), synthesis.Request(2, 10, (0.4, 0.6), seed=5)
    )
    export_csv(tmp_path / "expected.csv", made.synthetic)
    assert files[name] == (tmp_path / "expected.csv").read_bytes()
    table = pd.read_csv(io.BytesIO(files[name]))
    assert table.groupby("subject")["condition"].mean().tolist() == pytest.approx([0.6, 0.6])
    card = files["data_card.md"].decode()
    assert hashlib.sha256(files[name]).hexdigest() in card
    assert words(made.trained.facts.claim.statement) in words(card)
    assert "NOT PRIVATE" not in card
    assert {"model_card.md", "ledger.json", "statement.txt"} <= set(files)
    assert "NOT-PRIVATE" not in downloaded.name + name


def test_a_downloaded_hdf5_file_is_a_record_of_the_library(private, models_folder, tmp_path):
    private.click("generate", "button")
    private.wait_for("Synthetic subjects: 1, windows: 36")
    private.driver.find_element(By.XPATH, "//label[.//p[text()='HDF5']]").click()
    private.settle()
    files = read_zip(private.download())
    (name,) = [name for name in files if name.endswith(".h5")]
    (tmp_path / "made.h5").write_bytes(files[name])
    record = store.read_record(tmp_path / "made.h5", SyntheticSet)
    request = synthesis.Request(1, 36, (0.7, 0.3), seed=0)
    expected = synthesis.make(trained(models_folder, "small", 8.0), request).synthetic
    np.testing.assert_array_equal(record.windows, expected.windows)
    assert np.bincount(record.condition).tolist() == [25, 11]


def test_figures_and_cards_are_shown(private):
    private.click("generate", "button")
    private.wait(lambda: private.driver.find_elements(By.CSS_SELECTOR, "[data-testid=stImage] img"), "figure")
    private.open_tab("Distributions")
    private.wait_for("Ranges and directions come from the literature")
    private.open_tab("Data card")
    private.wait_for("Data card: synthetic windows of moments")
    private.open_tab("Model card")
    private.wait_for("Model card: generator moments")
    shown = private.driver.find_elements(By.CSS_SELECTOR, "[data-testid=stImage] img")
    assert len(shown) == 2
    private.wait(lambda: all(int(i.get_property("naturalWidth")) > 1000 for i in shown), "loaded figures")
    severe = [entry for entry in private.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe


def test_a_model_without_budget_gives_nothing_until_that_is_confirmed(private):
    private.choose("budget", "no budget (not private)")
    private.wait_for("NOT PRIVATE: it was trained without a privacy budget.")
    private.wait_for("The page synthesizes nothing from this model before you confirm this.")
    assert not private.of("generate", "button")
    assert not private.of("subjects", "input")
    private.confirm()
    private.click("generate", "button")
    private.wait_for("Synthetic subjects: 1")
    downloaded = private.download()
    files = read_zip(downloaded)
    assert downloaded.name.startswith("NOT-PRIVATE_")
    assert any(re.fullmatch(r"NOT-PRIVATE_.*\.csv", name) for name in files)
    for card in ("data_card.md", "model_card.md", "statement.txt"):
        assert "NOT PRIVATE: it was trained without a privacy budget" in files[card].decode()
    assert "ledger.json" not in files
    # Confirmed for this model only, and nothing of it is left beside another one.
    private.choose("fold", "all people except S2")
    private.wait_for("The page synthesizes nothing from this model before you confirm this.")
    assert not private.of("download", "button")


def test_reproducible_noise_is_not_private(page):
    page.choose("study", "rehearsal")
    page.wait_for("NOT PRIVATE: its noise is reproducible")
    assert not page.of("generate", "button")


def test_what_was_drawn_vanishes_with_another_model_or_request(private):
    private.click("generate", "button")
    private.wait(lambda: private.of("download", "button"), "a download")
    private.enter("windows", 35)
    private.wait(lambda: not private.of("download", "button"), "no download of another request")
    private.enter("windows", 36)
    private.wait(lambda: private.of("download", "button"), "the download of the same request again")
    private.choose("fold", "all people except S2")
    private.wait(lambda: not private.of("download", "button"), "no download of another model")


def test_models_have_the_names_of_their_kinds(private):
    assert private.of("model", "input")[0].get_attribute("value") == "Moments on people"
    private.click("generate", "button")
    private.wait(lambda: private.of("download", "button"), "a download")
    label = private.of("download", "button")[0].text
    assert label == "Download CSV: Moments on people"


def test_the_table_of_means_has_units_and_the_means_of_the_windows(private, models_folder):
    private.click("generate", "button")
    private.open_tab("Distributions")
    rows = private.wait(
        lambda: private.driver.find_elements(By.CSS_SELECTOR, "[data-testid=stTable] tbody tr"), "a table"
    )
    # The text of a tab that is still unfolding is empty.
    private.wait(lambda: rows[0].text, "the text of the table")
    shown = [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]
    request = synthesis.Request(1, 36, (0.7, 0.3), seed=0)
    made = synthesis.make(trained(models_folder, "small", 8.0), request)
    windows, stress = made.synthetic.windows, made.synthetic.condition == 1
    for i, (row, channel) in enumerate(zip(shown, made.trained.facts.channels, strict=True)):
        assert row[:2] == [channel.name.replace("_", " ").replace("eda", "EDA"), channel.unit]
        expected = [windows[~stress, :, i].mean(), windows[stress, :, i].mean()]
        np.testing.assert_allclose([float(text) for text in row[2:]], expected, rtol=6e-3)


def test_two_models_stand_side_by_side_each_behind_its_own_guard(private):
    private.driver.find_element(By.CSS_SELECTOR, ".st-key-compare label").click()
    private.settle()
    private.choose("second-study", "small")
    private.choose("second-budget", "no budget (not private)")
    private.wait_for("before you confirm this")
    assert not private.of("generate", "button")
    private.confirm()
    private.click("generate", "button")
    buttons = private.wait(
        lambda: (
            private.of("second-download", "button")
            and private.driver.find_elements(By.CSS_SELECTOR, "[data-testid=stDownloadButton] button")
        ),
        "two downloads",
    )
    assert len(buttons) == 2
    first, second = (button.rect for button in buttons)
    assert second["x"] > first["x"] + 200
    assert abs(second["y"] - first["y"]) < 200
    buttons[1].click()
    files = private.wait(lambda: list(private.downloads.glob("*.zip")), "a zip file")
    assert files[0].name.startswith("NOT-PRIVATE_")
    private.of("download", "button")[0].click()
    names = private.wait(
        lambda: len(found := sorted(path.name for path in private.downloads.glob("*.zip"))) == 2 and found,
        "both zip files",
    )
    assert [name.startswith("NOT-PRIVATE_") for name in names] == [True, False]


def test_the_title_is_painted_before_anything_slow_is_imported():
    """The first visit of a server sees the title at once; tests/benchmarks/first_paint.py has the seconds."""
    slow = ("tensorflow", "matplotlib", "h5py", "scipy", "pandas", "pulseveil.app.body")
    program = f"import sys, pulseveil.app.page; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"subjects": 0}, "number of subjects: expected a whole number from 1 to 1000, found 0"),
        ({"windows": -3}, "windows of a subject: expected a whole number from 1 to 500, found -3"),
        ({"share-stress": 50}, "class shares: expected 100 % together, found 120 %"),
        ({"subjects": 900, "windows": 400}, "windows in all: expected at most 20000"),
    ],
)
def test_numbers_out_of_bounds_are_refused_in_one_sentence(private, numbers, message):
    for key, value in numbers.items():
        private.enter(key, value)
    private.click("generate", "button")
    private.wait_for(message)
    assert not private.of("download", "button")
    assert "Traceback" not in private.text


def test_no_recording_can_be_reached_and_nothing_is_sent_away(private, address, models_folder):
    private.click("generate", "button")
    private.wait(lambda: private.of("download", "button"), "a download")
    assert private.hosts() == {"localhost"}
    kept = [path for path in models_folder.rglob("*") if path.is_file() and "windows" in path.parts]
    assert kept
    for path in kept:
        inside = path.relative_to(models_folder).as_posix()
        for place in (inside, f"app/static/{inside}", f"media/{inside}", f"..%2f{inside}", str(path)):
            assert path.read_bytes()[:8] != fetch(f"{address}/{place.lstrip('/')}")[:8]


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()
