"""The settings of the console."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from perennial.environment import Environment
from perennial.redaction import split_credentials
from perennial.settings.api_keys import require_api_key
from perennial.settings.values import by_commas

# What an API key of the console may be allowed.
SCOPES = ("approve", "rollback", "retrain", "quarantine", "schedule")
_WEB = ("http://", "https://")

ApiKeyEntry = Annotated[str, AfterValidator(require_api_key(SCOPES, SCOPES))]


class ConsoleSettings(Environment):
    """The settings of the console, read from environment variables that begin with CONSOLE_."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")
    secrets_of = frozenset({"api_key_hashes"})

    api_key_hashes: Annotated[tuple[ApiKeyEntry, ...], NoDecode, BeforeValidator(by_commas)] = (
        Field(
            default=(),
            description="SHA-256 of every API key by which people decide in the console, by "
            "commas, each with `:` and its scopes (`approve+rollback+retrain+quarantine+schedule`) "
            "or with all, and behind them with `@` and its problems (`approve@NAME+NAME`) or with "
            "all; none: the console only shows",
        )
    )
    refresh_seconds: float = Field(
        default=15.0,
        gt=0,
        description="how often the console asks MLflow, MongoDB and Prefect at most, while "
        "somebody reads it",
    )
    prefect_url: str | None = Field(
        default=None,
        description="where people open Prefect; default PREFECT_API_URL without `/api`",
    )
    grafana_url: str | None = Field(
        default=None, description="where people open Grafana; default no link"
    )

    @field_validator("prefect_url", "grafana_url")
    @classmethod
    def _check_address(cls, url: str | None) -> str | None:
        """Refuse what is no address of a page, and leave out who asks: people read it."""
        if url is None:
            return None
        if not url.startswith(_WEB):
            raise ValueError("must begin with http:// or https://")
        return split_credentials(url).uri.rstrip("/")
