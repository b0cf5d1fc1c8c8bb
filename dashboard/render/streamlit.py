"""Blocks shown by Streamlit."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from dashboard import components
from dashboard.components import plain
from dashboard.sections import blocks as kinds

VERDICTS = {
    "supported": ("Supported", "green", ":material/check:"),
    "contradicted": ("Contradicted", "red", ":material/close:"),
    "inconclusive": ("Inconclusive", "orange", ":material/question_mark:"),
    "not run": ("Not run", "gray", ":material/hourglass_empty:"),
}


def show(blocks: Iterable[kinds.Block], results: Path) -> None:
    """Show blocks of a page, in their order; `results` is where its tables lie.

    Charts have a download of their data, where no block beside them is one.
    """
    blocks = list(blocks)
    alone = not any(isinstance(b, kinds.Download | kinds.TableFile) for b in blocks)
    for block in blocks:
        match block:
            case kinds.Link():
                _link(block)
            case kinds.Cards(cards):
                for column, card in zip(st.columns(len(cards)), cards, strict=True):
                    with column.container(border=True, height="stretch"):
                        _card(card)
            case kinds.Heading(text):
                st.header(plain(text))
            case kinds.Subheading(text):
                st.subheader(plain(text))
            case kinds.Text(text):
                st.markdown(plain(text))
            case kinds.Caption(text):
                st.caption(plain(text))
            case kinds.Notice(text, warning):
                (st.warning if warning else st.info)(plain(text))
            case kinds.Terms(terms):
                st.markdown(
                    "\n".join(
                        f"- *{plain(word)}*: {plain(says)}" for word, says in terms
                    )
                )
            case kinds.Verdicts(statements):
                for verdict, statement in statements:
                    _verdict(verdict, statement)
            case kinds.Chart():
                _chart(block, alone)
            case kinds.Charts(charts):
                columns = st.columns(len(charts), gap="large")
                for column, chart in zip(columns, charts, strict=True):
                    with column:
                        st.markdown(plain(chart.says))
                        _chart(chart, alone)
            case kinds.Table(rows, says):
                components.text_table(rows, says=says)
            case kinds.TableFile(name):
                components.download(results, name)
            case kinds.Download(file, content):
                components.download_bytes(file, content)


def _link(link: kinds.Link) -> None:
    st.page_link(
        f"views/{link.page}.py", label=link.text, query_params=dict(link.choices)
    )


def _card(card: kinds.Card) -> None:
    finding = card.finding
    st.markdown(f"**{plain(finding.question)}**")
    st.header(plain(finding.answer), anchor=False)
    st.markdown(plain(finding.because))
    _link(card.more)


def _verdict(verdict: str, statement: str) -> None:
    words, colour, icon = VERDICTS.get(verdict, (verdict, "gray", None))
    left, right = st.columns([1, 4], vertical_alignment="center")
    left.badge(plain(words), icon=icon, color=colour)
    right.markdown(plain(statement))


def _chart(chart: kinds.Chart, download: bool) -> None:
    components.show_chart(
        chart.draw(components.dark()),
        says=chart.says,
        file=f"{chart.name}.csv".replace("_", "-") if download else None,
    )
