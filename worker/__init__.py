"""One process, one run: `python -m worker RUN_DIR`."""
