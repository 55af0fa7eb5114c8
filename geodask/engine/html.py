"""What a notebook shows: a title and a table of facts."""

from html import escape


def card(title: str, facts: dict[str, str]) -> str:
    """HTML without styles of its own but for the alignment, so it follows the notebook's theme."""
    left = "text-align: left"
    rows = "".join(
        f'<tr><th style="{left}">{escape(name)}</th><td style="{left}">{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"
