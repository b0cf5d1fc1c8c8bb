"""The paper's claims: what was found, and how the verdict is reached."""

import streamlit as st

from dashboard import components, data
from dashboard.render import show
from dashboard.sections import claims
from dashboard.study import datasets_of, load_study


def page() -> None:
    """The whole page."""
    st.title("Claims")
    results = data.results_folder()
    show([claims.INTRO], results)
    study = load_study(results)
    table = components.opened(data.load_claims, results)
    components.notices(study.index.problems)
    if table is None or table.empty:
        components.no_table(results, study.index, "claims")
        return
    dataset = components.choose("Dataset", "dataset", datasets_of(table))
    show(claims.blocks(table[table["dataset"] == dataset]), results)


page()
