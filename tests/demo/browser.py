"""A real browser in the demo: browser.py URL SCREENSHOTS ALICE:PASSWORD BOB:PASSWORD

Logs in and out as somebody would who follows a link to a picture, and looks at what the browser shows.
"""

import os
import shutil
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 20


def start(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        f"--user-data-dir={profile}",
        "--window-size=900,700",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        # Asks nobody but the demo.
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        # Chromium has none for root, nor in every container.
        "--no-sandbox",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    browser.set_page_load_timeout(SECONDS)
    browser.set_script_timeout(SECONDS)
    return browser


class Visit:
    """What a visitor does, and sees."""

    def __init__(self, browser, url, screenshots):
        self.browser, self.url, self.screenshots, self.seen = browser, url, screenshots, 0

    def open(self, path):
        self.browser.get(self.url + path)

    def look(self, name, path, status=200):
        """The browser is at `path`, which was answered so; a screenshot is kept."""
        WebDriverWait(self.browser, SECONDS).until(lambda browser: browser.current_url == self.url + path, path)
        got = self.browser.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus")
        assert got == status, f"{name}: {got}"
        self.seen += 1
        self.browser.save_screenshot(f"{self.screenshots}/{self.seen}-{name}.png")

    def log_in(self, user):
        name, password = user.split(":")
        for field, text in (("username", name), ("password", password)):
            element = self.browser.find_element(By.NAME, field)
            element.clear()
            element.send_keys(text)
        self.browser.find_element(By.ID, "log-in").click()

    def text(self):
        return self.browser.find_element(By.CSS_SELECTOR, "body, svg").text

    def pictures(self):
        """The widths of the page's pictures, as they have arrived: 0 for none."""
        WebDriverWait(self.browser, SECONDS).until(
            lambda browser: browser.execute_script("return [...document.images].every(image => image.complete)")
        )
        return self.browser.execute_script("return [...document.images].map(image => image.naturalWidth)")

    def fetched(self, path):
        """The status that a script of the page gets."""
        return self.browser.execute_async_script(
            "const [path, done] = arguments; fetch(path, {cache: 'default'}).then(a => done(a.status), done)", path
        )


def main():
    url, screenshots, alice, bob = sys.argv[1:]
    shutil.rmtree(screenshots, ignore_errors=True)
    os.makedirs(screenshots)
    picture = "/media/picture.svg"
    # A query with all that could be lost on the way.
    asked = picture + "?a=1&b=%2F%26+c"
    login = "/accounts/login/?next=/media/picture.svg%3Fa%3D1%26b%3D%252F%2526%2Bc"
    plain = "/accounts/login/?next=/media/picture.svg"
    with tempfile.TemporaryDirectory() as profile:
        browser = start(profile)
        try:
            visit = Visit(browser, url, screenshots)
            visit.open(asked)
            visit.look("sent to the login page", login)
            # A script gets an answer, and no window asks for a password.
            assert visit.fetched(picture) == 401
            visit.log_in("alice:wrong")
            visit.look("a wrong password", login)
            assert "do not match" in visit.text()
            visit.log_in(alice)
            visit.look("back at the picture", asked)
            assert "for USERS" in visit.text()
            visit.open("/media/agents/picture.svg")
            visit.look("the picture of agents", "/media/agents/picture.svg")
            visit.open("/accounts/profile/")
            visit.look("a page with the picture", "/accounts/profile/")
            assert "Hello, alice" in visit.text()
            assert visit.pictures() == [640]
            assert visit.fetched(picture) == 200

            visit.browser.find_element(By.ID, "log-out").click()
            visit.look("logged out", "/accounts/login/")
            assert visit.fetched(picture) == 401
            visit.open(picture)
            visit.look("the picture is gone", plain)
            # Neither has the browser kept the one that it came from.
            visit.open(asked)
            visit.look("so is the other", login)

            visit.log_in(bob)
            visit.look("bob is back at the picture", asked)
            # Who may not see it is told so, and not sent to log in again and again.
            visit.open("/media/agents/picture.svg")
            visit.look("bob is no agent", "/media/agents/picture.svg", 403)
            assert "Forbidden" in visit.text()
        finally:
            browser.quit()


main()
