"""Environment variables: what they say, and in a sentence what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from perennial.redaction import redact

# Kubernetes tells every pod where the Services of its namespace are, by variables that begin with
# the name of a Service: one called `serving` sets SERVING_PORT, among others.
_SERVICE_LINK = re.compile("(tcp|udp|sctp)://")
_SERVICE_VARIABLE = re.compile(
    r"(\w*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


# What a digest of a key or a token looks like.
SHA256 = "^[0-9a-f]{64}$"


class Environment(BaseSettings):
    """Settings that are read from environment variables.

    Attributes
    ----------
    secrets_of : frozenset of str
        The settings whose values are never shown, and which must not be set and empty.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)
    secrets_of: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _leave_out_service_links(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Leave out the ports that Kubernetes has set, not a person."""
        return {
            name: value
            for name, value in values.items()
            if not (name.endswith("port") and _SERVICE_LINK.match(str(value)))
        }


def complaints(kind: type[Environment], environment: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the variables of these settings, each with its name.

    A variable is wrong, unknown, or a secret that is empty. The value of a secret is not shown.
    """
    wrong = [*_unknown(kind, environment), *_empty(kind, environment)]
    try:
        kind()
    except ValidationError as error:
        wrong += [_complaint(kind, detail) for detail in error.errors(include_url=False)]
    return wrong


def _variable(kind: type[Environment], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _unknown(kind: type[Environment], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a complaint about each variable that looks like one of these settings and is none."""
    prefix = kind.model_config.get("env_prefix") or ""
    known = {name.upper() for name in kind.model_fields}
    for variable, value in environment.items():
        name = variable.upper().removeprefix(prefix)
        if not prefix or name == variable.upper() or name in known or _is_link(name, value):
            continue
        (nearest,) = get_close_matches(name, known, 1, cutoff=0.0)
        yield f"{variable} is no setting; the nearest one is {prefix}{nearest}"


def _is_link(name: str, value: str) -> bool:
    """Return whether Kubernetes has set a variable, to say where a Service is."""
    if name.endswith("PORT") and _SERVICE_LINK.match(value):
        return True
    return _SERVICE_VARIABLE.fullmatch(name) is not None


def _empty(kind: type[Environment], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a complaint about each secret that is set and empty: somebody meant it to be there."""
    secrets = {_variable(kind, name) for name in kind.secrets_of}
    for variable, value in environment.items():
        if variable.upper() in secrets and not value.strip():
            yield f"{variable} is set and empty: give it its value, or unset it"


def _complaint(kind: type[Environment], detail: Any) -> str:
    """Return what is wrong with a variable, in the words of a sentence."""
    message = str(detail["msg"])
    if detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
    else:
        message, _, _ = message.partition(", unable to ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    pattern = detail.get("ctx", {}).get("pattern")
    if pattern == SHA256:
        wanted = "must be SHA-256 in hexadecimal, 64 of 0-9 and a-f, and not what it is made of"
    else:
        wanted = message.replace("Input should be", "must be")
        wanted = wanted.replace("String should", "must")
    return f"{_variable(kind, name)} {wanted}{_shown(kind, name, detail['input'])}"


def _shown(kind: type[Environment], name: str, value: object) -> str:
    """Return the value of a setting that may be shown: a number, a switch, one of a few words."""
    annotation = str(kind.model_fields[name].annotation)
    is_text = any(text in annotation for text in ("str", "Secret", "Path"))
    if name in kind.secrets_of or (is_text and "Literal" not in annotation):
        return ""
    return f", not {redact(str(value))!r}"
