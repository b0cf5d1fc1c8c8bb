"""A tiny dataset in every form that it can arrive in, and a server that misbehaves."""

import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import numpy as np

from comvae.datasets.download import Patience
from comvae.datasets.fetching import fetch
from comvae.datasets.registry import REGISTRY
from comvae.datasets.source import PARTS, Archive, DatasetSource, IdxFile, IdxFiles
from comvae.model.settings import Settings

S = TypeVar("S", bound=Settings)
TRAIN, TEST, HEIGHT, WIDTH, CLASSES = 6, 4, 5, 3, 3
NAMES = {
    "train-images": "train-images-idx3-ubyte.gz",
    "train-labels": "train-labels-idx1-ubyte.gz",
    "test-images": "t10k-images-idx3-ubyte.gz",
    "test-labels": "t10k-labels-idx1-ubyte.gz",
}
HASTY = Patience(attempts=3, wait=0.01, timeout=0.3)
CLOSED_PORT = "https://127.0.0.1:9"  # discard: nobody listens there


def tiny_arrays(first_label: int = 0, height: int = HEIGHT, width: int = WIDTH) -> dict:
    """Random images and labels of every class, uint8, the same on every call."""
    random = np.random.default_rng(3)
    labels = np.arange(TRAIN + TEST, dtype=np.uint8) % CLASSES + first_label
    images = random.integers(0, 256, (TRAIN + TEST, height, width), dtype=np.uint8)
    return {
        "train-images": images[:TRAIN],
        "train-labels": labels[:TRAIN],
        "test-images": images[TRAIN:],
        "test-labels": labels[TRAIN:],
    }


def idx_bytes(array: np.ndarray) -> bytes:
    """The array as an IDX file of unsigned bytes, written out by hand."""
    head = b"\x00\x00\x08" + bytes([array.ndim])
    return head + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def gzipped(content: bytes, level: int = 9) -> bytes:
    """Gzipped `content`, the same on every call."""
    return gzip.compress(content, compresslevel=level, mtime=0)


def sha256(content: bytes) -> str:
    """SHA-256 of `content` in hex."""
    return hashlib.sha256(content).hexdigest()


def tiny_source(
    publishers: Sequence[str] = (CLOSED_PORT,), **arrays: np.ndarray
) -> DatasetSource:
    """The registry entry of the tiny dataset, with the checksums of its contents; of
    the parts in `arrays`, which are named with underscores, those of other contents."""
    other = {part.replace("_", "-"): array for part, array in arrays.items()}
    files = {
        part: IdxFile(name=NAMES[part], sha256=sha256(idx_bytes(array)))
        for part, array in (tiny_arrays() | other).items()
    }
    return DatasetSource(
        title="Tiny",
        origin=IdxFiles(folder="tiny", files=files, publishers=list(publishers)),
        counts={"train": TRAIN, "test": TEST},
        height=HEIGHT,
        width=WIDTH,
        classes=CLASSES,
    )


def tiny_files() -> dict[str, bytes]:
    """The gzipped file of each part."""
    return {part: gzipped(idx_bytes(array)) for part, array in tiny_arrays().items()}


def tiny_mirror(base: Path, files: dict[str, bytes] | None = None) -> Path:
    """Lay out a mirror folder with the tiny dataset; return its base."""
    (base / "tiny").mkdir(parents=True, exist_ok=True)
    for part, content in (files or tiny_files()).items():
        (base / "tiny" / NAMES[part]).write_bytes(content)
    return base


def fetch_tiny(output: Path, mirror: Path | str | None, source=None) -> Path:
    """Fetch the tiny dataset with little patience."""
    registry = {"tiny": source or tiny_source()}
    where = None if mirror is None else str(mirror)
    return fetch("tiny", output, where, registry, HASTY)


def leftovers(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


WHOLE = sorted(["dataset.json", *(f"{part}.npy" for part in PARTS)])


def emnist_members(name: str, arrays: dict) -> dict[str, bytes]:
    """Members of the EMNIST zip, under their real names, images stored transposed."""
    members = {}
    for part, file in REGISTRY[name].origin.files.items():
        array = arrays[part]
        stored = array.transpose(0, 2, 1) if array.ndim == 3 else array
        members[f"gzip/{file.name}"] = gzipped(idx_bytes(stored))
    return members


def emnist_entry(
    name: str, archive: Archive, members: dict[str, bytes], pinned: bool = True
) -> DatasetSource:
    """The real registry entry, with the sizes and checksums of the test's files."""
    source = REGISTRY[name]
    files = {
        part: changed(
            file, gzip_sha256=sha256(members[f"gzip/{file.name}"]) if pinned else None
        )
        for part, file in source.origin.files.items()
    }
    return changed(
        source,
        origin=changed(source.origin, files=files, archive=archive),
        counts={"train": TRAIN, "test": TEST},
        height=HEIGHT,
        width=WIDTH,
        classes=CLASSES,
    )


def changed(entry: S, **changes: object) -> S:
    """A part of the registry with some of it changed."""
    return entry.model_copy(update=changes)


def zip_members(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip with these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_bytes(members))
    return path


def zip_bytes(members: dict[str, bytes]) -> bytes:
    """A zip with these members, the same on every call."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name, content in members.items():
            opened.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def zip_record(path: Path) -> Archive:
    """The archive entry of a zip that a test has built."""
    content = path.read_bytes()
    return archive_of(content)


def archive_of(content: bytes) -> Archive:
    """The archive entry of a zip of this content, which nobody publishes."""
    size, checksum = len(content), sha256(content)
    return Archive(name="gzip.zip", urls=[], folder="gzip", size=size, sha256=checksum)


@dataclass
class Reply:
    """One answer of the server; `promised` is its Content-Length."""

    body: bytes = b""
    status: int = 200
    promised: int | None = None
    stall: bool = False  # send the body, then nothing more
    location: str | None = None
    gate: threading.Barrier | None = None  # answer when so many have asked


@dataclass
class Server:
    """Replies by path, each used once but for the last; and what was asked for."""

    base: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, part: str, *replies: Reply) -> None:
        """Answer requests for the file of a part of the tiny dataset."""
        self.replies[f"/tiny/{NAMES[part]}"] = list(replies)

    def reply(self, path: str) -> Reply:
        """The next reply to a request for `path`."""
        self.asked.append(path)
        replies = self.replies.get(path, [Reply(b"not here", 404)])
        return replies.pop(0) if len(replies) > 1 else replies[0]


@contextmanager
def serving() -> Iterator[Server]:
    """A real HTTP server on loopback that has the good files of the tiny dataset."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = server.reply(self.path)
            if reply.gate:
                reply.gate.wait(30)
            promised = len(reply.body) if reply.promised is None else reply.promised
            self.send_response(reply.status)
            self.send_header("Content-Length", str(promised))
            if reply.location:
                self.send_header("Location", reply.location)
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.stall:
                self.wfile.flush()
                server.closing.wait(10)

        def log_message(self, *_) -> None:
            """Say nothing: the test asserts what was asked for."""

    for part, content in tiny_files().items():
        server.serve(part, Reply(content))
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.base = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()
