"""The script that `comvae dashboard` has Streamlit run.

It is not beside `pages/`, which Streamlit would take for pages of its own.
"""

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this folder on the path, but not the one that holds the package. Both
# are set at every run, since this script runs again at every click.
HERE, ROOT = str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])
sys.path[:] = [ROOT, *(folder for folder in sys.path if folder not in (HERE, ROOT))]

from dashboard.render.streamlit import streamlit_pages  # noqa: E402 (needs the path)

st.set_page_config(page_title="ComVAE study", layout="wide")
if st.get_option("server.address") is None or st.get_option("browser.gatherUsageStats"):
    st.error(
        "This server was started without the settings of this project: whoever reaches "
        "this machine reaches it. End it, and start it with `comvae dashboard`."
    )
    st.stop()
st.navigation(list(streamlit_pages().values()), position="top").run()
