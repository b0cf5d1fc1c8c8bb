"""The training curves of one run on a page: one panel for each term."""

import math

import pandas as pd
import streamlit as st

from dashboard import charts, components, summary
from dashboard.theme import Mark


def show(history: pd.DataFrame | None, mark: Mark) -> None:
    """The section; `history` has one row per epoch, as history.csv."""
    st.subheader("Training")
    if history is None:
        st.markdown("There is no training history for this run yet.")
        return
    terms = list(summary.METRICS)
    if (history["weight_kl"].abs() > 0).any():
        terms.append("weight_kl")
    beside = 2 if len(terms) == 4 else 3
    for start in range(0, len(terms), beside):
        row = terms[start : start + beside]
        for column, term in zip(st.columns(len(row), gap="large"), row, strict=True):
            with column:
                components.show_chart(
                    charts.curve(history, term, mark, components.chart_ink()),
                    says=charts.curve_message(history, term),
                    file=f"{term}.csv".replace("_", "-"),
                )
    text = (
        "How to read it: averages over each epoch while training, with weights and "
        "batch norm in training mode; lower is better for the negative ELBO. Each "
        "panel has its own scale."
    )
    if "weight_kl" in terms:
        text += " The weight KL is that of one whole network, not divided by images."
    broken = ~(history[terms].abs() < math.inf).all(axis=1)
    if broken.any():
        first = history.loc[broken, "epoch"].min()
        text += f" From epoch {first:.0f} on some values are not finite and not drawn."
    st.caption(text)
