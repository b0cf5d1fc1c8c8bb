"""Charts for a browser without a network: specifications, still pictures, JavaScript.

Vega, Vega-Lite and vega-embed come out of vl-convert, which holds them all, so that the
site draws with the versions that Altair writes for.
"""

import re
from functools import cache
from textwrap import wrap
from typing import Any

import altair as alt
import vl_convert

from dashboard.elements import Chart, Draw
from dashboard.theme import Ink

FONT = "system-ui, sans-serif"
AXIS = {
    "labelFontSize": 12,
    "titleFontSize": 12.5,
    "titleFontWeight": "normal",
    "titlePadding": 10,
}
LEGEND = {"labelFontSize": 12.5, "symbolSize": 120}
STILL_WIDTH = 760  # pixels
CLIP = re.compile(r'(\bid="clip|url\(#clip)(\d+)')
CAPTION_WIDTH = 105  # characters
CAPTION = {"orient": "bottom", "anchor": "start", "offset": 16}
CAPTION |= {"fontSize": 13, "fontWeight": "normal", "fontStyle": "italic"}


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
    ink = Ink(dark)
    with alt.data_transformers.enable("default", max_rows=None):
        values = draw(dark).to_dict()
    del values["$schema"]  # an address, which nothing here has
    axis = {"labelColor": ink.muted, "titleColor": ink.text}
    axis |= {"tickColor": ink.grid, "domainColor": ink.grid}
    config = {
        "background": "transparent",
        "font": FONT,
        "axis": AXIS | axis,
        "legend": LEGEND | {"labelColor": ink.text},
        "title": {"color": ink.text},
    }
    values["config"] = config | values["config"]
    values["autosize"] = {"type": "fit-x", "contains": "padding"}
    return values


def picture(chart: Chart, form: str = "svg") -> bytes:
    """The chart above its caption in the light theme, for print and papers."""
    values = specification(chart.still or chart.draw, dark=False)
    values = {"width": STILL_WIDTH} | values | {"background": Ink(dark=False).paper}
    if "title" not in values:
        values["title"] = CAPTION | {"text": wrap(chart.says, CAPTION_WIDTH)}
    how = {"vl_version": version(), "allowed_base_urls": []}
    if form == "png":
        return vl_convert.vegalite_to_png(values, scale=2, **how)
    svg = vl_convert.vegalite_to_svg(values, **how)
    # Vega numbers the clips of a process, not of a picture.
    place: dict[str, int] = {}
    of_picture = CLIP.sub(
        lambda clip: f"{clip[1]}{place.setdefault(clip[2], len(place))}", svg
    )
    return of_picture.encode()


def both_themes(chart: Chart) -> dict[str, Any]:
    """The specification in both themes, as wide as its place; and their data."""
    light, dark = (specification(chart.draw, theme) for theme in (False, True))
    light["width"] = dark["width"] = "container"
    datasets = light.pop("datasets") | dark.pop("datasets")
    return {"light": light, "dark": dark, "datasets": datasets}
