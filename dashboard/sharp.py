"""Pictures enlarged without blur."""

import io

from PIL import Image

from comvae.errors import ResultsError
from comvae.results.pictures import REMEDY

WIDTH = 900  # pixels, at least: browsers blur what they must enlarge themselves


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
