"""The arrays behind the pictures of a run, and pictures enlarged without blur."""

import io
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from comvae.errors import ResultsError
from comvae.results.index import Run
from comvae.results.reading import kept

WIDTH = 900  # pixels, at least: browsers blur what they must enlarge themselves
REMEDY = "delete it and run `make study`, which evaluates this block again"
AXES = {  # n images of h x w pixels, l latents, k draws, t traversals of s steps
    "image": "n",
    "original": "nhw",
    "reconstruction": "nhw",
    "reconstruction_nats": "n",
    "mean": "nl",
    "deviation": "nl",
    "sample": "khw",
    "traversal": "tlshw",
    "traversal_image": "t",
    "traversal_step": "s",
}
# What numpy and zipfile raise on a damaged file. A RuntimeError: a flipped bit asks for
# a password, or for a compression that zipfile lacks.
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class Arrays(SimpleNamespace):
    """The arrays of `pictures/seed-<s>.npz`, which results/README.md describes.

    Their names and axes are those of AXES; what ends in `hw` is uint8. `image` are
    numbers in the test split, `mean` and `deviation` those of q(z given x), and a
    `traversal_image` is -1 for the mean of the prior.
    """

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
    return _load(run.evaluation / "pictures" / f"seed-{run.seed}.npz")


@kept(32)
def _load(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in AXES if name in archive.files}
        _check(found)
    except UNREADABLE as error:
        raise ResultsError(
            f"{path}: is no readable archive of pictures "
            f"({' '.join(str(error).split())[:200]}); {REMEDY}"
        ) from None
    return Arrays(**found)


def _check(found: dict[str, np.ndarray]) -> None:
    """Raises ValueError where arrays are missing, wrong, or do not belong together."""
    sizes: dict[str, int] = {}
    for name, axes in AXES.items():
        if name not in found:
            raise ValueError(f"it has no array `{name}`, expected {', '.join(AXES)}")
        array = found[name]
        sizes = dict(zip(axes, array.shape, strict=False)) | sizes
        kind = "u" if axes.endswith("hw") else "if"
        if array.shape != tuple(map(sizes.get, axes)) or array.dtype.kind not in kind:
            expected = " x ".join(str(sizes.get(axis, axis)) for axis in axes)
            raise ValueError(
                f"`{name}` is {array.dtype} {array.shape}, expected {expected}"
            )
        if not array.size or not np.isfinite(array).all():
            raise ValueError(f"`{name}` is empty or holds what is not finite")
    if (found["deviation"] <= 0).any():
        raise ValueError("`deviation` holds what is not positive")


def enlarged(png: bytes, name: str) -> bytes:
    """The picture as a PNG at least WIDTH pixels wide, each pixel a sharp square.

    Raises ResultsError where `png` is no picture; `name` is the file to name then.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            return sharp(picture, WIDTH)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ResultsError(
            f"{name}: is not a readable PNG picture ({error}); {REMEDY}"
        ) from None


def sharp(picture: Image.Image, width: int) -> bytes:
    """A picture as a PNG at least `width` pixels wide, each pixel a sharp square."""
    factor = -(-width // picture.width)
    size = (picture.width * factor, picture.height * factor)
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
