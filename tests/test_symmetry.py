"""The symmetry as a user meets it: elements, modes, frozen and tied parameters, bad input."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.blocks.gpt2_families import gpt2_subject
from tests.laws.measure import EPS, distance
from tests.laws.networks import dense
from tests.laws.subjects import subject

LINEAR = dense("identity", (3, 4, 2))
PARAMS = LINEAR.params
NAME = "fc0 → fc1"


def element() -> ps.GroupElement:
    return LINEAR.symmetry.sample(generator=torch.Generator().manual_seed(0))


def model() -> nn.Module:
    return LINEAR.module()


# -- a mapping of families ------------------------------------------------------------------


def test_families_by_name() -> None:
    symmetry = subject("attention").symmetry
    names = [family.name for family in symmetry]
    assert len(symmetry) == len(names) == 4
    assert symmetry[names[2]] is symmetry.families[2]
    chosen = symmetry.select(names[3], names[0])
    assert [f.name for f in chosen] == [names[3], names[0]]
    assert chosen.parameters == symmetry.parameters


def test_unknown_family_lists_the_known() -> None:
    with pytest.raises(KeyError, match="no family 'values'; there are 'fc0 → fc1'"):
        LINEAR.symmetry["values"]
    with pytest.raises(KeyError, match=r"no family 'fc0 -> fc1'\. Did you mean 'fc0 → fc1'"):
        LINEAR.symmetry["fc0 -> fc1"]
    many = [replace(LINEAR.symmetry.families[0], name=f"family {i}") for i in range(9)]
    with pytest.raises(KeyError, match="'family 5' and 3 more"):
        ps.Symmetry.of(many, PARAMS)["values"]


def test_the_element_comes_first() -> None:
    with pytest.raises(
        TypeError, match=r"got an element of the group.*`symmetry.act\(g, params\)`"
    ):
        LINEAR.symmetry.act(PARAMS, element())  # type: ignore[arg-type]


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(TypeError, match=r"`generator` must be a torch.Generator; got int"):
        LINEAR.symmetry.sample(generator=0)  # type: ignore[arg-type]


def test_names_are_distinct() -> None:
    (family,) = LINEAR.symmetry
    with pytest.raises(ValueError, match="distinct names"):
        ps.Symmetry.of([family, family], PARAMS)


def test_families_must_fit_the_parameters() -> None:
    (family,) = LINEAR.symmetry
    with pytest.raises(ValueError, match=r"'fc0 → fc1' needs parameter"):
        ps.Symmetry.of([family], {"other": torch.zeros(3)})


def test_compares_by_value() -> None:
    assert dense("relu", (3, 4, 2)).symmetry == dense("relu", (3, 4, 2)).symmetry
    assert dense("relu", (3, 4, 2)).symmetry != dense("relu_2", (3, 4, 2)).symmetry


def test_samples_are_seeded_and_near_the_unit() -> None:
    g, h = (LINEAR.symmetry.sample(generator=torch.Generator().manual_seed(3)) for _ in "12")
    assert torch.equal(g[NAME], h[NAME])
    near = LINEAR.symmetry.sample(1e-6, generator=torch.Generator().manual_seed(3))
    assert (near[NAME] - torch.eye(4).double()).abs().max() < 1e-5
    assert g[NAME].dtype == torch.float64


# -- acting on a module -----------------------------------------------------------------------


def test_act_moves_a_module_in_place() -> None:
    network = model()
    expected = LINEAR.symmetry.act(element(), PARAMS)
    LINEAR.symmetry.act_(element(), network)
    after = {k: p.detach() for k, p in network.named_parameters()}
    assert distance(after, expected) == 0
    assert all(p.requires_grad and p.is_leaf for p in network.parameters())


def test_act_on_parameters_carries_gradients() -> None:
    params = dict(model().named_parameters())
    moved = LINEAR.symmetry.act(element(), params)
    moved["fc0.weight"].sum().backward()
    gradient = params["fc0.weight"].grad
    assert gradient is not None
    expected = element()[NAME].sum(0)[:, None].expand(4, 3)
    assert (gradient - expected).abs().max() <= 16 * EPS


def test_nothing_moves_on_an_error() -> None:
    network = model()
    with torch.no_grad():
        network.get_parameter("fc1.weight")[0, 0] = torch.nan
    before = {k: p.detach().clone() for k, p in network.named_parameters()}
    with pytest.raises(ValueError, match=r"'fc1\.weight'.*finite"):
        LINEAR.symmetry.act_(element(), network)
    after = dict(network.named_parameters())
    assert all(torch.equal(after[k].nan_to_num(), before[k].nan_to_num()) for k in before)


def test_float32_modules_stay_float32() -> None:
    network = model().float()
    LINEAR.symmetry.act_(element(), network)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_shapes_follow_on_the_meta_device() -> None:
    params = {k: p.to("meta") for k, p in PARAMS.items()}
    moved = LINEAR.symmetry.act(element(), params)
    assert all(
        moved[k].device.type == "meta" and moved[k].shape == p.shape for k, p in params.items()
    )


@pytest.mark.parametrize(("mode", "training"), [("train", False), ("eval", True)])
def test_wrong_mode(mode: str, training: bool) -> None:
    symmetry = replace(LINEAR.symmetry, mode=mode, mode_dependent=True)
    network = model().train(training)
    now = "train" if training else "eval"
    with pytest.raises(
        ValueError, match=rf"in {now} mode.*discovered in {mode}.*model\.{mode}\(\)"
    ):
        symmetry.act_(element(), network)
    symmetry.act_(element(), network.train(not training))


def test_mode_is_free_where_it_makes_no_difference() -> None:
    replace(LINEAR.symmetry, mode="eval").act_(element(), model().train())


def test_a_dict_is_moved_in_place_too() -> None:
    g = element()
    own = {name: p.clone() for name, p in PARAMS.items()}
    tensors = dict(own)
    LINEAR.symmetry.act_(g, own)
    wanted = LINEAR.symmetry.act(g, PARAMS)
    assert all(own[name] is tensors[name] for name in PARAMS)
    for name, value in wanted.items():
        torch.testing.assert_close(own[name], value, rtol=1e-13, atol=1e-13)


def test_what_cannot_be_moved_in_place() -> None:
    wanted = r"`model` must be a torch\.nn\.Module or a parameter dict; got list"
    with pytest.raises(TypeError, match=wanted):
        LINEAR.symmetry.act_(element(), list(PARAMS.values()))  # pyright: ignore[reportArgumentType]


# -- frozen and tied parameters -----------------------------------------------------------------


@pytest.mark.parametrize("frozen", ["fc0.weight", "fc0.bias", "fc1.weight"])
def test_a_frozen_parameter_moves_but_gives_no_law(frozen: str) -> None:
    network = dense("identity", (3, 4, 4, 2))
    module = network.module()
    module.get_parameter(frozen).requires_grad_(False)
    symmetry = ps.Symmetry.of(network.symmetry.families, module)
    assert distance(symmetry.act(g := symmetry.sample(), network.params),
                    network.symmetry.act(g, network.params)) == 0  # fmt: skip
    touching = {f.name for f in symmetry if frozen in f.moves}
    assert touching
    assert set(symmetry.conserved(network.params)) == {f.name for f in symmetry} - touching
    assert set(symmetry.angular_momentum(network.params, network.params)).isdisjoint(touching)
    assert symmetry.law_dim < network.symmetry.law_dim
    assert symmetry.dim == network.symmetry.dim
    for name in touching:
        M = symmetry.select(name).sample_algebra().symmetric()
        with pytest.raises(ValueError, match=r"no conservation law.*frozen"):
            symmetry.conserved_quantity(M, network.params)


def test_a_frozen_output_bias_changes_nothing() -> None:
    module = model()
    module.get_parameter("fc1.bias").requires_grad_(False)
    symmetry = ps.Symmetry.of(LINEAR.symmetry.families, module)
    assert symmetry.law_dim == LINEAR.symmetry.law_dim


def test_tied_weights_are_moved_once() -> None:
    tied = gpt2_subject(layers=1, tied=True)
    embedding = next(p for p in tied.symmetry.parameters if p.name == "wte.weight")
    assert embedding.aliases == ("lm_head.weight",)
    both = tied.params | {"lm_head.weight": tied.params["wte.weight"]}
    with pytest.raises(ValueError, match=r"'lm_head\.weight'.*tied to 'wte\.weight'"):
        tied.symmetry.act(tied.symmetry.identity(), both)


# -- bad input -------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Mapping[str, Tensor]], Any]] = {
    "act": lambda p: LINEAR.symmetry.act(element(), p),
    "tangent": lambda p: LINEAR.symmetry.tangent(LINEAR.symmetry.sample_algebra(), p),
    "moment": lambda p: LINEAR.symmetry.moment(p, PARAMS),
    "conserved": LINEAR.symmetry.conserved,
    "conserved_quantity": lambda p: LINEAR.symmetry.conserved_quantity(
        LINEAR.symmetry.sample_algebra().symmetric(), p
    ),
    "angular_momentum": lambda p: LINEAR.symmetry.angular_momentum(p, PARAMS),
    "orbit_dim": LINEAR.symmetry.orbit_dim,
}


@pytest.mark.parametrize("call", CALLS)
def test_every_function_checks_its_parameters(call: str) -> None:
    missing = {k: p for k, p in PARAMS.items() if k != "fc1.bias"}
    with pytest.raises(ValueError, match=r"`params` lacks 'fc1\.bias'"):
        CALLS[call](missing)
    with pytest.raises(ValueError, match=r"unknown entry 'fc0\.wieght'.*'fc0\.weight'"):
        CALLS[call](PARAMS | {"fc0.wieght": PARAMS["fc0.weight"]})
    with pytest.raises(ValueError, match=r"'fc0\.bias'.*shape \(4,\).*got \(5,\)"):
        CALLS[call](PARAMS | {"fc0.bias": torch.zeros(5)})
    with pytest.raises(TypeError, match=r"'fc0\.bias'.*floating-point.*int64"):
        CALLS[call](PARAMS | {"fc0.bias": torch.zeros(4).long()})


@pytest.mark.parametrize("argument", ["covector", "velocity"])
def test_second_dicts_are_checked(argument: str) -> None:
    symmetry = LINEAR.symmetry
    function = symmetry.moment if argument == "covector" else symmetry.angular_momentum
    with pytest.raises(ValueError, match=rf"`{argument}` lacks 'fc0\.weight'"):
        function(PARAMS, {})


def test_nan_is_found_on_request() -> None:
    broken = PARAMS | {"fc0.bias": torch.full((4,), torch.nan)}
    LINEAR.symmetry.act(element(), broken)
    with pytest.raises(ValueError, match=r"'fc0\.bias'.*4 of 4 entries are NaN"):
        LINEAR.symmetry.act(element(), broken, check=True)
    with pytest.raises(ValueError, match=r"'fc0\.bias'.*NaN"):
        LINEAR.symmetry.orbit_dim(broken)


def test_element_of_another_symmetry() -> None:
    other = dense("identity", (3, 4, 5, 2)).symmetry
    with pytest.raises(ValueError, match=r'`g\["fc1 → fc2"\]` belongs to another symmetry.*fc0'):
        LINEAR.symmetry.act(other.select("fc1 → fc2").sample(), PARAMS)
    wider = dense("identity", (3, 6, 2)).symmetry
    with pytest.raises(ValueError, match=r"shape \(4, 4\).*GL\(4\); got \(6, 6\).*sample"):
        LINEAR.symmetry.act(wider.sample(), PARAMS)
    with pytest.raises(ValueError, match=r'`M\["fc1 → fc2"\]` belongs to another symmetry'):
        LINEAR.symmetry.tangent(other.sample_algebra(), PARAMS)


def test_algebra_is_not_group() -> None:
    M = LINEAR.symmetry.sample_algebra()
    with pytest.raises(TypeError, match=r"`g` must be a group element; got an algebra.*M\.exp"):
        LINEAR.symmetry.act(M, PARAMS)
    with pytest.raises(TypeError, match=r"`M` must be an algebra element.*GroupElement.*algebra"):
        LINEAR.symmetry.tangent(element(), PARAMS)
    with pytest.raises(TypeError, match=r"`M` must be an algebra element.*GroupElement"):
        LINEAR.symmetry.conserved_quantity(element(), PARAMS)


@pytest.mark.parametrize("g", [torch.eye(4), None, [torch.eye(4)]])
def test_elements_are_mappings(g: Any) -> None:
    with pytest.raises(TypeError, match=rf"`g` must be .*dict.*got {type(g).__name__}"):
        LINEAR.symmetry.act(g, PARAMS)
    with pytest.raises(TypeError, match=rf"`M` must be .*dict.*got {type(g).__name__}"):
        LINEAR.symmetry.tangent(g, PARAMS)


@pytest.mark.parametrize(("entry", "got"), [(torch.eye(4).int(), "int32"), ("unit", "str")])
def test_elements_hold_floating_tensors(entry: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf'`g\["{NAME}"\]` must be a floating-point.*{got}'):
        LINEAR.symmetry.act({NAME: entry}, PARAMS)


@pytest.mark.parametrize("entry", [torch.zeros(4, 4), torch.full((4, 4), torch.inf)])
def test_membership_is_checked_on_request(entry: Tensor) -> None:
    with pytest.raises(ValueError, match=r"not an element of GL\(4\).*finite, invertible"):
        LINEAR.symmetry.act({NAME: entry}, PARAMS, check=True)


def test_only_symmetric_generators_have_a_quantity() -> None:
    M = LINEAR.symmetry.sample_algebra()
    for generator in (M, M.antisymmetric(), {NAME: torch.ones(4, 4).tril()}):
        with pytest.raises(ValueError, match=r"must be symmetric.*M\.symmetric.*angular_momentum"):
            LINEAR.symmetry.conserved_quantity(generator, PARAMS)
    assert LINEAR.symmetry.conserved_quantity(M.symmetric(), PARAMS).ndim == 0
    assert LINEAR.symmetry.conserved_quantity(0.0 * M, PARAMS) == 0


def test_rotations_have_no_quantity() -> None:
    radial = dense("radial", (3, 4, 2))
    with pytest.raises(ValueError, match="must be symmetric"):
        radial.symmetry.conserved_quantity({NAME: torch.eye(4)}, radial.params)


def test_a_zero_gain_has_no_rotations() -> None:
    framed = subject("gemma norm")
    gain = framed.params["gain"].clone()
    gain[2] = -1.0  # the norm multiplies by 1 + γ
    params = framed.params | {"gain": gain}
    g = framed.symmetry.sample()
    for call in (
        lambda: framed.symmetry.act(g, params, check=True),
        lambda: framed.symmetry.orbit_dim(params),
        lambda: framed.symmetry.act_(g, replace(framed, params=params).module()),
    ):
        with pytest.raises(ValueError, match=r"'rotation' divides by 'gain' plus 1\.0.*select"):
            call()
    moved = framed.symmetry.select("stream").act({"stream": g["stream"]}, params, check=True)
    assert all(p.isfinite().all() for p in moved.values())
