"""Logs of `make up` do not grow for ever, and lose nothing of their last lines."""

from __future__ import annotations

from pathlib import Path

from deployments.logs import rotate


def test_a_log_keeps_its_last_lines_while_its_program_goes_on_writing(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as program:
        for number in range(1_000):
            program.write(f"line {number}\n".encode())
            rotate(log, largest=1_000)

    kept = (tmp_path / "worker.log.1").read_text() + log.read_text()
    numbers = [int(line.split()[1]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 1_000))
    assert 1_000 < len(kept) < 2_200
    assert sorted(file.name for file in tmp_path.iterdir()) == ["worker.log", "worker.log.1"]


def test_a_small_log_and_one_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("started\n")

    rotate(log)
    rotate(tmp_path / "service.log")

    assert [file.name for file in tmp_path.iterdir()] == ["worker.log"]
    assert log.read_text() == "started\n"
