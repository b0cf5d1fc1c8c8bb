"""What the pages say, as blocks: the pages and the static site show the same ones.

One file per page. Nothing here imports Streamlit, and no text is markup.
"""
