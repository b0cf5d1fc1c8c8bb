"""The pictures of a run: arrays for the dashboard, and grids to look at anywhere."""

from pathlib import Path

import numpy as np
from PIL import Image

from comvae.files import replacing

GRID = 16  # images in a row of a grid
PADDING = 2  # white pixels between them


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
