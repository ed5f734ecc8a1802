"""What a failing run says: each sentence once, and no traceback of what a person has to mend."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from perennial.errors import OutsideError
from tasks.orchestration.retries import quiet_prefect_logs, said_at_the_end

pytestmark = pytest.mark.usefixtures("prefect_api")
_WHY = "The collection is empty; load documents."


@task(cache_policy=NO_CACHE)
def look() -> None:
    """Find nothing."""
    raise OutsideError(_WHY)


@flow
def looking() -> None:
    """Look for documents."""
    quiet_prefect_logs()
    look()


@pytest.mark.parametrize(("by_a_command", "times"), [(False, 1), (True, 0)])
def test_why_a_run_failed_is_logged_once_unless_its_command_says_it_at_the_end(
    by_a_command: bool, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    command = said_at_the_end() if by_a_command else nullcontext()

    with command, pytest.raises(OutsideError, match=_WHY):
        looking()

    assert caplog.text.count(_WHY) == times
    assert "Finished in state Failed()" in caplog.text
    assert "Traceback" not in caplog.text
