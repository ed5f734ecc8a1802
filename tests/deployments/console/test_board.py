"""The board looks by itself, and again when somebody reads what is not fresh."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from deployments.console.board import Board
from perennial.settings import Settings
from perennial.status.facts import Facts
from tests.conftest import wait_until


class Source:
    """Facts that are read, and how often that was."""

    def __init__(self) -> None:
        self.looks = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, _: Settings, __: datetime) -> tuple[Facts, ...]:
        self.may_answer.wait(60)
        self.looks += 1
        return (Facts(f"look-{self.looks}"),)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def board(source: Source, tmp_path: Path) -> Iterator[Board]:
    """A board whose facts are never fresh enough for who reads them."""
    board = Board(Settings(data_dir=tmp_path), 0.0, source)
    yield board
    source.may_answer.set()
    board.end()


def names(board: Board) -> list[str]:
    gathered = board.gathered
    return [] if gathered is None else [entry.facts.name for entry in gathered.entries]


def test_it_looks_by_itself_and_again_for_whoever_reads(board: Board, source: Source) -> None:
    board.start()
    wait_until(lambda: names(board) == ["look-1"], "the first look is over")

    board.read()

    wait_until(lambda: names(board) == ["look-2"], "it has looked again")


def test_fresh_facts_are_not_gathered_again(source: Source, tmp_path: Path) -> None:
    board = Board(Settings(data_dir=tmp_path), 3600, source)
    board.start()
    wait_until(lambda: board.gathered, "the first look is over")

    for _ in range(20):
        board.read()
    board.look_now()
    wait_until(lambda: source.looks == 2, "it looks again when it is told to")
    board.end()

    assert names(board) in (["look-1"], ["look-2"])
    assert source.looks == 2


def test_who_reads_never_waits_for_a_source_that_is_slow(board: Board, source: Source) -> None:
    board.gather()
    source.may_answer.clear()
    board.start()

    found = board.read()

    assert found is not None
    assert [entry.facts.name for entry in found.entries] == ["look-1"]
    source.may_answer.set()
    wait_until(lambda: source.looks > 1, "the slow look is over")
