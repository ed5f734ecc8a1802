"""Signing: ids of predictions and digests of senders, with the key that all workers share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from perennial.settings import ServingSettings
from perennial.stores import signing_key
from perennial.stores.prediction_ids import Issued, PredictionIds

if TYPE_CHECKING:
    from pymongo.database import Database

    from perennial.stores.mongodb import Document

_FILE = "signing-key"


class Signing:
    """Issues and reads prediction ids.

    Parameters
    ----------
    serving : ServingSettings
        The key, if a setting names it.
    folder : Path
        Where this machine keeps the key otherwise.

    Attributes
    ----------
    is_shared : bool
        Whether the key is the one that all other workers have.
    """

    def __init__(self, serving: ServingSettings, folder: Path) -> None:
        self._file = folder / _FILE
        self.is_shared = serving.signing_key is not None
        self._wanted = not self._file.exists()
        if serving.signing_key is not None:
            self._secret = serving.signing_key.get_secret_value().encode()
        else:
            self._secret = signing_key.kept_on_machine(self._file)
        self._ids = PredictionIds([signing_key.derive(self._secret)])

    def share(self, log: Database[Document]) -> None:
        """Agree with all other workers on the key that the log's database keeps.

        Ids that this worker has issued before stay valid here.

        Raises
        ------
        PyMongoError
            If MongoDB fails.
        """
        if self.is_shared:
            return
        mine = self._secret
        secret = signing_key.shared(log, mine, self._file)
        if secret != mine:
            keys = [signing_key.derive(secret), signing_key.derive(mine)]
            self._secret, self._ids = secret, PredictionIds(keys)
        self.is_shared = True

    @property
    def is_wanted(self) -> bool:
        """Whether the key should be shared as soon as MongoDB is there.

        It is new on this machine, or somebody has shown an id that another worker may have signed.
        """
        return self._wanted and not self.is_shared

    def want(self) -> None:
        """Ask for the key that other workers have."""
        self._wanted = True

    def issue(self, problem: str, version: int, count: int, *, logged: bool) -> list[str]:
        """Return the ids of a request's predictions."""
        return self._ids.issue(problem, version, count, logged=logged)

    def read(self, prediction_id: str) -> Issued | None:
        """Return what an id says; None if it was not issued by this service."""
        return self._ids.read(prediction_id)

    def sender(self, key: str | None) -> str | None:
        """Return the digest of whoever has an API key, given by its SHA-256; None without one."""
        return None if key is None else signing_key.sender(self._secret, key)
