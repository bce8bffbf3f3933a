"""Normalisations with fixed statistics: what their gain and their bias make up for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.certification.conservation_laws import count_conservation_laws
from paramsym.storage import from_dict, to_dict
from tests.discover.cases import Case, check
from tests.discover.checking import Net, as_function, detached, generic, groups
from tests.discover.graphs import StandingNorm

IMAGES = ((10, 2, 5, 5),)
TINY = 1e-12


def conv(i: int, o: int, k: int = 1, *, bias: bool = False, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, bias=bias, **settings)


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def net(*, bias: bool = True) -> nn.Module:
    layers = (conv(2, 3, 3, bias=bias), nn.BatchNorm2d(3), nn.LeakyReLU(0.1), conv(3, 2))
    return generic(nn.Sequential(*layers)).eval()


def preactivated(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    x = x + n.a(act(n.norm_a(x)))
    return n.out(act(n.norm_b(x)))


def concatenated(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    x = torch.cat([x, n.a(act(n.norm_a(x)))], 1)
    return n.out(act(n.norm_b(x)))


def shuffled(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x).unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)
    return n.out(act(n.norm(x)))


CASES = [
    Case(
        "a bias in front: it scales about the mean, and shifts against the norm's own",
        lambda: nn.Sequential(conv(2, 3, 3, bias=True), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2)),
        IMAGES,
        {"T₊(3)": 2, "R^3": 1},
        train=False,
    ),
    Case(
        "norms that read one stream, each with a mean of its own",
        lambda: Net(
            preactivated,
            stem=conv(2, 3, 3, bias=True),
            a=conv(3, 3, bias=True),
            norm_a=nn.BatchNorm2d(3),
            norm_b=nn.BatchNorm2d(3),
            out=conv(3, 2),
        ),
        IMAGES,
        {"T₊(3)": 3, "R^3": 2},
        train=False,
    ),
    Case(
        "a norm of two layers side by side",
        lambda: Net(
            concatenated,
            stem=conv(2, 3, 3),
            a=conv(3, 2),
            norm_a=nn.BatchNorm2d(3),
            norm_b=nn.BatchNorm2d(5),
            out=conv(5, 2),
        ),
        IMAGES,
        {"T₊(3)": 2, "T₊(2)": 1, "T₊(5)": 1},
        train=False,
    ),
    Case(
        "channels in another order than the layer's",
        lambda: Net(shuffled, stem=conv(2, 4, 3), norm=nn.BatchNorm2d(4), out=conv(4, 2)),
        IMAGES,
        {"T₊(4)": 2},
        train=False,
    ),
    Case(
        "one scale for two channels",
        lambda: Net(
            lambda n, x: n.out(act(n.norm(n.stem(x).repeat_interleave(2, 1)))),
            stem=conv(2, 2, 3),
            norm=nn.BatchNorm2d(4),
            out=conv(4, 2),
        ),
        IMAGES,
        {"T₊(2)": 1, "T₊(4)": 1},
        train=False,
    ),
    Case(
        "one norm behind another",
        lambda: nn.Sequential(
            conv(2, 3, 3, bias=True), nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2)
        ),
        IMAGES,
        {"T₊(3)": 3, "R^3": 2},
        train=False,
    ),
    Case(
        "norms on both ways of a shortcut",
        lambda: Net(
            lambda n, x: n.out(act(n.p(n.a(x)) + n.q(n.b(x * x)))),
            a=conv(2, 3),
            b=conv(2, 3, 3, padding=1),
            p=nn.BatchNorm2d(3),
            q=nn.BatchNorm2d(3),
            out=conv(3, 2),
        ),
        IMAGES,
        {"T₊(3)": 3, "R^3": 1},
        train=False,
    ),
    Case(
        "depthwise",
        lambda: nn.Sequential(
            conv(2, 3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 3, 3, groups=3, padding=1),
            nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2),
        ),
        IMAGES,
        {"T₊(3)": 4},
        train=False,
    ),
    Case(
        "a transposed convolution in front",
        lambda: nn.Sequential(
            nn.ConvTranspose2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2)
        ),
        IMAGES,
        {"T₊(3)": 2, "R^3": 1},
        train=False,
    ),
    Case(
        "instance norm by running statistics",
        lambda: nn.Sequential(
            conv(2, 3, 3, bias=True),
            nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
            nn.ReLU(),
            conv(3, 2),
        ),
        IMAGES,
        {"T₊(3)": 2, "R^3": 1},
        train=False,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_missing(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    "change",
    [
        lambda n, x: n.out(act(n.norm(n.stem(x)))) * n.norm.bias.sum(),
        lambda n, x: n.out(act(n.norm(n.stem(x)))) * n.norm.weight.sum(),
        lambda n, x: n.out(act(n.norm(n.stem(x)))) + n.other(n.norm.weight.expand(1, 3)).sum(),
        lambda n, x: n.out(act(n.norm(n.stem(x)))) + n.stem(x).sum(1, keepdim=True),
    ],
    ids=["bias", "gain", "gain in a layer", "what it reads"],
)
def test_nothing_scales_that_is_read_elsewhere(change: Callable[[Any, Tensor], Tensor]) -> None:
    model = Net(
        change, stem=conv(2, 3, 3), norm=nn.BatchNorm2d(3), out=conv(3, 2), other=nn.Linear(3, 1)
    )
    model, x = generic(model).eval(), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert not any("stem.weight" in family.moves for family in symmetry)


def test_no_gain_or_bias_that_moves() -> None:
    for settings in ({"affine": False}, {"frozen": True}, {"bias": False}, {"gain": False}):
        norm = StandingNorm(3, **settings)
        model = generic(nn.Sequential(conv(2, 3, 3), norm, nn.ReLU(), conv(3, 2)))
        symmetry = ps.discover(model, (torch.randn(2, 2, 5, 5, dtype=torch.float64),))
        assert not any("0.weight" in family.moves for family in symmetry)
        assert symmetry.verification is not None
        assert symmetry.verification.withdrawn == ()


def test_a_norm_that_is_called_twice() -> None:
    """Both things that it reads have one scale; with other statistics they would have none."""
    layers = {"a": conv(2, 3), "b": conv(2, 3), "norm": nn.BatchNorm2d(3), "out": conv(3, 2)}
    model = Net(lambda n, x: n.out(act(n.norm(n.a(x))) * act(n.norm(n.b(x)))), **layers)
    model, x = generic(model).eval(), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    (family,) = (f for f in symmetry if "a.weight" in f.moves)
    assert family.moves == {"a.weight", "b.weight", "norm.weight", "norm.bias"}

    def twice(n: Any, x: Tensor) -> Tensor:
        mean = n.norm.running_mean
        own = (n.norm.weight, n.norm.bias)
        p = F.batch_norm(n.a(x), mean, n.norm.running_var, *own)
        return n.out(act(p) * act(F.batch_norm(n.b(x), 2 * mean, n.norm.running_var, *own)))

    model = generic(Net(twice, **layers)).eval()
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert not any("a.weight" in family.moves for family in symmetry)


X = torch.randn(4, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def residual(model: nn.Module, moved: dict[str, Tensor]) -> float:
    run = as_function(model, (X,))
    before = run(detached(model))
    return float((run({**detached(model), **moved}) - before).abs().max() / before.abs().max())


@pytest.mark.parametrize("bias", [False, True])
def test_far_along_the_orbit(bias: bool) -> None:
    """The action is no first order: it holds for scales of 10, and composes."""
    model = net(bias=bias)
    symmetry = ps.discover(model, (X,))
    (family,) = (f for f in symmetry if "0.weight" in f.moves)
    params = detached(model)
    a = torch.tensor([0.1, 10.0, 3.0], dtype=torch.float64)
    g = family.group.exp(family.group.project(torch.stack([torch.stack([a.log(), -a.log()], -1),
                                                           torch.zeros(3, 2)], -2)))  # fmt: skip
    once = symmetry.act({family.name: g}, params)
    assert torch.allclose(once["0.weight"], a.reshape(3, 1, 1, 1) * params["0.weight"])
    assert torch.allclose(once["1.weight"], params["1.weight"] / a)
    assert residual(model, once) < TINY
    back = symmetry.act({family.name: family.group.inverse(g)}, once)
    assert all(torch.allclose(back[k], params[k], atol=1e-13) for k in params)
    if bias:  # about the mean
        mean = model.get_buffer("1.running_mean")
        assert torch.allclose(once["0.bias"] - mean, a * (params["0.bias"] - mean))
        assert torch.equal(once["1.bias"], params["1.bias"])


@pytest.mark.parametrize("bias", [False, True])
def test_planted_faults_are_seen(bias: bool) -> None:
    """Another mean, another sign, another ε."""
    model = net(bias=bias)
    symmetry = ps.discover(model, (X,))
    for family in symmetry:
        for term in family.terms:
            for k, source in enumerate(term.sources):
                if not source.values:
                    continue
                wrong = [replace(source, values=tuple(1.01 * v for v in source.values))]
                wrong += [replace(source, offset=0.01)] * (source.power < 0)
                for other in wrong:
                    sources = (*term.sources[:k], other, *term.sources[k + 1 :])
                    terms = tuple(
                        replace(t, sources=sources) if t is term else t for t in family.terms
                    )
                    faulty = replace(family, terms=terms)
                    g = family.group.sample(0.3, generator=torch.Generator().manual_seed(0))
                    moved = ps.Symmetry((faulty,), symmetry.parameters).act(
                        {faulty.name: g}, detached(model)
                    )
                    assert residual(model, moved) > 1e-6


def test_the_function_of_the_model_in_float32() -> None:
    model = net().float()
    symmetry = ps.discover(model, (X.float(),))
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(2))
    moved = symmetry.act(g, dict(model.named_parameters()))
    with torch.no_grad():
        before = model(X.float())
        after = torch.func.functional_call(model, moved, (X.float(),))
    assert float((after - before).abs().max() / before.abs().max()) < 1e-4


def test_statistics_are_kept_in_files_and_unknown_on_the_meta_device() -> None:
    model = net()
    symmetry = ps.discover(model, (X,))
    read = from_dict(to_dict(symmetry))
    assert read == symmetry
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(2))
    moved, again = (s.act(g, detached(model)) for s in (symmetry, read))
    assert all(torch.equal(moved[k], again[k]) for k in moved)
    unknown = ps.discover(net().to("meta"), (X.to("meta"),))
    assert groups(unknown) == groups(symmetry)
    with pytest.raises(ValueError, match=r"reads '1.running_mean'.*meta device.*with values"):
        unknown.act(unknown.sample(0.1), detached(model))


def test_a_model_with_other_statistics_is_not_moved() -> None:
    model = net()
    symmetry = ps.discover(model, (X,))
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(2))
    before = detached(model)["0.weight"].clone()
    model.get_buffer("1.running_mean").mul_(1.1)
    with pytest.raises(ValueError, match=r"'0 → 1' reads the buffer '1.running_mean' as it was at"):
        symmetry.act_(g, model)
    assert torch.equal(model.get_parameter("0.weight"), before)
    symmetry.act_(g, net())
    symmetry.act_(g, net().float())


def test_laws() -> None:
    """With a bias in front there is one law a channel beside those of linear families, quadratic
    about the mean; without, none."""

    def small(*, bias: bool) -> nn.Module:
        layers = (nn.Linear(2, 2, bias=bias), nn.BatchNorm1d(2), nn.LeakyReLU(0.2), nn.Linear(2, 1))
        return generic(nn.Sequential(*layers)).eval()

    for bias in (False, True):
        model, x = small(bias=bias), torch.randn(3, 2, dtype=torch.float64)
        symmetry = ps.discover(model, (x,))
        listed = sum(symmetry.laws_of(family) for family in symmetry)
        counted = count_conservation_laws(model, x[:1])
        assert counted.is_clear
        assert (listed, counted.laws) == (2, 4 if bias else 2)

    model, x = small(bias=True), torch.randn(3, 2, dtype=torch.float64)
    mean = model.get_buffer("1.running_mean")
    params = {k: p.requires_grad_() for k, p in detached(model).items()}
    law = (
        params["0.weight"].square().sum(1)
        + (params["0.bias"] - mean).square()
        - params["1.weight"].square()
    )
    loss = torch.func.functional_call(model, params, (x,)).square().sum()
    slope = torch.autograd.grad(loss, list(params.values()))
    for q in law:
        gradient = torch.autograd.grad(q, list(params.values()), retain_graph=True,
                                       materialize_grads=True)  # fmt: skip
        change = sum(float((a * b).sum()) for a, b in zip(gradient, slope, strict=True))
        size = sum(float((a * b).abs().sum()) for a, b in zip(gradient, slope, strict=True))
        assert abs(change) < 1e-14 * size


def test_words() -> None:
    with_bias, without = (str(ps.discover(net(bias=bias), (X,))) for bias in (True, False))
    assert "about running_mean" in with_bias
    assert "shift*" in without
    assert "0.bias → 1.bias" in with_bias
    explained = str(ps.discover(net(), (X,)).explain("0.bias"))
    assert "1.running_mean" in explained
