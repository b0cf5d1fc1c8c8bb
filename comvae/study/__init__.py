"""What is to be run: settings, plan, locks and signals."""
