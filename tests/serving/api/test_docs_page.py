"""The page of the API is about the models that are served, and what it shows works when typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from tests.conftest import wait_until
from tests.serving.running import served
from tests.small_models import GOOD

Serving = Callable[..., tuple[Any, TestClient]]


def _ready(serve: Serving) -> tuple[Any, TestClient]:
    service, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
    return service, client


def _typed(page: str, what: str) -> str:
    """Return what stands in the first box of the page that begins so."""
    return next(
        text
        for text in map(unescape, re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL))
        if text.startswith(what)
    )


@pytest.mark.parametrize(
    ("what", "run"), [("import httpx", [sys.executable, "-c"]), ("curl", ["sh", "-c"])]
)
def test_what_the_page_shows_for_a_model_works_when_it_is_typed(
    production: ModelVersion,
    write_problem: Callable[..., Problem],
    serve: Serving,
    what: str,
    run: list[str],
) -> None:
    write_problem(examples=['It\'s "good" & <b>warm</b>; $HOME `ls`\n\\ 🎬'])
    service, _ = _ready(serve)

    with served(service.app) as client:
        shown = _typed(client.get("/docs").text, what)
        done = subprocess.run(
            [*run, shown], capture_output=True, text=True, timeout=60, check=False
        )

    assert done.returncode == 0, done.stderr
    assert "positive" in done.stdout


def test_examples_are_those_of_the_problem_s_file_and_follow_it(
    production: ModelVersion, write_problem: Callable[..., Problem], serve: Serving
) -> None:
    write_problem(examples=[GOOD])
    _, client = _ready(serve)

    def examples() -> list[Any]:
        (model,) = client.get("/models").json()["models"]
        found: list[Any] = model["examples"]
        return found

    assert examples() == [GOOD]
    assert GOOD in unescape(client.get("/docs").text)
    write_problem(examples=["Another one."])
    wait_until(lambda: examples() == ["Another one."], "the file was read again")
    assert "Another one." in client.get("/docs").text


def test_a_model_without_examples_says_that_a_text_is_wanted(
    client: TestClient,
) -> None:
    (model,) = client.get("/models").json()["models"]

    assert model["examples"] == []
    assert "Your text." in client.get("/docs").text


def test_before_there_is_a_model_the_page_describes_the_api(serve: Serving) -> None:
    _, client = serve()

    page = client.get("/docs")

    assert page.status_code == 200
    assert 'id="model-' not in page.text
    assert 'id="classify"' in page.text


@pytest.mark.parametrize("host", ["a.example", "127.0.0.1:8080", "[::1]:3000"])
def test_the_page_names_the_address_by_which_it_was_asked(client: TestClient, host: str) -> None:
    assert f"curl http://{host}/v1/classify" in client.get("/docs", headers={"Host": host}).text


@pytest.mark.parametrize("host", ["x';rm -rf ~;'", "<script>", "a.example b", "x$(id)", "x`id`"])
def test_a_host_that_is_none_is_not_repeated(client: TestClient, host: str) -> None:
    page = unescape(client.get("/docs", headers={"Host": host}).text)

    assert re.search(r">curl http://[a-z0-9.:]+/v1/classify", page)
    assert host not in page


def test_the_answer_is_the_same_file_until_another_version_is_served(client: TestClient) -> None:
    first = client.get("/docs")
    again = client.get("/docs", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_every_object_and_error_that_the_page_mentions_is_explained_once(
    client: TestClient,
) -> None:
    page = client.get("/docs").text

    places = re.findall(r'id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    for field in ("abstained", "explanation", "typical", "threshold"):
        assert page.count(f"<td><code>{field}</code>") == 1
    assert page.count(">429<") == 1


def test_where_keys_are_asked_for_every_request_that_needs_one_shows_it(
    production: ModelVersion, serve: Serving
) -> None:
    _, client = serve(api_key_hashes=("0" * 64,))
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")

    page = client.get("/docs").text

    asked = [
        text for text in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL) if "curl" in text
    ]
    assert sum("/classify" in text for text in asked) == 2
    assert all("Bearer KEY" in text for text in asked if "/classify" in text)
