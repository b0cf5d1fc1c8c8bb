"""Pages shown by Streamlit."""

import mimetypes
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from os.path import isfile
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from comvae.results.paths import results_folder
from comvae.study.plan import study_folder
from dashboard import elements as el
from dashboard import theme
from dashboard.pages import PAGES, Page
from dashboard.render.saved import Files, of_chart, of_table, slug
from dashboard.render.visitor import Visitor, sortable
from dashboard.study import Study, find_shown, load_study, written_at

LOOK = 15  # seconds between two looks for newer results
HOLDS, FAILS = ("green", ":material/check:"), ("red", ":material/close:")
VERDICTS = {  # colour and icon
    "supported": HOLDS,
    "holds here": HOLDS,
    "contradicted": FAILS,
    "does not hold here": FAILS,
    "inconclusive": ("orange", ":material/question_mark:"),
    "not run": ("gray", ":material/hourglass_empty:"),
}
NOTICES = {"info": st.info, "warning": st.warning, "error": st.error}
WORDS = {
    el.Subheading: st.subheader,
    el.Text: st.markdown,
    el.Caption: st.caption,
}


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
    studies = [study_folder(*shown) for shown in find_shown(results_folder()).values()]
    linked = [page for page in PAGES if page.linked and page.is_there(*studies)]
    return {
        page.path: st.Page(
            lambda page=page: show_page(page),
            title=page.title,
            url_path=page.path,
            default=page is PAGES[0],
            visibility="visible" if page in linked else "hidden",
        )
        for page in PAGES
    }


def show_page(page: Page) -> None:
    """The whole page, for its visitor."""
    visitor, results = Visitor(page.path), results_folder()
    shown = find_shown(results)
    chosen = next(iter(shown), None)
    published = any(folder != results for folder, _ in shown.values())
    if len(shown) > 1 or published:  # nobody takes what is published for their own
        chosen = visitor.one(el.Choice("Study", "study", list(shown)))
    study = load_study(*shown.get(chosen, (results, None)))
    visitor.end_line()
    drawn = written_at(study)
    st.fragment(run_every=LOOK)(lambda: _changed(study, drawn))()
    tab = f"{page.title} \N{EN DASH} {PAGES[0].head(study)}"
    st.set_page_config(page_title=tab)
    st.title(plain(page.head(study)))
    Shown(study, visitor).show(page.elements(study, visitor))
    _foot(visitor, drawn, chosen)


def _changed(study: Study, drawn: float) -> None:
    """Says that the tables are newer than those that the page was drawn from."""
    if written_at(study) > drawn:
        st.warning("The results have changed since this page was drawn.")
        if st.button("Show the new ones", key="renew"):
            st.rerun()


def _foot(visitor: Visitor, drawn: float, study: str | None) -> None:
    """When the page was drawn, from tables of when, and the address of the view."""
    now = datetime.now(visitor.zone)
    text = f"As of {now:%Y-%m-%d %H:%M:%S}"
    if drawn:
        tables = datetime.fromtimestamp(drawn, visitor.zone)
        text += f", from tables of {tables:%Y-%m-%d %H:%M:%S}"
    st.caption(plain(f"{text}. This view has the address"))
    choices = st.query_params.to_dict() | ({"study": study} if study else {})
    st.code(f"{st.context.url}?{urlencode(choices)}", language=None)


