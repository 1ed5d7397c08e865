"""Privacy: what a training may spend, and on whom."""
