"""Read gzipped IDX files, the format of MNIST, trusting nothing in them.

torchvision reads them too, but not compressed, and it believes their headers; its
import takes as long as that of torch.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

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


def read(gzipped: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The read-only array in a gzipped IDX file, and the SHA-256 of its content.

    A file that is not compressed is taken as it is: some servers unpack `.gz` files
    on the way. At most one byte more than `shape` needs is unpacked. Raises
    DatasetError where it is not the IDX file of a uint8 array of this shape.
    """
    header, size = _header(shape), content_size(shape)
    with gzipped.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        try:
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(size + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DatasetError(
                f"found a damaged or truncated gzip file ({error}), "
                "expected a whole gzipped IDX file"
            ) from None
    found = content[: len(header)]
    if found[:4] != header[:4]:
        raise DatasetError(
            f"found {_kind(found)}, expected an IDX file of unsigned bytes with magic "
            f"number 0x{header[:4].hex()}"
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


def _header(shape: tuple[int, ...]) -> bytes:
    sizes = (size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, UINT8, len(shape)]) + b"".join(sizes)


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.lstrip()[:1] == b"<":
        return "an HTML page"
    return f"a file that starts with 0x{start[:4].hex()}"


def _sizes(header: bytes) -> str:
    sizes = np.frombuffer(header[4 : len(header) // 4 * 4], ">u4")
    return " x ".join(map(str, sizes)) or "no dimensions"
