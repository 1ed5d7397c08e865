"""Tables of a page that sort and filter, in a real browser and without a network."""

from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pulseveil.summary import printing
from pulseveil.summary.labels import MINUS

pytestmark = pytest.mark.browser

EPSILONS = ["1", "∞", "10", "", "0.1", "3", "8", "0.5", "2", "100", "4"]
DIFFERENCES = [f"{sign}0.{n:03d} [{MINUS}0.1, +0.2] p=0.1" for n, sign in enumerate(("+" + MINUS) * 5 + "+")]


@pytest.fixture
def page(driver: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    rows = "".join(
        f"<tr><td>row {i}</td><td>{epsilon}</td><td>{difference}</td></tr>"
        for i, (epsilon, difference) in enumerate(zip(EPSILONS, DIFFERENCES, strict=True))
    )
    heads = "".join(f"<th>{name}</th>" for name in ("name", "epsilon", "difference"))
    table = f'<table class="printed"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    script = printing.render("tables.js.jinja")
    path = tmp_path / "page.html"
    path.write_text(f'<meta charset="utf-8"><div class="scroll">{table}</div><script>{script}</script>')
    driver.get(path.as_uri())
    return driver


def column(page: webdriver.Chrome, number: int) -> list[str]:
    """Texts of the shown rows in a column."""
    shown = [row for row in page.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    return [row.find_elements(By.TAG_NAME, "td")[number].text for row in shown]


def test_a_click_sorts_by_number_and_a_second_one_the_other_way(page: webdriver.Chrome) -> None:
    heading = page.find_elements(By.TAG_NAME, "th")[1]
    heading.click()
    ascending = ["0.1", "0.5", "1", "2", "3", "4", "8", "10", "100", "∞", ""]
    assert column(page, 1) == ascending
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.click()
    assert column(page, 1) == ascending[::-1]
    page.find_elements(By.TAG_NAME, "th")[2].send_keys(Keys.ENTER)
    numbers = [float(text.split()[0].replace(MINUS, "-")) for text in column(page, 2)]
    assert numbers == sorted(numbers)
    assert heading.get_attribute("aria-sort") == "none"


def test_words_leave_the_rows_that_have_them_all(page: webdriver.Chrome) -> None:
    page.find_element(By.CSS_SELECTOR, "input.filter").send_keys("ROW +0.0")
    assert column(page, 2) == [text for text in DIFFERENCES if "+0.0" in text]
