"""The page's pictures: SVG whose text and axes follow the reader's light or dark scheme."""

import io
import os
import tempfile

os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from .data import PLACE

# Ink as drawn, and what the file says instead.
_INK = "#24292f"
_STYLE = ("<style>svg { color: #24292f } @media (prefers-color-scheme: dark) "
          "{ svg { color: #e6edf3 } }</style>")

# By how a balancer's name begins; all of them are legible on white and on black.
_COLOURS = {"ours": "#2f81f7", "stock": "#d97706", "nginx": "#2da44e", "HAProxy": "#a371f7",
            "pingora": "#d97706", "tower": "#2da44e"}
_DASHES = ["-", "--", ":", "-.", (0, (5, 1)), (0, (1, 3))]

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "athena", "font.size": 10, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    **{key: _INK for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color",
                             "ytick.color")},
})


def colour(name):
    """Each balancer has its own in all pictures."""
    return next((code for start, code in _COLOURS.items() if name.startswith(start)), "#8b949e")


def bars(name, title, unit, values, *, low=None, log=False, wanted=None):
    """A bar for each value by its label; `low`: where a logarithmic axis begins; `wanted`: a mark."""
    figure, axes = _figure(0.9 + 0.27 * len(values))
    labels = list(values)
    shown = [max(value, low or value) for value in values.values()]
    axes.barh(labels, shown, color=[colour(label) for label in labels], height=0.7)
    if log:
        _logarithmic(axes.xaxis, axes.set_xscale)
        axes.set_xlim(left=low)
    for position, (value, end) in enumerate(zip(values.values(), shown, strict=True)):
        axes.annotate(f"{value:.4g}", (end, position), (3, 0), textcoords="offset points",
                      va="center", fontsize=9)
    axes.margins(x=0.12)
    _wanted(axes, wanted)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    return _save(figure, axes, name, title)


def intervals(name, title, unit, values):
    """(low, middle, high) by label, and a mark at 1."""
    figure, axes = _figure(0.9 + 0.27 * len(values))
    for position, (label, (low, middle, high)) in enumerate(values.items()):
        axes.plot([low, high], [position] * 2, color=colour(label), linewidth=3,
                  solid_capstyle="butt")
        axes.plot(middle, position, "o", color=colour(label))
    axes.set_yticks(range(len(values)), list(values))
    _wanted(axes, 1.0)
    axes.invert_yaxis()
    axes.margins(y=0.1)
    axes.set_xlabel(unit)
    return _save(figure, axes, name, title)


def lines(name, title, across, up, values, *, log=""):
    """[(x, y), …] by label; `log` names the axes that are logarithmic."""
    figure, axes = _figure(3.6)
    drawn = {}
    for label, points in values.items():
        code = colour(label)
        drawn[code] = drawn.get(code, 0) + 1
        axes.plot(*zip(*points, strict=True), color=code, label=label, marker="o", markersize=3,
                  linestyle=_DASHES[(drawn[code] - 1) % len(_DASHES)])
    if "x" in log:
        _logarithmic(axes.xaxis, axes.set_xscale)
    if "y" in log:
        _logarithmic(axes.yaxis, axes.set_yscale)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return _save(figure, axes, name, title)


def _figure(height):
    figure = Figure(figsize=(7.6, height), layout="constrained")
    return figure, figure.add_subplot()


def _logarithmic(axis, scale):
    scale("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _wanted(axes, value):
    if value is not None:
        axes.axvline(value, color=_INK, linewidth=1, linestyle=":")


def _save(figure, axes, name, title):
    """Writes the file; the Markdown that shows it."""
    axes.set_title(title, loc="left", fontsize=11)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = text.getvalue().replace(_INK, "currentColor")
    head, body = drawn.split("<defs>", 1)
    (PLACE / f"{name}.svg").write_text(f"{head}{_STYLE}\n <defs>{body}")
    return f"![{title}]({name}.svg)"
