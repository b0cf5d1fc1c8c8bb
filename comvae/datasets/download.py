"""Download one file over HTTP: with retries, a stall limit and a size limit."""

import logging
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

from comvae.errors import DatasetError

log = logging.getLogger("comvae")

PASSING = {408, 429, 500, 502, 503, 504}  # statuses with which it pays to ask again


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

        Raises DatasetError, with the reason alone as its message; `target` may then
        hold a part.
        """
        server, patience = urlsplit(url).netloc, self.patience
        if server in self.silent:
            raise DatasetError(f"not asked again ({self.silent[server]})")
        for attempt in range(patience.attempts):
            try:
                return _download(url, target, limit, patience.timeout)
            except requests.RequestException as error:
                reason, response = _reason(error), error.response
            if response is not None and response.status_code not in PASSING:
                break
            if attempt + 1 < patience.attempts:
                wait = patience.wait * 2**attempt
                log.info("%s: %s; trying again in %g s", shown(url), reason, wait)
                time.sleep(wait)
        if response is None:
            reason += f", {patience.attempts} times"
            self.silent[server] = reason
        raise DatasetError(reason)


def shown(location: str) -> str:
    """A URL without user name and password; a path as it is."""
    return re.sub("(?<=://)[^/]*@", "", location) if is_url(location) else location


def is_url(location: str) -> bool:
    """Whether a location is an http or https URL, not a path."""
    return location.lower().startswith(("http://", "https://"))


def _download(url: str, target: Path, limit: int, timeout: float) -> None:
    log.info("downloading %s", shown(url))
    with requests.get(
        url,
        stream=True,
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": refuse_downgrade},
    ) as response:
        response.raise_for_status()
        size = int(response.headers.get("content-length", 0)) or None
        shows = {"unit": "B", "unit_scale": True, "disable": None}  # None: not in a log
        with target.open("wb") as file, tqdm(total=size, **shows) as bar:
            for chunk in response.iter_content(1 << 16):
                if file.tell() + len(chunk) > limit:
                    raise DatasetError(f"found more than the {limit} bytes expected")
                file.write(chunk)
                bar.update(len(chunk))


def refuse_downgrade(response: requests.Response, **_) -> None:
    """Refuse a redirection from https to anything else."""
    if not response.is_redirect or not response.url.lower().startswith("https://"):
        return
    target = urljoin(response.url, response.headers["location"])
    if not target.lower().startswith("https://"):
        raise DatasetError(f"the server redirects from https to {shown(target)}")


def _reason(error: requests.RequestException) -> str:
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
