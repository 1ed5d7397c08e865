"""Summary: from scores to tables, figures and a report."""
