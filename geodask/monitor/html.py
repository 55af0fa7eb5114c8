"""What tables of the page and of reports are made of: styles, and small pieces of HTML."""

from collections.abc import Iterable, Sequence
from html import escape

NOTHING = '<span class="quiet">–</span>'
VALUES = """
--line: rgba(128,128,128,.28); --quiet: #868a90; --good: #2e9e5b; --bad: #d6453d;
  --busy: #2f7de1; --warn: #c98500;
  font: 13px/1.45 system-ui, sans-serif; color: inherit; width: 100%;
"""
RULES = """
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--quiet); white-space: nowrap; }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
a { color: var(--busy); }
td.n, th.n { text-align: right; }
.quiet { color: var(--quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
.busy { color: var(--busy); } .warn { color: var(--warn); }
.bar { display: inline-block; width: 90px; height: 7px; border-radius: 4px;
  background: var(--line); vertical-align: middle; margin-right: 6px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--busy); }
.bar i.good { background: var(--good); } .bar i.bad { background: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: 26px; }
.tiles b { display: block; font-size: 21px; font-weight: 600; line-height: 1.25; }
.tiles span { color: var(--quiet); }
.filled { height: 100%; }
.beside { display: flex; gap: 24px; height: 100%; }
.beside > div { flex: 1; min-width: 0; overflow: auto; }
h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; }
.cut { max-width: 34em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""
STYLE = f":host {{ {VALUES} }} :host > .bk-clearfix {{ width: 100%; height: 100%; }} {RULES}"
"""For parts of the page, which share no styles."""
SCOPED = f".gd {{ {VALUES} {RULES} }}"
"""For what stands among other things."""
UNTOUCHED = 'class="gd tex2jax_ignore mathjax_ignore"'
"""What user's names stand in: MathJax, which makes links of TeX, leaves it alone."""


ALONE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
{style}
body {{ margin: 2em auto; max-width: 60em; padding: 0 1em; background: #fff; color: #1d2125; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16181c; color: #dfe2e6; }} }}
h1 {{ font-size: 20px; }} h2 {{ font-size: 15px; margin: 1.6em 0 .4em; }}
pre {{ white-space: pre-wrap; font-size: 12px; }}
.stages {{ display: flex; height: 18px; border-radius: 5px; overflow: hidden; margin: .5em 0; }}
</style></head><body class="gd"><h1>{title}</h1>{body}</body></html>
"""


def alone(title: str, body: str) -> str:
    """A page that needs nothing else, of a title in words and HTML."""
    return ALONE.format(title=escape(title), style=SCOPED, body=body)


def count(number: float) -> str:
    """A number in three digits: 12, 1.23 k, 45.6 M."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 999.5 or unit == " T":
            return f"{number:.3g}{unit}" if unit or number % 1 else f"{number:.0f}"
        number /= 1000
    return ""


def facts_table(facts: dict[str, str]) -> str:
    """Names and what is said of them, both HTML."""
    return table([], [[f'<span class="quiet">{name}</span>', text] for name, text in facts.items()])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Rows of cells that are HTML; some columns hold numbers."""
    right = set(numbers)
    kinds = ['class="n"' if i in right else "" for i in range(20)]
    head = "".join(f"<th {kinds[i]}>{name}</th>" for i, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td {kinds[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if heads else ''}{body}</table>"


def beside(parts: Iterable[str]) -> str:
    """Some parts side by side, each as wide as the others."""
    return f'<div class="beside">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def titled(title: str, body: str) -> str:
    """A table and what is above it, both HTML."""
    return f"<h3>{title}</h3>{body}"


def quiet(text: str) -> str:
    """HTML that says something in passing."""
    return f'<div class="quiet">{text}</div>'
