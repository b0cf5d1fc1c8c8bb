"""Charts for a browser without a network: specifications, still pictures, JavaScript.

Vega, Vega-Lite and vega-embed come out of vl-convert, which holds them all, so that the
site draws with the versions that Altair writes for.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from dashboard.theme import Ink, ink

Draw = Callable[[bool], alt.LayerChart]  # given whether the theme is dark
FONT = "system-ui, sans-serif"
STILL_WIDTH = 760  # pixels


def version() -> str:
    """The version of Vega-Lite that Altair writes for, as vl-convert names it."""
    return ".".join(re.findall(r"\d+", alt.SCHEMA_VERSION)[:2])


@cache
def javascript() -> str:
    """The libraries as one script; it sets `vegaEmbed` and leaves no other name."""
    bundle = vl_convert.javascript_bundle(vl_version=version())
    return f"(() => {{\n{bundle}\n}})();\n"


def specification(draw: Draw, dark: bool) -> dict[str, Any]:
    """The chart that `draw` gives, as wide as its place, in the colours of a theme."""
    with alt.data_transformers.enable("default", max_rows=None):
        values = draw(dark).to_dict()
    del values["$schema"]  # an address, which nothing here has
    values["config"] = _config(ink(dark)) | values["config"]
    values["width"] = "container"
    values["autosize"] = {"type": "fit-x", "contains": "padding"}
    return values


def still(light: dict[str, Any]) -> str:
    """The light theme's specification as an SVG picture, for print and papers."""
    values = light | {"width": STILL_WIDTH, "background": ink(False).paper}
    return vl_convert.vegalite_to_svg(
        values, vl_version=version(), allowed_base_urls=[]
    )


def both_themes(light: dict[str, Any], dark: dict[str, Any]) -> dict[str, Any]:
    """Both specifications, and the data that they share."""
    datasets = light["datasets"] | dark["datasets"]
    alone = [
        {key: value for key, value in each.items() if key != "datasets"}
        for each in (light, dark)
    ]
    return {"light": alone[0], "dark": alone[1], "datasets": datasets}


def _config(colours: Ink) -> dict[str, Any]:
    axis = {
        "labelColor": colours.muted,
        "titleColor": colours.text,
        "tickColor": colours.grid,
        "domainColor": colours.grid,
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    }
    legend = {"labelColor": colours.text, "labelFontSize": 12.5, "symbolSize": 120}
    return {
        "background": "transparent",
        "font": FONT,
        "axis": axis,
        "legend": legend,
        "title": {"color": colours.text},
    }
