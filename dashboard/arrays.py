"""The arrays behind the pictures of a run, and pictures enlarged without blur."""

import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from PIL import Image

from comvae.errors import ResultsError
from dashboard import data
from dashboard.runs import Run

WIDTH = 900  # pixels, at least: browsers blur what they must enlarge themselves
UNREADABLE = (  # what NumPy raises of damaged archives
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
REMEDY = "delete it and run `make study`, which evaluates this block again"


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of `pictures/seed-<s>.npz`, which results/README.md describes.

    Letters: n images of h x w pixels, l latents, k draws from the prior, t traversals.
    """

    image: np.ndarray  # (n,), numbers in the test split
    original: np.ndarray  # (n, h, w), uint8
    reconstruction: np.ndarray  # (n, h, w), uint8
    reconstruction_nats: np.ndarray  # (n,)
    mean: np.ndarray  # (n, l), of q(z given x)
    deviation: np.ndarray  # (n, l)
    sample: np.ndarray  # (k, h, w), uint8
    traversal: np.ndarray  # (t, l, steps, h, w), uint8
    traversal_image: np.ndarray  # (t,), -1 for the mean of the prior
    traversal_step: np.ndarray  # (steps,)

    def places(self, images: list[int]) -> list[int]:
        """Where `images` stand, all of which must be there."""
        place = {int(number): at for at, number in enumerate(self.image)}
        return [place[number] for number in images]

    def dimension_kl(self) -> np.ndarray:
        """KL of q(z given x) to the prior by latent, mean over images in nats, (l,)."""
        mean, deviation = self.mean.astype(float), self.deviation.astype(float)
        kl = 0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation)
        return kl.mean(axis=0)


def load_arrays(run: Run) -> Arrays | None:
    """The arrays of a run, or None where there are none; shared, so never changed.

    Raises ResultsError for a file that is damaged.
    """
    if run.evaluation is None or run.status == "failed":
        return None
    path = run.evaluation / "pictures" / f"seed-{run.seed}.npz"
    file = data.identity(path)
    return None if file is None else _read(file)


@lru_cache(maxsize=32)
def _read(file: data.Identity) -> Arrays:
    names = [field.name for field in fields(Arrays)]
    try:
        with np.load(file[0], allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise ResultsError(
                    f"{file[0]}: has no array {', '.join(f'`{m}`' for m in missing)}, "
                    f"expected {', '.join(names)}; {REMEDY}"
                )
            found = Arrays(**{name: archive[name] for name in names})
        _check(found)
    except UNREADABLE as error:
        raise ResultsError(
            f"{file[0]}: is no readable archive of pictures "
            f"({' '.join(str(error).split())[:200]}); {REMEDY}"
        ) from None
    return found


def _check(found: Arrays) -> None:
    """Raises ValueError where the arrays are not what they must be, or do not belong
    together."""
    if found.mean.ndim != 2 or found.original.ndim != 3:
        raise ValueError("`mean` or `original` has another number of axes")
    n, latent = found.mean.shape
    size = found.original.shape[1:]
    traversed, steps = len(found.traversal_image), len(found.traversal_step)
    expected: dict[str, tuple[tuple[int, ...], str]] = {  # shape, kind of numbers
        "image": ((n,), "i"),
        "original": ((n, *size), "u"),
        "reconstruction": ((n, *size), "u"),
        "reconstruction_nats": ((n,), "f"),
        "mean": ((n, latent), "f"),
        "deviation": ((n, latent), "f"),
        "sample": ((len(found.sample), *size), "u"),
        "traversal": ((traversed, latent, steps, *size), "u"),
        "traversal_image": ((traversed,), "i"),
        "traversal_step": ((steps,), "f"),
    }
    for name, (shape, kind) in expected.items():
        array = getattr(found, name)
        if array.shape != shape or array.dtype.kind != kind or not array.size:
            raise ValueError(
                f"`{name}` is {array.dtype} {array.shape}, expected {shape}"
            )
        if kind == "u" and array.dtype != np.uint8:
            raise ValueError(f"`{name}` is {array.dtype}, expected uint8")
        if not np.isfinite(array).all():
            raise ValueError(f"`{name}` holds what is not finite")
    if (found.deviation <= 0).any():
        raise ValueError("`deviation` holds what is not positive")


def enlarged(png: bytes, name: str) -> bytes:
    """The picture as a PNG at least WIDTH pixels wide, each pixel a sharp square.

    Raises ResultsError where `png` is no picture; `name` is the file to name then.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            factor = -(-WIDTH // picture.width)
            large = picture.resize(
                (picture.width * factor, picture.height * factor),
                Image.Resampling.NEAREST,
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ResultsError(
            f"{name}: is not a readable PNG picture ({error}); {REMEDY}"
        ) from None
    return _png(large)


def sharp(image: np.ndarray, width: int) -> bytes:
    """An image, (h, w) in uint8, as a PNG about `width` pixels wide, without blur."""
    factor = max(1, width // image.shape[1])
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return _png(Image.fromarray(large))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
