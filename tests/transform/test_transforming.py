"""A checkpoint keeps its function at another point of its orbit, or nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

import paramsym as ps
from paramsym.symmetry import Symmetry
from paramsym.transform import Transformed, transform
from paramsym.transform.choices import Choice
from paramsym.transform.selecting import selected
from paramsym.transform.transforming import FOLDER_RECORD


def convolutional() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 4 * 4, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )
    return model, (torch.randn(4, 2, 6, 6),)


class Tied(nn.Module):
    """A table that the head reads too, and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.table(x))
        return self.head(hidden + self.down(torch.relu(self.up(hidden))))


def tied() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return Tied(), (torch.randint(0, 7, (5,)),)


def normalised() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Running statistics, which move with the parameters in evaluation."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 3, 3),
        nn.BatchNorm2d(3),
        nn.Flatten(),
        nn.Linear(12, 5),
    )
    x = torch.randn(8, 2, 6, 6)
    model(x)
    return model, (x,)


MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    "convolutional": convolutional,
    "tied": tied,
    "normalised": normalised,
}


def saved(model: nn.Module, path: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The model's state in a file, tied weights once."""
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            state[name] = (value.to(dtype) if value.is_floating_point() else value).clone()
    save_file(state, path, {"format": "pt"})
    return state


def moved(scale: float = 0.3, seed: int = 0) -> Choice:
    """A random element of what is exact whatever ε a normalisation has."""
    generator = torch.Generator().manual_seed(seed)

    def choose(symmetry: Symmetry, params: object) -> ps.GroupElement:
        exact = selected(symmetry, (), inexact=False)
        return exact.sample(scale, generator=generator, discrete=True)

    return choose


def run(
    folder: Path,
    model: nn.Module,
    args: tuple[Tensor, ...],
    choose: Choice,
    *,
    symmetry: Symmetry | None = None,
    force: bool = False,
    source: str = "in.safetensors",
    out: str = "out.safetensors",
) -> Transformed:
    found = symmetry or ps.discover(model.eval(), args, buffers=True)
    return transform(
        model, args, {}, found, folder / source, folder / out, choose, {"what": out}, force=force
    )


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("name", MODELS)
def test_the_function_stays(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, args = MODELS[name]()
    before = saved(model, tmp_path / "in.safetensors", dtype)
    for p in model.parameters():  # its own values do not matter
        nn.init.normal_(p)
    done = run(tmp_path, model, args, moved())
    after = load_file(tmp_path / "out.safetensors")

    wide = model.double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in args)

    def outputs(state: dict[str, Tensor]) -> Tensor:
        own = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
        return functional_call(wide, own, inputs, tie_weights=True)

    was, now = outputs(before), outputs(after)
    change = float((now - was).detach().abs().max() / was.detach().abs().max())
    assert change == pytest.approx(done.invariance.change, rel=1e-6, abs=1e-15)
    assert change <= 50 * torch.finfo(dtype).eps
    assert done.distance > 0.05
    assert done.moved == sum(
        not torch.equal(after[k], v) for k, v in before.items() if v.is_floating_point()
    )
    assert {k: v.dtype for k, v in after.items()} == {k: v.dtype for k, v in before.items()}


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_metadata_are_kept_and_every_move_is_recorded(tmp_path: Path) -> None:
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors")
    run(tmp_path, model, args, moved())
    run(tmp_path, model, args, moved(), source="out.safetensors", out="again.safetensors")
    found = metadata(tmp_path / "again.safetensors")
    assert found["format"] == "pt"
    assert json.loads(found["paramsym"]) == [
        {"what": "out.safetensors"},
        {"what": "again.safetensors"},
    ]


def test_a_wrong_symmetry_writes_nothing(tmp_path: Path) -> None:
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors")
    false = ps.Family("false", ps.PositiveScaling(3), (ps.Port.along("5.bias", (3,), 0),))
    symmetry = Symmetry.of([false], model)
    with pytest.raises(ValueError, match=r"outputs would change by .* Nothing was written"):
        run(tmp_path, model, args, moved(), symmetry=symmetry)
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


def test_a_small_wrong_move_is_seen_too(tmp_path: Path) -> None:
    """A hundred units in the last place of one bias."""
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors")
    false = ps.Family("false", ps.PositiveScaling(3), (ps.Port.along("5.bias", (3,), 0),))
    with pytest.raises(ValueError, match="outputs would change"):
        run(
            tmp_path,
            model,
            args,
            lambda symmetry, params: _stretched(symmetry, 1 + 1e-4),
            symmetry=Symmetry.of([false], model),
        )


def _stretched(symmetry: Symmetry, factor: float) -> ps.GroupElement:
    unit = symmetry.identity()
    return ps.GroupElement(unit.names, unit.groups, tuple(factor * g for g in unit.tensors))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors")
    (tmp_path / "out.safetensors").write_text("mine")
    with pytest.raises(FileExistsError, match="exists"):
        run(tmp_path, model, args, moved())
    assert (tmp_path / "out.safetensors").read_text() == "mine"
    run(tmp_path, model, args, moved(), force=True)
    assert len(load_file(tmp_path / "out.safetensors")) == 6


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors")

    def fails(symmetry: Symmetry, params: object) -> ps.GroupElement:
        raise ArithmeticError("no such point")

    with pytest.raises(ArithmeticError, match="no such point"):
        run(tmp_path, model, args, fails)
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


def test_a_folder_of_parts(tmp_path: Path) -> None:
    model, args = convolutional()
    state = saved(model, tmp_path / "whole.safetensors")
    folder = tmp_path / "in"
    folder.mkdir()
    names = list(state)
    save_file({k: state[k].clone() for k in names[:3]}, folder / "part-1.safetensors")
    save_file({k: state[k].clone() for k in names[3:]}, folder / "part-2.safetensors")
    (folder / "config.json").write_text('{"kind": "net"}')
    run(tmp_path, model, args, moved(), source="in", out="parts")
    run(tmp_path, model, args, moved(), source="whole.safetensors")
    parts = {}
    for k in (1, 2):
        parts |= load_file(tmp_path / "parts" / f"part-{k}.safetensors")
    whole = load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(parts[name], whole[name]) for name in names)
    assert (tmp_path / "parts" / "config.json").read_text() == '{"kind": "net"}'
    record = json.loads((tmp_path / "parts" / FOLDER_RECORD).read_text())
    assert record["what"] == "parts"
    assert record["change"] <= 16 * record["rounding"]
    with pytest.raises(FileExistsError, match="holds an earlier result"):
        run(tmp_path, model, args, moved(), source="in", out="parts")


def test_two_files_with_one_name(tmp_path: Path) -> None:
    model, args = convolutional()
    folder = tmp_path / "in"
    folder.mkdir()
    saved(model, folder / "a.safetensors")
    saved(model, folder / "b.safetensors")
    with pytest.raises(ValueError, match="two files of the checkpoint hold"):
        run(tmp_path, model, args, moved(), source="in", out="parts")


def test_numbers_that_cannot_be_moved(tmp_path: Path) -> None:
    model, args = convolutional()
    saved(model, tmp_path / "in.safetensors", torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"stored as F8_E4M3, which is not moved"):
        run(tmp_path, model, args, moved())


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    model, args = convolutional()
    nn.init.constant_(model[3].weight, float("inf"))  # type: ignore[index]
    saved(model, tmp_path / "in.safetensors")
    fresh, args = convolutional()
    with pytest.raises(ValueError, match="must be finite"):
        run(tmp_path, fresh, args, moved())
