"""The settings of the service."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from perennial.environment import SHA256, Environment
from perennial.schema import Name
from perennial.settings.api_keys import require_api_key
from perennial.settings.values import by_commas

# What an API key may be allowed, and how that stands behind its hash.
SCOPES = ("classify", "feedback", "refresh", "metrics")
SCOPES_OF_PROBLEMS = ("classify", "feedback")
_SIGNING_CHARACTERS = 32


def _require_length(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _SIGNING_CHARACTERS:
        raise ValueError(f"must have at least {_SIGNING_CHARACTERS} characters")
    return secret


def _require_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if origin != "*" and (parts.scheme not in {"http", "https"} or origin != _origin(parts)):
        raise ValueError("must be origins such as https://example.com, without a path, or *")
    return origin


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


Origin = Annotated[str, AfterValidator(_require_origin)]
Hash = Annotated[str, StringConstraints(pattern=SHA256)]
ApiKeyEntry = Annotated[str, AfterValidator(require_api_key(SCOPES, SCOPES_OF_PROBLEMS))]
ApiKeyEntries = Annotated[tuple[ApiKeyEntry, ...], NoDecode, BeforeValidator(by_commas)]


class ServingSettings(Environment):
    """The settings of the service, read from environment variables that begin with SERVING_."""

    model_config = SettingsConfigDict(env_prefix="SERVING_")
    secrets_of = frozenset({"api_key_hashes", "refresh_token_hash", "signing_key"})

    host: str = Field(
        default="127.0.0.1",
        description="address of `python -m serving`; one that others reach needs keys",
    )
    port: int = Field(default=3000, ge=1, le=65535, description="port of `python -m serving`")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="processes that answer"
    )
    metrics_port: int | None = Field(
        default=None, description="a port of its own for /metrics; default the port of the API"
    )
    metrics_host: str = Field(default="0.0.0.0", description="address of the metrics' own port")  # noqa: S104

    max_inputs: int = Field(default=1000, ge=1, le=1_000_000, description="inputs per request")
    max_characters: int = Field(default=100_000, ge=1, description="characters per text")
    max_body_bytes: int = Field(default=10_000_000, ge=1, description="size of a request's body")
    max_head_bytes: int = Field(
        default=65_536, ge=1024, description="size of the head of a request: its line and headers"
    )
    head_seconds: float = Field(
        default=10.0, gt=0, description="how long a connection may take to send a head"
    )
    max_connections: int = Field(
        default=4096,
        ge=1,
        description="connections of a worker, fewer where the system allows fewer files; for one "
        "more the one that has said nothing for longest is closed",
    )
    max_concurrency: int = Field(
        default=512, ge=1, description="requests that a worker has in hand; more are told to wait"
    )
    body_seconds: float = Field(
        default=4.0, gt=0, description="how long a request may take to send its body"
    )
    answer_seconds: float = Field(
        default=4.0, gt=0, description="how long one request may be worked on"
    )
    inline_characters: int = Field(
        default=40_000,
        ge=0,
        description="characters scored in one go; larger requests let others pass in between",
    )

    default_model: Name | None = Field(
        default=None,
        description="problem that answers a request which names none; default the only one, so "
        "that such a request is refused as soon as a second problem is served",
    )
    poll_seconds: float = Field(
        default=5.0, gt=0, description="how often a worker looks at the registry"
    )
    api_key_hashes: ApiKeyEntries = Field(
        default=(),
        description="SHA-256 of every valid API key in hexadecimal, by commas, each with `:` and "
        "its scopes (`classify+feedback+refresh+metrics`) or with all, and with `@` and the "
        "problems of `classify` and `feedback` (`classify@NAME+NAME`) or with all; none: no keys",
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(by_commas)] = Field(
        default=(),
        description="origins such as `https://example.com`, by commas, whose pages may ask from a "
        "browser, or `*` for all; none: only the service's own page",
    )
    open: bool = Field(default=False, description="answer everybody without keys, on any address")
    refresh_token_hash: Hash | None = Field(
        default=None, description="SHA-256 of the token for POST /refresh"
    )
    signing_key: Annotated[SecretStr, AfterValidator(_require_length)] | None = Field(
        default=None,
        description="what signs prediction ids and hides API keys in the digests of senders, the "
        "same for all pods; default one that is kept in the log's database",
    )

    access_log: bool = Field(
        default=False, description="write a line into the service's log for each request"
    )
    log_format: Literal["text", "json"] | None = Field(
        default=None, description="how the service writes its log; default LOG_FORMAT"
    )
    log_share: float = Field(default=1.0, ge=0, le=1, description="share of the requests logged")
    log_texts: bool = Field(
        default=True, description="keep texts in the log; feedback needs them for new documents"
    )
    log_database: str = Field(default="perennial", description="MongoDB database of the log")
    log_days: float = Field(default=30.0, gt=0, description="days after which the log forgets")
    log_per_second: int = Field(
        default=50,
        ge=1,
        description="predictions that a worker writes per second; the queue takes short bursts, "
        "the rest is left out",
    )
    log_queue: int = Field(
        default=10_000, ge=1, description="predictions that wait in a worker for MongoDB"
    )

    @field_validator("host")
    @classmethod
    def _resolve(cls, host: str) -> str:
        """Return the address that a name such as localhost stands for."""
        try:
            return str(ip_address(host.strip("[]")))
        except ValueError:
            return _address_of(host)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.may_listen(self.host):
            raise ValueError(open_to_others(self.host))
        if self.metrics_port == self.port:
            raise ValueError(
                f"SERVING_METRICS_PORT must be another port than SERVING_PORT, {self.port}"
            )
        return self

    def may_listen(self, host: str) -> bool:
        """Return whether the API may be offered at an address: to others only with keys."""
        return bool(self.api_key_hashes) or self.open or ip_address(host).is_loopback


def open_to_others(host: str) -> str:
    """Return what is said of an address at which everybody would be answered."""
    return (
        f"SERVING_HOST {host} is an address that others reach, and SERVING_API_KEY_HASHES is not "
        "set: set it, or SERVING_OPEN=true to answer everybody"
    )


def _address_of(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"must be an address of this machine, not {host!r}") from None
    addresses = [str(entry[4][0]) for entry in found]
    return next((address for address in addresses if ":" not in address), addresses[0])
