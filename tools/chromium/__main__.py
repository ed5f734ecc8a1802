"""`python -m tools.chromium`: a browser for the tests, where the machine has none."""

from tools.chromium import find, install

if find() is None:
    print("Installing Chromium from npm into .venv, for the tests of the page")
    install()
