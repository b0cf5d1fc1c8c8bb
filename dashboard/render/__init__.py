"""Two ways to show a page: Streamlit asks its visitor, HTML is written for readers.

`comvae dashboard` serves the dashboard, `python -m dashboard.render` writes the same
pages as a folder that needs no server.
"""
