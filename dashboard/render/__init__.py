"""Two ways to show a page: Streamlit asks its visitor, HTML is written for readers.

`streamlit run dashboard/render/app.py` serves the dashboard, `python -m
dashboard.render` writes the same pages as a folder that needs no server.
"""
