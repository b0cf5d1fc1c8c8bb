"""Files of tensors: safetensors, which hold no code."""

import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from comvae.files import replacing, sha256_of


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> str:
    """Write a file of tensors, whole or not at all; returns its SHA-256.

    Raises OSError with the name of `path`, as for any other file.
    """
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            # a full disk is an error of its own class there, with the number in words
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        return sha256_of(temporary)
