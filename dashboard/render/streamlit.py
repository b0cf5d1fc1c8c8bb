"""Pages shown by Streamlit."""

import mimetypes
import re
from collections.abc import Iterable
from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from comvae.errors import ResultsError
from comvae.results import reading as data
from comvae.results.paths import results_folder
from dashboard import elements as el
from dashboard import theme
from dashboard.pages import PAGES, Page
from dashboard.render.visitor import Visitor, sortable
from dashboard.study import Study, load_study

VERDICTS = {
    "supported": ("Supported", "green", ":material/check:"),
    "contradicted": ("Contradicted", "red", ":material/close:"),
    "inconclusive": ("Inconclusive", "orange", ":material/question_mark:"),
    "not run": ("Not run", "gray", ":material/hourglass_empty:"),
}
NOTICES = {"info": st.info, "warning": st.warning, "error": st.error}


def plain(text: object) -> str:
    """`text` with every character that Markdown could read as markup escaped.

    Streamlit renders captions, tables and messages as Markdown; names and messages
    that come from files must show as they are.
    """
    flat = re.sub(r"[ \t\r\n\f\v]+", " ", str(text))  # but keep non-breaking spaces
    # an address would become a link even with escapes: an invisible joiner prevents it
    flat = re.sub(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", "\N{WORD JOINER}", flat)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", flat)


def streamlit_pages() -> dict[str, st.Page]:
    """Every page as Streamlit's own, by its path."""
    return {
        page.path: st.Page(
            lambda page=page: show_page(page),
            title=page.title,
            url_path=page.path,
            default=page is PAGES[0],
            visibility="visible" if page.linked else "hidden",
        )
        for page in PAGES
    }


def show_page(page: Page) -> None:
    """The whole page, for its visitor."""
    study = load_study(results_folder())
    title = page.title
    if page is PAGES[0]:
        title = f"Study: {study.name}" if study.name else "The study"
    st.title(plain(title))
    visitor = Visitor(page.path)
    Shown(study, visitor).show(page.elements(study, visitor))


class Shown:
    """Shows elements one below the other, as they are composed."""

    def __init__(self, study: Study, visitor: Visitor) -> None:
        self.study, self.visitor = study, visitor
        self.dark = st.context.theme.type == "dark"

    def show(self, page: Iterable[el.Element]) -> None:
        """Show elements in their order."""
        for element in page:
            self.visitor.end_line()
            self._element(element)

    def _element(self, element: el.Element) -> None:
        match element:
            case el.Heading(text):
                st.header(plain(text))
            case el.Subheading(text):
                st.subheader(plain(text))
            case el.Text(text):
                st.markdown(plain(text))
            case el.Caption(text):
                st.caption(plain(text))
            case el.Notice(text, kind):
                NOTICES[kind](plain(text))
            case el.Code(text):
                st.code(text, language=None)  # its colours are too pale to read
            case el.Bar(done, text):
                st.progress(done, text=plain(text))
            case el.Verdicts(statements):
                for statement in statements:
                    _verdict(*statement)
            case el.Link():
                _link(element)
            case el.WebLink(address, text):
                st.link_button(plain(text), address, icon=":material/open_in_new:")
            case el.Cards(cards):
                for place, card in zip(st.columns(len(cards)), cards, strict=True):
                    with place.container(border=True, height="stretch"):
                        _card(card)
            case el.Columns(columns, framed):
                self._columns(columns, framed)
            case el.Row(parts):
                with st.container(horizontal=True):
                    self.show(parts)
            case el.Details(title, parts):
                with st.expander(plain(title)):
                    self.show(parts)
            case el.Private(parts):
                self.show(parts)
            case el.Updating(every, compose):
                shown = st.fragment(run_every=every)(lambda: self.show(compose()))
                shown()
            case el.Chart():
                self._chart(element)
            case el.Picture():
                st.image(
                    element.content,
                    caption=plain(element.caption) or None,
                    width=element.width or "stretch",
                    alt=element.says,
                )
            case el.Table(rows, says):
                escaped = rows.map(plain).rename(columns=plain)
                st.table(escaped, border="horizontal", hide_index=True, alt=says)
            case el.SortableTable():
                sortable(element)
            case el.File(path):
                self._file(Path(path))
            case el.Download(file, content):
                _download(f"Download {file}", file, content)

    def _columns(self, columns, framed: bool) -> None:
        gap = "small" if framed else "large"
        for place, parts in zip(
            st.columns(len(columns), gap=gap), columns, strict=True
        ):
            frame = place.container(border=True, height="stretch") if framed else place
            with frame:
                self.show(parts)

    def _chart(self, chart: el.Chart) -> None:
        """A chart over the full width, and below it a button that saves it."""
        drawn = chart.draw(self.dark)
        muted = theme.ink(self.dark).muted  # Streamlit's own grey is too pale to read
        words = {"labelColor": muted, "titleColor": muted}
        shown = drawn.configure_axis(**words).configure_legend(**words)
        name = chart.name.replace("_", "-")
        with st.container(gap=None, horizontal_alignment="right"):
            st.altair_chart(shown, width="stretch", alt=chart.says)
            if chart.still is not None:
                _download(
                    f"Download {name}.svg",
                    f"{name}.svg",
                    lambda: _picture(chart),
                    type="tertiary",
                )
            elif chart.download:
                _download(
                    f"Download {name}.csv",
                    f"{name}.csv",
                    lambda: table_behind(drawn).to_csv(index=False).encode(),
                    type="tertiary",
                )

    def _file(self, path: Path) -> None:
        file = self.study.results / path
        try:
            there = data.identity(file) is not None
        except ResultsError:
            there = False  # the page has said why
        if there:
            alone = len(path.parts) < 2 or path.parts[0] in ("tables", "report")
            parts = [path.name] if alone else [path.parent.name, path.name]
            _download(f"Download {', '.join(parts)}", "-".join(parts), file.read_bytes)


def table_behind(chart: alt.LayerChart) -> pd.DataFrame:
    """The table behind a chart: of those of its layers, the one with most columns."""
    layers = [chart, *chart.layer]
    tables = [each.data for each in layers if isinstance(each.data, pd.DataFrame)]
    return max(tables, key=lambda table: table.shape[1])


def _picture(chart: el.Chart) -> bytes:
    from dashboard.render import vega  # a large library that few visits need

    return vega.picture(chart).encode()


def _download(label: str, file: str, content, **look: str) -> None:
    """A button that saves `content`, or what it gives when it is asked, as `file`."""
    st.download_button(
        plain(label),
        content,
        file_name=file,
        mime=mimetypes.guess_type(file)[0] or "application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        key=f"download-{file}",
        **look,
    )


def _link(link: el.Link) -> None:
    page = streamlit_pages()[link.page]
    st.page_link(page, label=plain(link.text), query_params=link.choices)


def _card(card: el.Card) -> None:
    st.markdown(f"**{plain(card.question)}**")
    st.header(plain(card.answer), anchor=False)
    st.markdown(plain(card.because))
    _link(card.more)


def _verdict(verdict: str, statement: str) -> None:
    words, colour, icon = VERDICTS.get(verdict, (verdict, "gray", None))
    left, right = st.columns([1, 4], vertical_alignment="center")
    left.badge(plain(words), icon=icon, color=colour)
    right.markdown(plain(statement))
