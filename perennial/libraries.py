"""What other libraries read from the environment: no telemetry, no passwords in addresses.

Libraries read these variables when they are imported, so `prepare_environment` comes first.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from base64 import b64encode
from types import TracebackType

from perennial.errors import OutsideError
from perennial.redaction import Address, redact, redact_logs, split_credentials
from perennial.settings import WEB, get_settings, require_encoded

# MLflow's pages begin with generative AI unless their address says this.
MLFLOW_MODELS = "workflowType=machine_learning"


def prepare_environment() -> None:
    """Set the defaults of the libraries: no telemetry, everything in the data folder.

    Libraries read these variables when they are imported, so this comes first. Values that the
    environment already has are respected. Passwords leave the addresses that libraries print.

    Raises
    ------
    OutsideError
        If a setting is wrong; it ends the program with its sentence.
    """
    redact_logs()
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _say_why
    _hide_credentials()
    defaults = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "BENTOML_DO_NOT_TRACK": "True",
        "DAGSHUB_DISABLE_ANALYTICS": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # An absent MLflow server is reported within seconds instead of minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        # The first start of the ephemeral API creates its database, slowly on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": str(os.cpu_count() or 1),
    }
    if not os.environ.keys() & {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"}:
        defaults["PREFECT_HOME"] = _embedded_prefect_home()
        if not get_settings().data_dir.exists():
            # Prefect makes no folder but the last one, and warns; what stores anything makes it.
            warnings.filterwarnings("ignore", "Failed to create the Prefect home", UserWarning)
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _say_why(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say why the program ends: in a sentence, if a person can mend it outside of the code."""
    if isinstance(error, OutsideError):
        sys.stderr.write(f"{error}\n")
    else:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _hide_credentials() -> None:
    """Move the passwords of addresses to where libraries look for them, and do not print them."""
    if uri := configured_prefect_api():
        address = _split("PREFECT_API_URL", uri)
        if address.user:
            os.environ["PREFECT_API_URL"] = address.uri
            os.environ.setdefault("PREFECT_API_AUTH_STRING", f"{address.user}:{address.password}")
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ["MLFLOW_TRACKING_URI"] = without_mlflow_password(uri)


def without_mlflow_password(uri: str) -> str:
    """Return MLflow's address; its user and password go to the variables that MLflow reads."""
    if not uri.startswith(WEB):
        return uri
    address = _split("MLFLOW_TRACKING_URI", uri)
    # MLflow takes only both, or neither.
    if not (address.user and address.password):
        return uri
    if not os.environ.keys() & {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}:
        os.environ["MLFLOW_TRACKING_USERNAME"] = address.user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = address.password
    return address.uri


def _split(variable: str, uri: str) -> Address:
    try:
        return split_credentials(require_encoded(uri))
    except ValueError as error:
        raise OutsideError(f"{variable} {error}.") from None


def configured_prefect_api() -> str | None:
    """Return the address of the Prefect API that the environment names, if it names one."""
    return os.environ.get("PREFECT_API_URL") or None


def prefect_headers() -> dict[str, str]:
    """Return the headers by which Prefect's API knows who asks: those of its own client."""
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if password := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {b64encode(password.encode()).decode()}"}
    return {}


def uses_embedded_prefect() -> bool:
    """Return whether no Prefect API is configured; only after `prepare_environment`."""
    return (
        "PREFECT_API_URL" not in os.environ
        and os.environ.get("PREFECT_HOME") == _embedded_prefect_home()
    )


def _embedded_prefect_home() -> str:
    return str(get_settings().data_dir.absolute() / "prefect")
