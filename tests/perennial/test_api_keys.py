"""API keys are known by their digests, and may do what their scopes say."""

from __future__ import annotations

import hashlib

import pytest

from perennial.settings.api_keys import Holders, require_api_key

KEY = b"a key"
DIGEST = hashlib.sha256(KEY).hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


def test_a_key_without_scopes_may_do_everything() -> None:
    holder = Holders((OTHER, DIGEST)).find(KEY)

    assert holder is not None
    assert holder.may("approve")
    assert holder.name == DIGEST[:8]


@pytest.mark.parametrize("entries", [(), (OTHER,), (f"{OTHER}:approve",), (DIGEST[:-1],)])
def test_a_key_that_is_in_no_entry_has_no_holder(entries: tuple[str, ...]) -> None:
    assert Holders(entries).find(KEY) is None


def test_entries_of_one_key_add_up() -> None:
    holder = Holders((f"{DIGEST}:approve", OTHER, f"{DIGEST}:retrain+rollback")).find(KEY)

    assert holder is not None
    allowed = {
        scope for scope in ("approve", "rollback", "retrain", "schedule") if holder.may(scope)
    }
    assert allowed == {"approve", "rollback", "retrain"}


def test_a_key_of_some_problems_may_do_nothing_with_others() -> None:
    entries = (f"{DIGEST}:classify+feedback@reviews+iris", f"{DIGEST}:classify@tickets", OTHER)
    holder = Holders(entries).find(KEY)

    assert holder is not None
    asked = [
        (scope, problem)
        for scope in ("classify", "feedback", "metrics")
        for problem in ("reviews", "iris", "tickets", "passengers")
        if holder.may(scope, problem)
    ]
    assert asked == [
        *(("classify", problem) for problem in ("reviews", "iris", "tickets")),
        *(("feedback", problem) for problem in ("reviews", "iris")),
    ]
    # Somebody who may do it with any problem is asked with which.
    assert holder.may("feedback")
    assert not holder.may("metrics")


def test_problems_stand_behind_scopes_that_can_be_for_some_of_them() -> None:
    require = require_api_key(("classify", "metrics"), ("classify",))

    for allowed in ("", ":classify", ":metrics+classify", ":classify@reviews+iris-2"):
        assert require(DIGEST + allowed) == DIGEST + allowed
    for wrong in ("@reviews", ":@reviews", ":metrics@reviews", ":classify@", ":classify@Reviews"):
        with pytest.raises(ValueError, match="behind classify an at sign and names of problems"):
            require(DIGEST + wrong)


def test_a_digest_is_no_key() -> None:
    assert Holders((DIGEST,)).find(DIGEST.encode()) is None
