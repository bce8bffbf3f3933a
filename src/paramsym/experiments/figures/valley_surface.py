"""The valley as a surface: for print, and to turn by hand."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.measuring.valley import Valley
from paramsym.report.style import FAINT, INK, WIDTH, figure_style

Flows = Mapping[str, Tensor]

COLORS = LinearSegmentedColormap.from_list(
    "Q", mpl.colormaps["viridis"](np.linspace(0.0, 0.88, 64))
)
"""Of Q: without viridis's yellow end, which is faint on white."""

_REACH = 5.0
"""Largest |Q| of the surface."""

SHOWN = 8.0
"""Largest |Q| beside the surface."""

_RIM = 2.0
"""UV at its outer edge, where the loss is as at its inner edge, UV = 0."""

_VIEW = {"elev": 45, "azim": 225}


def color(Q: float) -> str:
    """Of a flow with that Q."""
    return to_hex(COLORS(Normalize(-_REACH, _REACH)(Q)))


def surface(valley: Valley, products: int, levels: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """U, V and the loss `[products, levels]`, on lines of constant UV (orbits) and constant Q."""
    rim = _RIM * valley.product
    product = torch.linspace(0, rim, products, dtype=torch.float64)
    # Even along the minimum: Q there is 2 sinh of twice the position.
    top = float(torch.asinh(torch.tensor(_REACH / (2 * valley.product))))
    Q = 2 * valley.product * torch.linspace(-top, top, levels, dtype=torch.float64).sinh()
    p, q = torch.meshgrid(product, Q, indexing="ij")
    up, v = valley.at(q, p)
    up, v = up.nan_to_num(), v.nan_to_num()  # the origin, UV = 0 with Q = 0
    return up.numpy(), v.numpy(), (valley.a * (valley.Y - p * valley.X).square()).numpy()


def draw(valley: Valley, drawn: Flows, random: Flows) -> Figure:
    """The surface with its flows, and the sharpness of their ends."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.1))
        solid: Any = figure.add_axes((0.0, 0.0, 0.62, 1.0), projection="3d")
        _draw_surface(solid, valley, drawn)
        flat = figure.add_axes((0.69, 0.16, 0.295, 0.68))
        _draw_sharpness(flat, valley, drawn, random)
    return figure


def _draw_surface(axis: Any, valley: Valley, drawn: Flows) -> None:
    axis.computed_zorder = False
    up, v, loss = surface(valley, 61, 61)
    axis.plot_surface(up, v, loss, color="#cfd5dd", alpha=0.6, lw=0, shade=False, zorder=1,
                      rcount=61, ccount=61)  # fmt: skip
    for row in range(0, 61, 5):
        axis.plot(up[row], v[row], loss[row], color=FAINT, lw=0.35, zorder=2)
    for path in range(len(drawn["U"])):
        u, w, z = (drawn[name][path].numpy() for name in ("U", "V", "loss"))
        tint = color(float(drawn["Q"][path, 0]))
        axis.plot(u, w, z, color=tint, lw=1.3, zorder=4)
        axis.plot(u[-1:], w[-1:], z[-1:], "o", color=tint, ms=4, mec="white", mew=0.5, zorder=6)
    middle = 30
    axis.plot(up[middle], v[middle], loss[middle], color=INK, lw=1.6, zorder=5)
    axis.set(xlabel="U", ylabel="V", zticks=[0, 0.5, 1], xticks=[0, 1, 2], yticks=[0, 1, 2])
    axis.set_zlabel("loss")
    axis.set_box_aspect((1, 1, 0.55), zoom=0.97)
    axis.view_init(**_VIEW)
    for side in (axis.xaxis, axis.yaxis, axis.zaxis):
        side.pane.set_visible(False)
        side._axinfo["grid"].update(color="#e3e6ea", linewidth=0.4)
        side.labelpad = -5
    axis.tick_params(pad=-2)


def _draw_sharpness(axis: Axes, valley: Valley, drawn: Flows, random: Flows) -> None:
    Q = torch.linspace(-SHOWN, SHOWN, 301, dtype=torch.float64)
    axis.plot(Q, valley.sharpness(Q), color=INK, lw=1)
    axis.plot(random["Q"][:, 0], random["sharpness"], "o", color=FAINT, ms=2.5, mew=0)
    tints = [color(float(q)) for q in drawn["Q"][:, 0]]
    axis.scatter(drawn["Q"][:, 0], drawn["sharpness"], s=22, c=tints, ec="white", lw=0.5, zorder=3)
    axis.set(xlabel="Q", title="sharpness at the end of each flow")
    axis.set(xlim=(-SHOWN, SHOWN), ylim=(0, 1.02 * float(valley.sharpness(Q).max())))


def interactive(valley: Valley, drawn: Flows) -> str:
    """The surface as a plotly figure in JSON."""
    import plotly.graph_objects as go

    up, v, loss = (np.round(x, 4).astype(np.float32) for x in surface(valley, 41, 61))
    grey = [[0, "#eef0f3"], [1, "#c3c9d2"]]
    sheet = go.Surface(x=up, y=v, z=loss, colorscale=grey, showscale=False, opacity=0.45,
                       hoverinfo="skip", showlegend=False)  # fmt: skip
    traces: list[Any] = [sheet]
    for path in range(len(drawn["U"])):
        Q = float(drawn["Q"][path, 0])
        x, y, z = (
            np.round(drawn[name][path, ::3].numpy(), 4).astype(np.float32)
            for name in ("U", "V", "loss")
        )
        traces.append(_line(go, x, y, z, color(Q), 5, f"flow, Q = {Q:.3g}"))
    middle = len(up) // 2
    traces.append(_line(go, up[middle], v[middle], loss[middle], INK, 6, "minimum, UV = Y/X"))
    traces.append(_ends(go, drawn))
    figure = go.Figure(traces)
    axes = {"backgroundcolor": "rgba(0,0,0,0)", "gridcolor": "#d9dde2", "color": INK}
    figure.update_layout(
        scene={
            "xaxis": {"title": "U", **axes},
            "yaxis": {"title": "V", **axes},
            "zaxis": {"title": "loss", **axes},
            "aspectratio": {"x": 1.1, "y": 1.1, "z": 0.6},
            "camera": {"eye": {"x": -1.05, "y": -1.05, "z": 1.35}},
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=520,
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "family": "system-ui, sans-serif", "size": 13},
    )
    found = figure.to_json()
    assert found is not None
    return found


def _line(go: Any, x: Any, y: Any, z: Any, tint: str, width: float, name: str) -> Any:
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", line={"color": tint, "width": width},
                        name=name, hovertemplate="%{fullData.name}<extra></extra>")  # fmt: skip


def _ends(go: Any, drawn: Flows) -> Any:
    rows = torch.stack([drawn["Q"][:, 0], drawn["sharpness"]], 1).numpy()
    return go.Scatter3d(
        x=drawn["U"][:, -1].numpy(),
        y=drawn["V"][:, -1].numpy(),
        z=drawn["loss"][:, -1].numpy(),
        mode="markers",
        marker={"size": 5, "color": [color(q) for q in rows[:, 0]]},
        customdata=rows,
        hovertemplate="Q = %{customdata[0]:.3g}<br>U = %{x:.3f}, V = %{y:.3f}<br>"
        "sharpness %{customdata[1]:.3f}<extra></extra>",
    )
