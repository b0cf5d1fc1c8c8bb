"""What goes wrong with MLflow, as one message for a user."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from comvae.errors import ComvaeError
from comvae.study.passwords import without_password

LONGEST = 200  # characters of what MLflow says


class TrackingError(ComvaeError):
    """The MLflow store cannot be used."""


@contextmanager
def understood(uri: str, is_mirror: bool) -> Iterator[None]:
    """Turn what MLflow and the layers below it raise into a TrackingError.

    `is_mirror`: the store is the database in `results/`, which an import makes again.
    """
    try:
        yield
    except ComvaeError:
        raise
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"MLflow cannot be imported ({error}): install it with "
            "`pip install 'comvae[tracking]'`"
        ) from None
    except Exception as error:
        kinds = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
        if kinds & {"mlflow", "sqlalchemy", "alembic", "requests"}:
            message = f"tracking.uri {uri}: {_what_happened(error, uri, is_mirror)}"
        elif isinstance(error, OSError):
            place, why = error.filename or uri, error.strerror or error
            message = (
                f"{place}: MLflow cannot use it ({why}); mend that and import again"
            )
        else:
            raise
        raise TrackingError(without_password(message)) from None


def _what_happened(error: Exception, uri: str, is_mirror: bool) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    if is_server(uri):
        return _server_failure(said)
    if is_mirror:
        return (
            f"MLflow cannot use it ({_shortened(said)}); rename "
            f"{uri.removeprefix('sqlite:///')} and import again: the files under "
            "`results/` are the truth, and what you noted by hand stays in the old file"
        )
    return (
        f"MLflow cannot use it ({_shortened(said)}); expected `sqlite:///<file>` or "
        "the address of a running server such as `http://127.0.0.1:5000`"
    )


def _server_failure(said: str) -> str:
    """What a server did, from the text of MLflow's exception, and what helps."""
    code = re.search(r"failed with error code (\d+)|too many (\d+) error", said)
    status = int(code[1] or code[2]) if code else None
    said, _, body = said.partition(" Response body: ")
    if body and "<" not in body:
        said = body.strip("'")  # the server's own words, and not the page of a proxy
    if status == 401:
        return (
            "the MLflow server refuses this user; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment"
        )
    if status == 403 or said.startswith("PERMISSION_DENIED"):
        return (
            f"the MLflow server forbids it ({_shortened(said)}); ask whoever runs it "
            "for the permission, or to name this address in its --allowed-hosts"
        )
    if status is not None and status >= 500:
        return (
            f"the MLflow server fails (HTTP status {status}); look at its log, and at "
            "the proxy in front of it, if there is one"
        )
    if status is not None or "valid JSON" in said:
        return (
            "what answers there is no MLflow server "
            f"(HTTP status {status or '200, but no JSON'}); correct the address"
        )
    if cause := re.search(r"Max retries exceeded.*\(Caused by (.*)\)", said):
        return (
            f"the MLflow server cannot be reached ({_shortened(cause[1])}); start it, "
            "or correct the address"
        )
    return f"MLflow cannot use this server ({_shortened(said)}); look at its log"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def is_server(uri: str) -> bool:
    """Whether a tracking URI is the address of an MLflow server.

    Raises TrackingError where it is meant as one and wrong.
    """
    if not uri.startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(uri)
        sound = parts.hostname and parts.port != 0 and not re.search(r"\s", uri)
    except ValueError:
        sound = False
    if not sound:
        raise TrackingError(
            f"tracking.uri {without_password(uri)}: is no address, expected one such "
            "as `http://127.0.0.1:5000`"
        )
    return True
