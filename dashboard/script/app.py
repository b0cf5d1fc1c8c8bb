"""The script that `comvae dashboard` has Streamlit run.

It is alone in its folder. Streamlit puts that folder on the path, before the standard
library, and would take a `pages/` beside the script for pages of its own.
"""

import sys
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[2])  # that of the package
if ROOT not in sys.path:  # this script runs again at every click
    sys.path.insert(0, ROOT)

from dashboard.render.streamlit import streamlit_pages  # noqa: E402 (needs the path)

st.set_page_config(page_title="ComVAE study", layout="wide")
if st.get_option("server.address") is None or st.get_option("browser.gatherUsageStats"):
    st.error(
        "This server was started without the settings of this project: whoever reaches "
        "this machine reaches it. End it, and start it with `comvae dashboard`."
    )
    st.stop()
st.navigation(list(streamlit_pages().values()), position="top").run()
