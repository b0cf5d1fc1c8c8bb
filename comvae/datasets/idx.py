"""Read IDX files, gzipped or not, the format of MNIST, trusting nothing in them.

torchvision reads them too, but not compressed, and it believes their headers; its
import takes as long as that of torch.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from comvae.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 0x08  # the code of the pixel type in the magic number


def content_size(shape: tuple[int, ...]) -> int:
    """Bytes of the IDX file of a uint8 array of this shape."""
    return len(_header(shape)) + math.prod(shape)


def gzip_limit(shape: tuple[int, ...]) -> int:
    """Bytes that the gzipped IDX file has at most: gzip hardly enlarges noise."""
    size = content_size(shape)
    return size + size // 100 + (1 << 20)


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, without the gzip around it, of which there may be two.

    Raises DatasetError where the gzip is damaged, also while it is read.
    """
    with path.open("rb") as file:
        content = file
        try:
            for _ in range(2):
                packed = content.read(len(GZIP_MAGIC)) == GZIP_MAGIC
                content.seek(0)
                content = gzip.GzipFile(None, "rb", 9, content) if packed else content
            yield content
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DatasetError(
                f"found a damaged or truncated gzip file ({error}), "
                "expected a whole one"
            ) from None


def start_of(path: Path, size: int = 200) -> bytes:
    """The first bytes of the content of a file, gzipped or not; DatasetError."""
    with unpacked(path) as content:
        return content.read(size)


def shape_of(path: Path) -> tuple[int, ...]:
    """The shape that the header of an IDX file, gzipped or not, claims; DatasetError
    where it is no IDX file of unsigned bytes."""
    start = start_of(path)
    if start[:3] != _header(())[:3] or len(start) < 4 * (1 + start[3]):
        raise DatasetError(
            f"found {_kind(start)}, expected an IDX file of unsigned bytes"
        )
    return tuple(np.frombuffer(start[4 : 4 * (1 + start[3])], ">u4").tolist())


def read(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The read-only array in an IDX file, and the SHA-256 of its content.

    The file may be gzipped, and twice, as by some servers on the way. At most one byte
    more than `shape` needs is unpacked. Raises DatasetError where it is not the IDX
    file of a uint8 array of this shape.
    """
    header, size = _header(shape), content_size(shape)
    with unpacked(path) as file:
        content = file.read(size + 1)
    found = content[: len(header)]
    if found[:4] != header[:4]:
        raise DatasetError(
            f"found {_kind(content[:200])}, expected an IDX file of unsigned bytes "
            f"with magic number 0x{header[:4].hex()}"
        )
    if found != header:
        raise DatasetError(
            f"found an IDX file of {_sizes(found)}, expected {_sizes(header)}"
        )
    if len(content) != size:
        amount = f"more than {size}" if len(content) > size else len(content)
        raise DatasetError(f"found {amount} bytes of content, expected {size}")
    array = np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
    return array, hashlib.sha256(content).hexdigest()


def checksum(array: np.ndarray) -> str:
    """The SHA-256 of a uint8 array as an IDX file."""
    digest = hashlib.sha256(_header(array.shape))
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    sizes = (size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, UINT8, len(shape)]) + b"".join(sizes)


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.lstrip()[:1] == b"<":
        return "an HTML page"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer and not the file (`git lfs pull` brings it)"
    return f"a file that starts with 0x{start[:4].hex()}"


def _sizes(header: bytes) -> str:
    sizes = np.frombuffer(header[4 : len(header) // 4 * 4], ">u4")
    return " x ".join(map(str, sizes)) or "no dimensions"
