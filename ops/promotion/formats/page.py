"""The matrix as one HTML file that needs no other file, no server and no script.

Style, policy and template engine are those of the preview's page: Jinja2 escapes every text.
"""

from __future__ import annotations

from pathlib import Path

from ops.promotion.formats import words
from ops.promotion.report import VersionMatrix
from ops.review.formats import page as preview

FOLDER = Path(__file__).parent


def page(matrix: VersionMatrix) -> str:
    """Return the whole page."""
    matrix = words.visible(matrix)
    style = preview.FOLDER.joinpath("page.css").read_text(encoding="utf-8")
    return preview.template(FOLDER).render(
        matrix=matrix,
        policy=preview.policy(style),
        style=style,
        words=words,
        behind=sum(len(one.behind) for one in matrix.environments),
        remarks=list(words.remarks(matrix)),
        tables=[
            (name, title, rows)
            for name, title, rows in (
                ("infrastructure", "Infrastructure", matrix.infrastructure),
                ("applications", "Applications", matrix.applications),
            )
            if rows
        ],
    )
