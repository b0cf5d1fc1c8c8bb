"""The pictures of a run: arrays for the dashboard, and grids to look at anywhere."""

import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from comvae.errors import ResultsError
from comvae.files import replacing
from comvae.results import paths
from comvae.results.index import Run
from comvae.results.reading import kept

GRID = 16  # images in a row of a grid
PADDING = 2  # white pixels between them
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


def write_pictures(folder: Path, drawn: dict[int, dict[str, np.ndarray]]) -> None:
    """Write `seed-<s>.npz` and its grids `seed-<s>-{reconstructions,samples}.png` for
    each seed; the folder is there even if no seed has pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, arrays in drawn.items():
        _write_seed(folder / f"seed-{seed}", arrays)


def _write_seed(stem: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(stem.with_suffix(".npz")) as path:
        np.savez_compressed(path, **arrays)
    count = len(arrays["image"])
    wanted = min(GRID, count)
    shown = (2 * np.arange(wanted) + 1) * count // (2 * wanted)  # evenly spread
    pair = [arrays[name][shown] for name in ("original", "reconstruction")]
    _save_grid(np.concatenate(pair), stem.with_name(f"{stem.name}-reconstructions.png"))
    _save_grid(arrays["sample"], stem.with_name(f"{stem.name}-samples.png"))


def _save_grid(images: np.ndarray, path: Path) -> None:
    """uint8 (images, height, width) as a PNG file, GRID in a row, on white."""
    enlarge = max(1, 56 // images.shape[2])
    tiles = images.repeat(enlarge, 1).repeat(enlarge, 2)
    columns = min(GRID, len(tiles))
    edges = (0, -len(tiles) % columns), (0, PADDING), (0, PADDING)
    tiles = np.pad(tiles, edges, constant_values=255)
    height, width = tiles.shape[1:]
    page = tiles.reshape(-1, columns, height, width).swapaxes(1, 2)
    page = page.reshape(-1, columns * width)
    page = np.pad(page, ((PADDING, 0), (PADDING, 0)), constant_values=255)
    Image.fromarray(page).save(path)


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
    return _load(run.evaluation / paths.PICTURES / f"seed-{run.seed}.npz")


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
