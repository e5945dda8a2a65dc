"""Two runs compared, as one HTML file: both ladders, and the aligned calls and segments."""

from __future__ import annotations

from observatory.codec.printable import printable
from observatory.model.comparison import Comparison
from observatory.reports import svg
from observatory.reports.comparing import SIGNS, name_of, rows, summary

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ before }} | {{ after }}</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2530; --soft: #59646f; --rule: #d8dee4;
  --new: #e6f4ea; --gone: #fce8e6; --other: #fef3d7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e9ee; --soft: #98a4b0;
  --rule: #303942; --new: #16331f; --gone: #3d1b19; --other: #3a2f12; } }
body { margin: 0 auto; max-width: 110rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
code, td { font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem;
  border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { width: 1.2rem; }
th[scope=rowgroup] { padding-top: 1rem; }
tr.new { background: var(--new); } tr.gone { background: var(--gone); }
tr.other { background: var(--other); }
.why, .note { color: var(--soft); font: 13px/1.45 system-ui, sans-serif; }
.ladders { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(30rem,
  100%), 1fr)); }
.ladders div { overflow-x: auto; }
svg { max-width: 100%; height: auto; min-width: 28rem; }
.only-other tr.same, .only-other tr.shifted { display: none; }
</style>
</head>
<body>
<h1>Two runs compared</h1>
<p>- {{ before }}<br>+ {{ after }}</p>
<p class="note">{{ summaries | join(" · ") }}. Ephemeral ports, process ids and times are no
difference. {{ "The two runs do the same." if same }}</p>
<h2>Ladders</h2>
<div class="ladders"><div>{{ ladders[0] }}</div><div>{{ ladders[1] }}</div></div>
{% for heading, found in tables %}
<h2>{{ heading }}</h2>
<table>
<thead><tr><th scope="col"><span aria-label="change">±</span></th>
<th scope="col">first run</th><th scope="col">second run</th></tr></thead>
{% for group, members in found | groupby_in_order %}
<tbody>
<tr><th colspan="3" scope="rowgroup">{{ group | safe_text }}</th></tr>
{% for row in members %}
<tr class="{{ row.change }}"><td title="{{ row.change }}">{{ signs[row.change] }}</td>
{% for text, why in ((row.before, row.why[0]), (row.after, row.why[1])) %}
<td>{{ text | safe_text }}{% if why %}<div class="why">{{ why | safe_text }}</div>{% endif %}
{% if loop.last and row.differences %}<div class="why">
{% for one in row.differences %}<b>{{ one.what }}</b> {{ one.before | safe_text }} →
{{ one.after | safe_text }}{{ "; " if not loop.last }}{% endfor %}</div>{% endif %}</td>
{% endfor %}</tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
{% endfor %}
</body>
</html>
"""


def render(comparison: Comparison) -> str:
    """One page that loads nothing and runs no script."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    calls, segments = rows(comparison)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["safe_text"] = printable
    environment.filters["groupby_in_order"] = lambda found: {
        group: [row for row in found if row.group == group]
        for group in dict.fromkeys(row.group for row in found)
    }.items()
    ladders = (
        Markup(svg.render(one, name=name))
        for one, name in ((comparison.before, "before"), (comparison.after, "after"))
    )
    return environment.from_string(PAGE).render(
        before=printable(name_of(comparison.before)),
        after=printable(name_of(comparison.after)),
        same=comparison.same,
        summaries=(summary(calls, "calls"), summary(segments, "segments")),
        ladders=tuple(ladders),
        tables=(("Calls", calls), ("Segments", segments)),
        signs=SIGNS,
    )
