"""What must not be stored is taken out of requests as it is taken out of documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perennial.config.problem import Problem
from perennial.registry.model_version import ModelVersion
from tests.conftest import wait_until
from tests.small_models import GOOD


def test_an_input_is_answered_as_if_it_had_been_sent_redacted(
    production: ModelVersion, write_problem: Callable[..., Problem], serve: Callable[..., Any]
) -> None:
    word = GOOD.split()[-1]
    write_problem(redact={"own": {"hidden": word}})
    _, client = serve()
    wait_until(lambda: client.get("/readyz").status_code == 200, "the service is ready")

    def ask(text: str) -> Any:
        body = {"inputs": [text], "explain": True}
        (said,) = client.post("/classify", json=body).raise_for_status().json()["predictions"]
        return said["probabilities"], said["explanation"]

    assert ask(GOOD) == ask(GOOD.replace(word, "[hidden]"))
    assert word not in str(ask(GOOD)[1])
