"""The demo's page: HTML, figures and JSON in one folder."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from paramsym.demo import figures
from paramsym.demo.results import Results, as_json, claims, versions
from paramsym.folding import rows_of
from paramsym.report.drawing import draw
from paramsym.report.html import render
from paramsym.report.page import totals_of
from paramsym.report.style import inline, save

FAMILY = "conv1 → conv2"
"""The family whose quantities are drawn one by one."""

DATA = "demo.json"

_SHOWN = {
    "weights": "Weights and outputs of the trained network above those of the moved network",
    "paths": "Change of the outputs and test accuracy against the distance moved",
    "law": "Conserved quantities through training, measured and by the law",
    "drift": "Drift of the conserved quantities against the learning rate",
}


def write(results: Results, folder: Path) -> None:
    """Write `index.html`, `demo.json` and `figures/` into an existing folder."""
    drawn: dict[str, Figure] = {
        "weights": figures.weights(results.move, results.test_images),
        "paths": figures.paths(results.move),
        "law": figures.law(results.training, FAMILY),
        "drift": figures.drifts(results.drifts),
    }
    (folder / "figures").mkdir()
    for name, figure in drawn.items():
        save(figure, folder / "figures", name)
    data = json.dumps(as_json(results), ensure_ascii=False, allow_nan=False)
    (folder / DATA).write_text(data, encoding="utf-8")
    (folder / "index.html").write_text(_page(results, drawn), encoding="utf-8")


def _page(results: Results, drawn: dict[str, Figure]) -> str:
    descent, *others = results.drifts
    return render(
        "demo.html.j2",
        title="What a network's weights may do unnoticed",
        results=results,
        symmetry=results.symmetry,
        totals=totals_of(results.symmetry),
        rows=rows_of(results.symmetry),
        drawing=draw(results.symmetry),
        figures={name: inline(figure, name, _SHOWN[name]) for name, figure in drawn.items()},
        training=results.training,
        residual=float(results.training.residual().max()),
        drift=float(results.training.drift()[-1]),
        move=results.move,
        condition=results.move.g.condition(),
        family=FAMILY,
        descent=descent,
        others=others,
        claims=claims(results),
        versions=versions(),
    )
