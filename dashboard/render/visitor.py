"""The choices of a visitor, kept in the address, so that a view can be sent along."""

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.elements import PICTURE, Ask, Choice, SortableTable
from dashboard.text import NOTHING


class Visitor(Ask):
    """Asks whoever looks at the page.

    A choice is what the address says, else the last one made, on whichever page, else
    the first option. A first choice that nobody made is not written there, since every
    write is one more step for the browser's Back.
    """

    def __init__(self, page: str) -> None:
        self._line = None
        state = st.session_state
        if state.get("page") != page:  # whose choices have other meanings
            for key in [key for key in state if str(key).startswith("url-")]:
                del state[key]
            state["page"] = page

    @property
    def zone(self) -> tzinfo | None:
        zone = st.context.timezone
        return ZoneInfo(zone) if zone else None

    def one(self, choice: Choice) -> Any:
        found, moved = _asked_for(choice.key, choice.options)
        first = choice.options[0]
        wanted = found[0] if found else first
        if moved:
            st.session_state[choice.key] = wanted
        with self._in_line():
            chosen = st.selectbox(
                choice.label,
                choice.options,
                index=0 if moved else choice.options.index(wanted),
                format_func=choice.name,
                key=choice.key,
            )
        _keep(choice.key, [chosen], [first])
        return chosen

    def some(self, choice: Choice) -> list[Any]:
        found, moved = _asked_for(choice.key, choice.options)
        wanted = found or list(choice.default)
        if moved:
            st.session_state[choice.key] = wanted
        self.end_line()  # several options need its whole width
        chosen = st.multiselect(
            choice.label,
            choice.options,
            default=None if moved else wanted,
            format_func=choice.name,
            key=choice.key,
            wrap=True,
        )
        _keep(choice.key, chosen, choice.default)
        return chosen

    def each(self, choice: Choice, headed: bool = False) -> Iterator[Any]:
        return iter([self.one(choice)])

    def switch(self, label: str, key: str) -> bool:
        return st.toggle(label, value=True, key=key, bind="query-params")

    def rows(self, key: str, names: Sequence[str], table: SortableTable) -> list[str]:
        self.end_line()
        found, moved = _asked_for(key, names)
        selection = {"selection": {"rows": [names.index(name) for name in found]}}
        widget = f"table-{key}-{hash(tuple(names))}"  # other rows are another table
        if moved:
            st.session_state[widget] = selection
        event = sortable(
            table,
            on_select="rerun",
            selection_mode="multi-row",
            selection_default=selection,
            key=widget,
        )
        chosen = [names[row] for row in event.selection.rows if row < len(names)]
        _keep(key, chosen, [])
        return chosen

    def end_line(self) -> None:
        """What is shown next stands below the choices."""
        self._line = None

    def _in_line(self):
        if self._line is None:
            self._line = st.container(horizontal=True, vertical_alignment="bottom")
        return self._line


def _asked_for(key: str, options: Sequence[Any]) -> tuple[list[Any], bool]:
    """The options chosen before; and whether the browser's Back or Forward did it.

    The address has moved then, and the widget has not.
    """
    state, url = st.session_state, st.query_params.get(key)
    moved = url != state.get(f"url-{key}", url)
    wanted = url if moved else url or state.get(f"last-{key}")
    by_text = {str(option): option for option in options}
    names = dict.fromkeys((wanted or "").split(","))
    return [by_text[name] for name in names if name in by_text], moved


def _keep(key: str, chosen: Sequence[Any], first: Sequence[Any]) -> None:
    """Remember a choice, and write it into the address."""
    state, url = st.session_state, st.query_params.get(key)
    text, at_first = (",".join(map(str, options)) for options in (chosen, first))
    if url is not None or text != at_first:
        st.query_params[key] = state[f"last-{key}"] = text
    state[f"url-{key}"] = st.query_params.get(key)


def sortable(table: SortableTable, **options: Any):
    """A table of values; a click on a head sorts its rows."""
    rows = table.rows.reset_index(drop=True)
    columns: dict[int, Any] = {1: st.column_config.Column(pinned=True)}
    for place, name in enumerate(rows, start=1):  # 0 is the index, which is hidden
        shown = table.formats.get(name)
        if rows[name].dtype.kind == "M":
            when = "YYYY-MM-DD HH:mm:ss"
            columns[place] = st.column_config.DatetimeColumn(format=when)
        elif shown == PICTURE:
            columns[place] = st.column_config.ImageColumn(width=126)
        elif shown:
            form = "localized" if shown == ",.0f" else f"%{shown.lstrip(',')}"
            columns[place] = st.column_config.NumberColumn(format=form)
    if table.texts:  # numbers sort, texts show
        rows, texts = rows.style, table.as_text()
        for name in texts.columns.intersection([*table.texts, *table.formats]):
            for place, text in enumerate(texts[name]):
                rows.format(lambda _, text=text: text, subset=([place], [name]))
    return st.dataframe(
        rows,
        hide_index=True,
        column_config=columns,
        placeholder=NOTHING,
        alt=table.says,
        **options,
    )
