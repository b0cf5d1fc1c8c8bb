"""The dashboard as a folder of HTML that needs no server and no network.

`python -m dashboard.site` writes it. The pages hold the same blocks as the dashboard's,
with each choice at its first value, one page per dataset.
"""
