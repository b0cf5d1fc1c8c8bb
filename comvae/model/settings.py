"""The base of all settings: pydantic models that refuse what they do not know."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# YAML reads `1e-3` as text, so numbers with a fraction are read leniently;
# everything else is strict: "60" is not 60 and `true` is not 1.
Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
PositiveNumber = Annotated[Number, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Settings that refuse unknown keys and wrong types, and never change."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True
    )
