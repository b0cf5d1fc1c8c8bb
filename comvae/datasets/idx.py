"""Read gzipped IDX files, the format of MNIST, trusting nothing in them."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from comvae.errors import DatasetError

CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 0x08  # the code of the pixel type in the magic number


def header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of the IDX file of a uint8 array of this shape."""
    sizes = (size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, UINT8, len(shape)]) + b"".join(sizes)


def content_size(shape: tuple[int, ...]) -> int:
    """Bytes of the IDX file of a uint8 array of this shape."""
    return len(header(shape)) + int(np.prod(shape))


def gzip_limit(shape: tuple[int, ...]) -> int:
    """Bytes that the gzipped IDX file has at most: gzip hardly enlarges noise."""
    size = content_size(shape)
    return size + size // 100 + CHUNK


def unpack(gzipped: Path, target: Path, shape: tuple[int, ...]) -> str:
    """Write the content of a gzipped IDX file to `target`; return its SHA-256.

    A file that is not compressed is taken as it is: some servers unpack `.gz` files
    on the way. At most one byte more than `shape` needs is unpacked. Raises
    DatasetError where it is not the IDX file of a uint8 array of this shape.
    """
    digest = hashlib.sha256()
    left = content_size(shape) + 1
    try:
        with _opened(gzipped) as source, target.open("wb") as content:
            while left and (chunk := source.read(min(left, CHUNK))):
                digest.update(chunk)
                content.write(chunk)
                left -= len(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(
            f"found a damaged or truncated gzip file ({error}), "
            "expected a whole gzipped IDX file"
        ) from None
    _check(target, shape, more=left == 0)
    return digest.hexdigest()


def read(content: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The read-only array in an unpacked IDX file, mapped into memory."""
    return np.memmap(
        content, np.uint8, mode="r", offset=len(header(shape)), shape=shape
    )


def _opened(path: Path):
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path, "rb") if packed else path.open("rb")


def _check(content: Path, shape: tuple[int, ...], *, more: bool) -> None:
    """Refuse an unpacked file that is not the IDX file of a uint8 array of `shape`."""
    expected = header(shape)
    with content.open("rb") as file:
        found = file.read(len(expected))
    if found[:4] != expected[:4]:
        raise DatasetError(
            f"found {_kind(found)}, expected an IDX file of unsigned bytes with magic "
            f"number 0x{expected[:4].hex()}"
        )
    if found != expected:
        raise DatasetError(
            f"found an IDX file of {_sizes(found)}, expected {_sizes(expected)}"
        )
    size, wanted = content.stat().st_size, content_size(shape)
    if size != wanted:
        amount = f"more than {wanted}" if more else f"{size}"
        raise DatasetError(f"found {amount} bytes of content, expected {wanted}")


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.lstrip()[:1] == b"<":
        return "an HTML page"
    return f"a file that starts with 0x{start[:4].hex()}"


def _sizes(header: bytes) -> str:
    sizes = [int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4)]
    return " x ".join(map(str, sizes)) or "no dimensions"
