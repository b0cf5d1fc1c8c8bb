"""How the pixels of a dataset are read: the settings of that."""

from typing import Annotated, Literal

from pydantic import Field

from comvae.model.settings import Settings


class DataOptions(Settings):
    """How the pixels of a dataset are read."""

    binarize: Literal["none", "threshold", "stochastic"] = Field(
        "none",
        description="`none`: grey pixels in [0, 1]; `threshold`: 1 above a half; "
        "`stochastic`: one fixed Bernoulli draw per pixel.",
    )
    data_seed: Annotated[int, Field(ge=0)] = Field(
        0, description="Seed of the stochastic binarization."
    )
