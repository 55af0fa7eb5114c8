"""What is shown of a value: a title and a table of facts, as text and in a notebook."""

from abc import ABC, abstractmethod
from html import escape


class Shown(ABC):
    """A value that is shown as its facts; a dataclass needs ``repr=False`` for that."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What it says, in words."""

    def __repr__(self) -> str:
        lines = (f"\n  {name:9} {text}" for name, text in self.facts.items())
        return f"<{self.title}{''.join(lines)}>"

    def _repr_html_(self) -> str:
        return card(self.title, self.facts)


def card(title: str, facts: dict[str, str]) -> str:
    """HTML without styles of its own but for the alignment, so it follows the notebook's theme."""
    left = "text-align: left"
    rows = "".join(
        f'<tr><th style="{left}">{escape(name)}</th><td style="{left}">{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"
