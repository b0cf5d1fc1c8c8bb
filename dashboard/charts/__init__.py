"""Charts: each function takes a table and the theme and gives one Altair chart.

One file per kind. Nothing here imports Streamlit.
"""
