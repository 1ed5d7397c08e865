"""Compare synthetic windows with the real ones that their generator learned from."""
