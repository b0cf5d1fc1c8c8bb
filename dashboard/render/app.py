"""The entry point: `make dashboard`, or `streamlit run dashboard/app.py`."""

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this folder on the path, but not the one that holds the package. It is
# taken out first, since this script runs again at every click.
ROOT = str(Path(__file__).resolve().parents[1])
sys.path[:] = [ROOT, *(folder for folder in sys.path if folder != ROOT)]

from dashboard.components import enter_page  # noqa: E402 (needs the path)

st.set_page_config(page_title="ComVAE study", layout="wide")
page = st.navigation(
    [
        st.Page(
            "views/overview.py", title="Overview", url_path="overview", default=True
        ),
        st.Page("views/table1.py", title="Table 1", url_path="table-1"),
        st.Page("views/claims.py", title="Claims", url_path="claims"),
        st.Page("views/gaps.py", title="Gaps", url_path="gaps"),
        st.Page("views/compare.py", title="Compare", url_path="compare"),
        st.Page("views/pictures.py", title="Pictures", url_path="pictures"),
        st.Page("views/runs.py", title="Runs", url_path="runs"),
        st.Page("views/run.py", title="One run", url_path="run", visibility="hidden"),
        st.Page("views/live.py", title="Live", url_path="live"),
        st.Page("views/provenance.py", title="Provenance", url_path="provenance"),
    ],
    position="top",
)
enter_page(page.title)
page.run()
