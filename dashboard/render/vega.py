"""Charts for a browser without a network: specifications, still pictures, JavaScript.

Vega, Vega-Lite and vega-embed come out of vl-convert, which holds them all, so that the
site draws with the versions that Altair writes for.
"""

import re
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from dashboard.elements import Chart, Draw
from dashboard.theme import Ink, ink

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
    """The chart that `draw` gives, in the colours of a theme."""
    with alt.data_transformers.enable("default", max_rows=None):
        values = draw(dark).to_dict()
    del values["$schema"]  # an address, which nothing here has
    values["config"] = _config(ink(dark)) | values["config"]
    values["autosize"] = {"type": "fit-x", "contains": "padding"}
    return values


def picture(chart: Chart) -> str:
    """The chart in the light theme as an SVG picture, for print and papers."""
    values = specification(chart.still or chart.draw, dark=False)
    values = {"width": STILL_WIDTH} | values | {"background": ink(False).paper}
    return vl_convert.vegalite_to_svg(
        values, vl_version=version(), allowed_base_urls=[]
    )


def both_themes(chart: Chart) -> dict[str, Any]:
    """The specification in both themes, as wide as its place; and their data."""
    both = [
        specification(chart.draw, dark=dark) | {"width": "container"}
        for dark in (False, True)
    ]
    light, dark = ({k: v for k, v in each.items() if k != "datasets"} for each in both)
    datasets = both[0]["datasets"] | both[1]["datasets"]
    return {"light": light, "dark": dark, "datasets": datasets}


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
