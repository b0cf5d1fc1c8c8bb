"""Pictures of a run, enlarged without blur."""

import io

from PIL import Image

from comvae.errors import ResultsError

WIDTH = 900  # pixels, at least: browsers blur what they must enlarge themselves


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
            f"{name}: is not a readable PNG picture ({error}); delete it and run "
            "`make study`, which evaluates this block again"
        ) from None
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    return buffer.getvalue()
