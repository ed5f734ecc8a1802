"""The log of flows is read by programs: each line says which flow, problem and run it is of."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from prefect import flow, task
from prefect.logging import get_run_logger

from perennial.settings import PROJECT
from tasks.orchestration.json_log import JsonHandler


@pytest.mark.usefixtures("prefect_api")
def test_each_line_of_a_run_names_flow_problem_and_run_and_shows_no_password() -> None:
    @task(name="look")
    def look() -> None:
        get_run_logger().info("Read %s", "mongodb://ann:secret@host/reviews")

    @flow(name="watch")
    def watch(problem: str) -> None:
        get_run_logger().warning("Few documents")
        look()

    stream = io.StringIO()
    handler = JsonHandler(stream)
    logging.getLogger("prefect").addHandler(handler)
    try:
        watch("reviews")
    finally:
        logging.getLogger("prefect").removeHandler(handler)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (warned,) = [line for line in lines if line["level"] == "warning"]
    assert (warned["flow"], warned["problem"]) == ("watch", "reviews")
    (read,) = [line for line in lines if line["message"].startswith("Read")]
    assert read["message"] == "Read mongodb://***@host/reviews"
    assert read["task"].startswith("look")
    assert read["problem"] == "reviews"
    assert {line["run_id"] for line in (warned, read)} == {warned["run_id"]}


def test_half_of_a_character_that_a_message_quotes_is_written_as_a_question_mark() -> None:
    stream = io.StringIO()
    # Not by a logger: pytest would keep the message, and cannot hand it on.
    said = logging.makeLogRecord({"msg": "Half of a character: \ud83d", "levelname": "WARNING"})

    JsonHandler(stream).handle(said)

    assert json.loads(stream.getvalue())["message"] == "Half of a character: ?"


def test_the_setting_makes_prefect_write_json() -> None:
    program = "import tasks, prefect, logging; logging.getLogger('any').warning('said')"
    setup = "from prefect.logging.configuration import setup_logging; setup_logging(); "
    done = subprocess.run(
        [sys.executable, "-c", "import tasks; " + setup + program],
        cwd=PROJECT,
        env={**os.environ, "LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stderr.splitlines()[-1])["message"] == "said"
