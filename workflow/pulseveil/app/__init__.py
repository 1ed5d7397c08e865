"""Front end in the browser: synthetic windows from trained models, with their privacy claims.

`page` and `body` only lay out the page; the work is in `catalogue`, `synthesis`, `export` and `figures`. The
front end reads model files and the tables beside them, never windows, features or scores of real people.
"""

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "catalogue",
    "synthesis",
    "export",
]
