"""The front end: synthetic data from trained models, with what protects whom, in the browser.

The page (`page`) is thin; all that it does is in `catalogue`, `synthesis`, `export` and `figures`. It reads
model files and the tables beside them, never windows, features or scores of real people.
"""
