"""Seconds from a visit of a new server of the front end to its first paint and to a model's claim.

python tests/benchmarks/first_paint.py FOLDER_WITH_RESULTS
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.browser.conftest import served

CLAIM = (By.CSS_SELECTOR, ".st-key-statement")
PAINTS = "return performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"


def main() -> None:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options)
    try:
        with served(Path(sys.argv[1])) as address:
            for visit in ("first", "second"):
                started = time.monotonic()
                driver.get(address)
                WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda _: driver.find_elements(*CLAIM))
                seconds = time.monotonic() - started
                (paint,) = driver.execute_script(PAINTS)
                print(
                    f"{visit} visit: first contentful paint {paint / 1000:.2f} s, claim {seconds:.2f} s, "
                    f"load {os.getloadavg()[0]:.1f}"
                )
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
