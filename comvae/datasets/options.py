"""How the pixels of a dataset are read: the settings of that."""

from typing import Annotated, Literal

from pydantic import Field

from comvae.model.settings import Settings


class DataOptions(Settings):
    """How the pixels of a dataset are read."""

    pool: Annotated[int, Field(ge=1, le=11)] = Field(  # the sums of more leave int16
        1,
        description="Each square of so many by so many pixels is averaged to one, "
        "before any binarization: 2 makes 14x14 of 28x28. It divides the sides of each "
        "dataset of the study.",
    )
    binarize: Literal["none", "threshold", "stochastic", "dynamic"] = Field(
        "none",
        description="`none`: grey pixels in [0, 1]; `threshold`: 1 above a half; "
        "`stochastic`: one fixed Bernoulli draw per pixel; `dynamic`: that one for "
        "evaluation, and for training a fresh one for each seed in each epoch.",
    )
    data_seed: Annotated[int, Field(ge=0)] = Field(
        0, description="Seed of the fixed draw."
    )
