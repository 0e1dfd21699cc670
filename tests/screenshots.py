"""Takes pictures of the admin, with Chromium.

    python -m tests.screenshots                          # the two of README, into .github/images/
    python -m tests.screenshots --all FOLDER             # each page, each size, light and dark
    python -m tests.screenshots --all FOLDER --theme unfold --language fr

Those of README are taken again when the admin looks different, and are part of the repository.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.admin_site import Served, served
from tests.admin_site.themes import APPS
from tests.sandbox import ROOT
from tests.services import chromium

FLAGS = ["--disable-gpu", "--headless=new", "--hide-scrollbars", "--no-first-run", "--no-sandbox"]
IMAGES = ROOT / ".github" / "images"
LARGEST = 150_000  # bytes of a picture that everybody loads who reads README

SIZES = {1280: 800, 375: 800}  # pixels: the width of a laptop and of a telephone
SCHEMES = ("light", "dark")

VERIFY_SELECTED = """
form => {
    form.querySelectorAll("[name=_selected_action]").forEach(box => { box.checked = true })
    form.querySelector("[name=action]").value = "verify_selected"
    form.submit()
}
"""
# Unfold has a class for it, which a script of its sets when the page is loaded.
SHOW = "isDark => document.documentElement.classList.toggle('dark', isDark)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Take pictures of the admin.")
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="of each page, into a folder")
    parser.add_argument("--theme", choices=APPS, default="django")
    parser.add_argument("--language", default="en")
    parser.add_argument("--scene", nargs="*", help="these alone of all")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        if options.all:
            options.all.mkdir(parents=True, exist_ok=True)
            take_all(browser, options)
        else:
            IMAGES.mkdir(exist_ok=True)
            take_two(browser)
        browser.close()


def take_two(browser: Browser) -> None:
    """Take those of README."""
    with served() as admin:
        page = admin.page(browser, viewport={"width": 1280, "height": 760})
        page.goto(admin.list)
        take(page, IMAGES / "list.png")
        refuse(admin, page)
        take(page, IMAGES / "form.png")


def take(page: Page, path: Path) -> None:
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size} bytes")
    if size > LARGEST:
        raise SystemExit(f"{path.name} has more than {LARGEST} bytes.")


def take_all(browser: Browser, options: argparse.Namespace) -> None:
    with served(options.theme, options.language, "all") as admin:
        page = admin.page(browser)
        for name in scenes(admin, page):
            if options.scene and name not in options.scene:
                continue
            for width, height in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                for scheme in SCHEMES:
                    page.emulate_media(color_scheme=scheme)
                    page.evaluate(SHOW, scheme == "dark")
                    page.wait_for_timeout(300)  # until what moves when it changes has moved
                    file = f"{options.theme}-{options.language}-{name}-{width}-{scheme}.png"
                    page.screenshot(path=options.all / file, full_page=True)
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 1280, "height": 800})


def scenes(admin: Served, page: Page) -> Iterator[str]:
    """Lead the page from one scene to the next, and yield the name of each."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(admin.list)
    yield "list"
    page.goto(f"{admin.list}?attention=yes&status=rejected")
    yield "filtered"
    page.goto(f"{admin.list}add/")
    yield "add"
    fill(page, name="acme", client_id="Client ID: 12", secret="'fake-secret'")
    press(page, "_save")
    yield "add-error"
    page.goto(admin.change("default"))
    yield "change"
    fill(page, name="acme", secret="fake-secret-typed-beside-a-name-that-is-taken")
    press(page, "_save")
    yield "change-error"
    refuse(admin, page)
    yield "refused"
    page.goto(admin.change("acme"))
    yield "api-key"
    page.goto(f"{admin.change('acme')}".replace("change/", "history/"))
    yield "history"
    page.goto(f"{admin.change('acme')}".replace("change/", "delete/"))
    yield "delete"
    page.goto(admin.list)
    # Whatever a theme makes of the controls, this is what they send.
    with page.expect_navigation():
        page.locator("form:has([name=_selected_action])").evaluate(VERIFY_SELECTED)
    yield "selected"


def fill(page: Page, **fields: str) -> None:
    for name, text in fields.items():
        page.locator(f"[name={name}]").fill(text)


def press(page: Page, button: str) -> None:
    page.locator(f"[name={button}]").click()
    page.wait_for_load_state()


def refuse(admin: Served, page: Page) -> None:
    """Let Certn refuse a key, in the form."""
    page.goto(admin.change("borealis"))
    press(page, "_verify" if page.locator("[name=_verify]").count() else "_save")


if __name__ == "__main__":
    main()
