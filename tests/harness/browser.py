"""Headless Chromium, as a person would use it."""

import shutil
import tempfile
from contextlib import contextmanager

from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from .waiting import free_port, wait_until

_OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"]


class Browser:
    """One browser, with one page open."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def words(self, selector):
        """What stands there, on a page without scripts; nothing while another one is loading."""
        try:
            return self.driver.find_element(By.CSS_SELECTOR, selector).text
        except (NoSuchElementException, StaleElementReferenceException):
            return ""

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector):
        """Clicks the first such element when it can be clicked."""
        self._use(selector, lambda element: element.click())

    @contextmanager
    def pressed(self, selector):
        """The first such element with the mouse's button down on it, until the block's end."""
        webdriver.ActionChains(self.driver).click_and_hold(self.all(selector)[0]).perform()
        yield
        webdriver.ActionChains(self.driver).release().perform()

    def fill(self, selector, text):
        """Writes into a field in place of what it says."""
        self._use(selector, lambda field: (field.clear(), field.send_keys(text)))

    def _use(self, selector, action):
        """The page may put a new element in the place of one just found: then that one is used."""
        def used():
            try:
                shown = [element for element in self.all(selector) if element.is_displayed()]
                if shown:
                    action(shown[0])
                return bool(shown)
            except (StaleElementReferenceException, ElementNotInteractableException):
                return False
        wait_until(used, what=f"{selector} used")

    def shape(self, width, height, *, scheme="light", scale=1, script=True):
        """The window, the person's preferred colours, and whether scripts run."""
        emulate = self.driver.execute_cdp_cmd
        emulate("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600})
        emulate("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        emulate("Emulation.setScriptExecutionDisabled", {"value": not script})

    def complaints(self):
        """What the console said at level warning or above since last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("WARNING", "SEVERE")]


@contextmanager
def browser():
    """Starts a browser with a profile of its own, which goes with it."""
    profile = tempfile.mkdtemp(prefix="athena-browser-")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for option in [*_OPTIONS, f"--user-data-dir={profile}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        # Its own choice would be a port that any socket here may take before it does.
        service = Service("/usr/bin/chromedriver", port=free_port())
        driver = webdriver.Chrome(service=service, options=options)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
    finally:
        shutil.rmtree(profile, ignore_errors=True)