class Shown:
    """Shows elements one below the other, as they are composed."""

    def __init__(self, study: Study, visitor: Visitor) -> None:
        self.study, self.visitor = study, visitor
        self.dark = st.context.theme.type == "dark"
        self.names: Counter[str] = Counter()  # of what can be saved

    def show(self, page: Iterable[el.Element]) -> None:
        """Show elements in their order."""
        for element in page:
            self.visitor.end_line()
            self._element(element)

    def _element(self, element: el.Element) -> None:
        match element:
            case el.Answer(answer, question):
                st.markdown(f"**{plain(question)}**")
                st.header(plain(answer), anchor=False)
            case el.Code(text):
                st.code(text, language=None)  # its colours are too pale to read
            case el.Notice(text, kind):
                NOTICES[kind](plain(text))
            case el.Contents(headings):
                links = [f"[{plain(head)}](#{slug(head)})" for head in headings]
                st.markdown(" \N{MIDDLE DOT} ".join(links))
            case el.Heading(text):
                st.header(plain(text), anchor=slug(text) or False)
            case el.Words(text):
                WORDS[type(element)](plain(text))
            case el.Bar(done, text):
                st.progress(done, text=plain(text))
            case el.Verdicts(rows):
                for verdict, statement, picture in rows:
                    colour, icon = VERDICTS.get(verdict, ("gray", None))
                    parts = st.columns([3, 10, 4], vertical_alignment="center")
                    parts[0].badge(plain(verdict.capitalize()), icon=icon, color=colour)
                    parts[1].markdown(plain(statement))
                    parts[2].image(picture, alt=f"{el.FOUND}: {statement}")
            case el.Link(page, text, choices):
                place = streamlit_pages()[page]
                st.page_link(place, label=plain(text), query_params=choices)
            case el.WebLink(address, text):
                icon = ":material/open_in_new:"
                st.link_button(plain(text), address, icon=icon, type="tertiary")
            case el.Columns(columns, framed):
                gap = "small" if framed else "large"
                places = st.columns(len(columns), gap=gap)
                for place, parts in zip(places, columns, strict=True):
                    if framed:
                        place = place.container(border=True, height="stretch")
                    with place:
                        self.show(parts)
            case el.Row(parts):
                with st.container(horizontal=True, vertical_alignment="center"):
                    self.show(parts)
            case el.Details(title, parts):
                with st.expander(plain(title)):
                    self.show(parts)
            case el.Private(parts):
                self.show(parts)
            case el.Updating(every, compose):
                part = st.fragment(run_every=every)
                part(lambda: Shown(self.study, self.visitor).show(compose()))()
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
                with st.container(gap=None, horizontal_alignment="right"):
                    if isinstance(element, el.SortableTable):
                        sortable(element)
                    else:
                        rows = rows.map(plain).rename(columns=plain)
                        if element.marked:
                            only = pd.IndexSlice[[*element.marked], :]
                            rows = rows.style.set_properties(only, **theme.MARKED)
                        st.table(rows, border="horizontal", hide_index=True, alt=says)
                    _save(self._once(slug(says)), of_table(element))
            case el.File(path):
                file, parts = self.study.file(path), Path(path).parts
                if isfile(file):
                    names = parts[1:] or parts  # the first is the kind of file
                    _download("-".join(names), file.read_bytes, ", ".join(names))

    def _chart(self, chart: el.Chart) -> None:
        """A chart over the full width, and below it a button that saves it."""
        drawn = chart.draw(self.dark)
        muted = theme.Ink(self.dark).muted  # Streamlit's own grey is too pale to read
        words = {"labelColor": muted, "titleColor": muted}
        shown = drawn.configure_axis(**words).configure_legend(**words)
        with st.container(gap=None, horizontal_alignment="right"):
            st.altair_chart(shown, width="stretch", alt=chart.says)
            _save(self._once(chart.name.replace("_", "-")), of_chart(chart, drawn))

    def _once(self, name: str) -> str:
        """The name, with a number where the page has one of this name already."""
        self.names[name] += 1
        return name if self.names[name] == 1 else f"{name}-{self.names[name]}"


def _save(name: str, files: Files) -> None:
    """A button that opens what saves `files`, each under the name and its ending."""
    icon = ":material/download:"
    with st.popover("Save", type="tertiary", icon=icon, key=f"save-{name}"):
        for end, content in files.items():
            _download(f"{name}.{end}", content)


def _download(file: str, content, title: str | None = None, **look: str) -> None:
    """A button that saves `content`, or what it gives when it is asked, as `file`."""
    st.download_button(
        plain(f"Download {title or file}"),
        content,
        file_name=file,
        mime=mimetypes.guess_type(file)[0] or "application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        key=f"download-{file}",
        **look,
    )
