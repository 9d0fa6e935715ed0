"""The pages in a real browser: what a script, a style or a screen reader would stumble over.

Chromium and its driver are found on PATH; without them these tests are skipped. Rules of
accessibility are axe-core's.
"""

import shutil
import time
from pathlib import Path

import axe_core_python
import numpy as np
import pandas as pd
import pytest
from measured_case import beside, measured_forecast
from search_page_case import found_search
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from test_depth_panels import deep_forecast
from test_html import HOSTILE, forecast_summary, run_summary

from mergecast.report.html import write_html
from mergecast.report.measured_summary import summarise_measured
from mergecast.report.search_page import write_search_page

_BROWSER, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
#: All 190 pairs of twenty models by six methods must be there within this.
_SECONDS, _BYTES = 2.0, 6e6

pytestmark = pytest.mark.skipif(
    not (_BROWSER and _DRIVER), reason="chromium and chromedriver are not on PATH"
)


@pytest.fixture(scope="module")
def browser():
    options = Options()
    options.binary_location = _BROWSER
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(_DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


def of_measured(generator, rows):
    """Every merge of a forecast, as measured."""
    [one] = beside().iloc[:1].to_dict("records")
    keys = ("method", "left", "right", "member")
    numbers = ("measured", "before", "others")
    return pd.DataFrame(
        {**one, **{key: row[key] for key in keys}}
        | dict(zip(numbers, generator.uniform(0.6, 1, 3), strict=True))
        for row in rows
    )


def of_many(names):
    """A forecast of every pair of these models by six methods, with sets and curves."""
    summary = forecast_summary()
    row, pair = summary["rows"][-1], summary["pairs"][0]
    generator = np.random.default_rng(0)
    methods = [f"method_{i}" for i in range(6)]
    summary["methods"] = [{**summary["methods"][0], "method": one} for one in methods]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    summary["rows"] = [
        {**row, "left": a, "right": b, "member": member, "method": method,
         "predicted": float(generator.uniform(0.6, 1))}
        for a, b in pairs
        for method in methods
        for member in (a, b)
    ]  # fmt: skip
    summary["pairs"] = [
        {**pair, "left": a, "right": b, "worst_member": a, "method": methods[i % 6]}
        for i, (a, b) in enumerate(pairs)
    ]
    summary["measured"] = summarise_measured(of_measured(generator, summary["rows"]), 0.9)
    layers = deep_forecast()["layers"][0]["layers"] * 8
    summary["layers"] = [{"left": a, "right": b, "layers": layers} for a, b in pairs]
    strengths = np.linspace(0, 1.5, 25)
    summary["curves"] = [
        {"members": [a, b], "method": "task_arithmetic", "strengths": strengths.tolist(),
         "kept": (1 - (strengths - 0.7) ** 2).tolist(), "low": (0.9 - strengths / 9).tolist(),
         "high": [1.0] * 25}
        for a, b in pairs[:6]
    ]  # fmt: skip
    return summary


def opened(browser, path):
    browser.get_log("browser")
    browser.get(path.as_uri())
    return browser


@pytest.fixture(params=["forecast", "run", "search", "measured", "deep", "hostile", "many"])
def page(request, tmp_path):
    path = tmp_path / "page.html"
    if request.param == "search":
        return write_search_page(found_search(), path)
    summaries = {
        "forecast": forecast_summary,
        "run": run_summary,
        "measured": measured_forecast,
        "deep": deep_forecast,
        "hostile": lambda: measured_forecast(tuple(sorted(HOSTILE))),
        "many": lambda: of_many([f"m{i}" for i in range(8)]),
    }
    return write_html(summaries[request.param](), path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_said_on_the_console_and_axe_finds_no_violation(browser, page, scheme):
    scheme = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    opened(browser, page)
    assert browser.get_log("browser") == []
    browser.execute_script(_AXE)
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    said = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
        for one in found["violations"]
    ]
    assert said == []


def test_it_fits_a_phone(browser, page):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened(browser, page)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 390


def test_hostile_names_are_text(browser, tmp_path):
    write_html(forecast_summary(tuple(sorted(HOSTILE))), tmp_path / "page.html")
    opened(browser, tmp_path / "page.html")
    assert browser.execute_script("return document.scripts.length") == 1
    assert HOSTILE[0] in browser.find_element(By.ID, "forecasts").text


def test_methods_are_switched_tables_sorted_and_filtered(browser, tmp_path):
    names = [f"m{i}" for i in range(5)]
    opened(browser, write_html(of_many(names), tmp_path / "page.html"))
    maps = browser.find_elements(By.CSS_SELECTOR, "[data-map]")
    shown = [one.get_attribute("data-map") for one in maps if one.is_displayed()]
    assert shown == ["the best method of each pair"]
    switch = browser.find_element(By.CSS_SELECTOR, "[data-switch=map]")
    Select(switch).select_by_visible_text("method_3")
    assert [m.get_attribute("data-map") for m in maps if m.is_displayed()] == ["method_3"]
    rows = "#forecasts tbody tr:not([hidden])"
    assert len(browser.find_elements(By.CSS_SELECTOR, rows)) == 10  # the advised ones
    Select(browser.find_element(By.ID, "filter")).select_by_visible_text("method_3")
    assert len(browser.find_elements(By.CSS_SELECTOR, rows)) == 10
    Select(browser.find_element(By.ID, "filter")).select_by_value("")
    assert len(browser.find_elements(By.CSS_SELECTOR, rows)) == 60
    # By keyboard alone, like a mouse.
    button = browser.find_element(By.CSS_SELECTOR, "#forecasts th:nth-child(3) button")
    for _ in range(2):
        button.send_keys(Keys.ENTER)
    values = [
        float(cell.text)
        for cell in browser.find_elements(By.CSS_SELECTOR, f"{rows} td:nth-child(3)")
    ]
    assert values == sorted(values, reverse=True)
    assert browser.get_log("browser") == []


def test_cells_and_dots_have_tooltips(browser, tmp_path):
    opened(browser, write_html(of_many(["a", "b", "c"]), tmp_path / "page.html"))
    titles = browser.execute_script(
        "return [...document.querySelectorAll('svg rect, svg circle')]"
        ".map(e => (e.querySelector('title') ??"
        " e.parentNode.querySelector(':scope > title'))?.textContent)"
    )
    assert titles
    assert all(titles)


def test_marks_are_read_one_by_one_by_mouse_and_by_keyboard(browser, tmp_path):
    opened(browser, write_html(measured_forecast(), tmp_path / "page.html"))
    shown = "[data-beside]:not([hidden]) figure:first-child"
    said = browser.find_element(By.CSS_SELECTOR, f"{shown} .said")
    plot = browser.find_element(By.CSS_SELECTOR, f"{shown} svg")
    assert plot.get_attribute("role") == "group"
    tabs = plot.find_elements(By.CSS_SELECTOR, "[tabindex='0']")
    assert len(tabs) == 1
    browser.execute_script("arguments[0].focus()", tabs[0])

    def press(key):
        browser.switch_to.active_element.send_keys(key)
        return said.text

    first = "a in a + b by ties: forecast 0.800, measured 0.900"
    assert press(Keys.HOME) in (first, "c in a + c by ties: forecast 0.800, measured 0.700")
    told = {said.text, *(press(Keys.ARROW_RIGHT) for _ in range(4))}
    assert len(told) == 5
    last = said.text
    assert press(Keys.ARROW_RIGHT) == last
    assert press(Keys.HOME) != last
    assert press(Keys.END) == last
    assert browser.switch_to.active_element.get_attribute("aria-label") == last
    dot = next(
        one for one in plot.find_elements(By.CSS_SELECTOR, ".dot")
        if one.get_attribute("aria-label") == first
    )  # fmt: skip
    ActionChains(browser).move_to_element(dot).perform()
    assert said.text == first
    switch = browser.find_element(By.CSS_SELECTOR, "[data-switch=beside]")
    Select(switch).select_by_visible_text("ties")
    groups = browser.find_elements(By.CSS_SELECTOR, "[data-beside]")
    assert [g.get_attribute("data-beside") for g in groups if g.is_displayed()] == ["ties"]
    assert browser.get_log("browser") == []


def test_the_command_can_be_copied(browser, tmp_path):
    opened(browser, write_html(forecast_summary(), tmp_path / "page.html"))
    origin = {"permission": {"name": "clipboard-write"}, "setting": "granted"}
    browser.execute_cdp_cmd("Browser.setPermission", origin)
    button = browser.find_element(By.ID, "copy")
    button.click()
    time.sleep(0.2)
    assert button.text == "Copied"


def test_a_page_of_twenty_models_is_there_at_once(browser, tmp_path):
    path = write_html(of_many([f"m{i:02d}" for i in range(20)]), tmp_path / "page.html")
    assert path.stat().st_size < _BYTES
    opened(browser, path)
    took = browser.execute_script(
        "const t = performance.getEntriesByType('navigation')[0]; return t.domInteractive"
    )
    assert took < 1000 * _SECONDS
