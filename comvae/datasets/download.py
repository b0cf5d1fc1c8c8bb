"""Download one file over HTTP: with retries, a stall limit and a size limit."""

import logging
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from pooch import HTTPDownloader

from comvae.errors import DatasetError

log = logging.getLogger("comvae")

PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
TRANSPORT_ERRORS = (
    requests.ConnectionError,  # which a stall while reading is, too
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


@dataclass(frozen=True)
class Patience:
    """How long a download is tried; times in seconds."""

    attempts: int = 4
    wait: float = 1.0  # before the second attempt; it doubles with each one more
    timeout: float = 30.0  # without a single byte


PATIENCE = Patience()


@dataclass
class Downloader:
    """Downloads files, and remembers the servers that did not answer at all."""

    patience: Patience = PATIENCE
    silent: dict[str, str] = field(default_factory=dict)

    def __call__(self, url: str, target: Path, limit: int) -> None:
        """Download `url` to `target`, at most `limit` bytes.

        Raises DatasetError, with the reason alone as its message, and leaves
        no file behind.
        """
        server = urlsplit(url).netloc
        if server in self.silent:
            raise DatasetError(f"not asked again ({self.silent[server]})")
        try:
            self._with_retries(url, target, limit)
        except requests.RequestException as error:
            reason = _reason(error)
            if isinstance(error, TRANSPORT_ERRORS):
                reason += f", {self.patience.attempts} times"
                self.silent[server] = reason
            raise DatasetError(reason) from None

    def _with_retries(self, url: str, target: Path, limit: int) -> None:
        wait = self.patience.wait
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return _download(url, target, limit, self.patience.timeout)
            except (requests.RequestException, DatasetError) as error:
                target.unlink(missing_ok=True)
                if attempt == self.patience.attempts or not _may_pass(error):
                    raise
                log.info(
                    "%s: %s; trying again in %g s", shown(url), _reason(error), wait
                )
                time.sleep(wait)
                wait *= 2
        return None


class BoundedFile:
    """A file that refuses to grow beyond `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file, self.limit, self.left = file, limit, limit

    def write(self, data: bytes) -> None:
        """Write `data`, or raise DatasetError where it does not fit any more."""
        self.left -= len(data)
        if self.left < 0:
            raise DatasetError(f"found more than the {self.limit} bytes expected")
        self.file.write(data)

    def flush(self) -> None:
        """Left to the end: pooch flushes after every chunk."""


def shown(location: str) -> str:
    """A URL without user name and password; a path as it is."""
    if not is_url(location):
        return location
    scheme, _, rest = location.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}"


def is_url(location: str) -> bool:
    """Whether a location is an http or https URL, not a path."""
    return location.lower().startswith(("http://", "https://"))


def _download(url: str, target: Path, limit: int, timeout: float) -> None:
    log.info("downloading %s", shown(url))
    transfer = HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 16,
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _refuse_downgrade},
    )
    with target.open("wb") as file:
        transfer(url, BoundedFile(file, limit), None)


def _refuse_downgrade(response: requests.Response, **_) -> None:
    """Refuse a redirection from https to anything else."""
    if not response.is_redirect or not response.url.lower().startswith("https://"):
        return
    target = urljoin(response.url, response.headers["location"])
    if not target.lower().startswith("https://"):
        raise DatasetError(f"the server redirects from https to {shown(target)}")


def _may_pass(error: Exception) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in PASSING
    return isinstance(error, TRANSPORT_ERRORS)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"{error.response.status_code} {error.response.reason}"
    text = " ".join(str(error).split())
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "the server stalled"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the download broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return text or type(error).__name__
