"""The zoo's own checks are seen to fail on planted faults."""

from dataclasses import replace

from paramsym import Symmetry
from paramsym.discovery import discover
from tests.zoo import golden
from tests.zoo.registry import made
from tests.zoo.test_zoo import State, invariance, unexplained, verification


def found() -> Symmetry:
    return discover(*made("mlp-relu"))


def test_a_sound_symmetry_passes() -> None:
    assert not [*verification(found()), *invariance("mlp-relu", found(), *made("mlp-relu"))]


def test_a_wrong_family_is_named() -> None:
    symmetry = found()
    first, second = symmetry.families
    ports = tuple(replace(port, degree=2) if port.dual else port for port in first.ports)
    wrong = replace(symmetry, families=(replace(first, ports=ports), second))
    faults = list(invariance("mlp-relu", wrong, *made("mlp-relu")))
    assert [fault.split(":")[0] for fault in faults] == ["all families", first.name]


def test_what_was_withdrawn_is_told() -> None:
    symmetry = found()
    assert symmetry.verification is not None
    check = replace(symmetry.verification, withdrawn=("a → b",))
    assert list(verification(replace(symmetry, verification=check))) == ["withdrawn: a → b"]
    assert list(verification(replace(symmetry, verification=None))) == ["unverified"]
    loose = replace(symmetry, discrete=tuple(replace(f, verified=False) for f in symmetry.discrete))
    assert list(verification(loose)) == [f"unverified: {f.name}" for f in symmetry.discrete] != []


def test_a_wrong_permutation_is_noticed() -> None:
    symmetry = found()
    first, *others = symmetry.discrete
    wrong = replace(first, ports=tuple(p for p in first.ports if not p.dual))
    (fault,) = invariance(
        "mlp-relu", replace(symmetry, discrete=(wrong, *others)), *made("mlp-relu")
    )
    assert fault.startswith("permutations and signs: the output changes by")


def test_what_no_op_pins_is_told() -> None:
    symmetry = found()
    assert not list(unexplained(symmetry))
    faults = list(unexplained(replace(symmetry, pins=symmetry.pins[1:])))
    assert faults == ["not explained: axis 1 of layers.0.weight"]


def test_a_check_of_parameters_without_effect_is_empty() -> None:
    model, args = made("mlp-relu")
    symmetry = discover(model, args)
    model.register_forward_hook(lambda module, given, output: 0 * output + 1)
    faults = list(invariance("mlp-relu", symmetry, model, args))
    assert len(faults) == 3
    assert all("random moves" in fault for fault in faults)


def test_lost_and_gained_families_are_told_apart_from_renamed_ones() -> None:
    symmetry = found()
    whole = golden.summary(symmetry)
    less = golden.summary(replace(symmetry, families=symmetry.families[1:]))
    (lost, *_), (gained, *_) = golden.differences(whole, less), golden.differences(less, whole)
    assert lost.startswith("lost family layers.0 → layers.1: T₊(11); writes layers.0.weight[0]")
    assert gained == lost.replace("lost", "gained", 1)
    assert "dim: 24, now 13" in golden.differences(whole, less)
    fewer = golden.summary(replace(symmetry, discrete=symmetry.discrete[1:]))
    (line,) = golden.differences(whole, fewer)
    assert line.startswith("lost family layers.0 → layers.1 (permutations): S(11); writes")
    renamed = [replace(f, name=f"family {k}") for k, f in enumerate(symmetry)]
    again = golden.summary(replace(symmetry, families=tuple(renamed)))
    assert golden.differences(whole, again) == []


def test_a_changed_model_is_noticed() -> None:
    model, _ = made("cnn")
    before = State(model)
    assert not list(before.changes(model))
    model.train()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.add_(1)
    changes = set(before.changes(model))
    assert {"changed: parameter 0.weight", "changed: buffer 4.running_var"} <= changes
    assert "changed: training mode of a module" in changes
