"""The files under `results/`: tables, claims, report and MLflow."""
