"""Names of a checkpoint against names of a model."""

from typing import Any

import pytest

from paramsym.parameters import Parameter
from paramsym.transform.fitting import fitted

PARAMETERS = (
    Parameter("net.a.weight", (2, 3)),
    Parameter("net.a.bias", (2,)),
    Parameter("net.head.weight", (4, 2), aliases=("net.table.weight",)),
)


def entries(*names: str, shapes: dict[str, list[int]] | None = None) -> dict[str, Any]:
    sizes = {"a.weight": [2, 3], "a.bias": [2], "head.weight": [4, 2], "table.weight": [4, 2]}

    def size(name: str) -> list[int]:
        return (shapes or {}).get(name) or next(s for k, s in sizes.items() if name.endswith(k))

    return {name: {"shape": size(name)} for name in names}


@pytest.mark.parametrize("prefix", ["net.", "module.net.", ""], ids=["same", "more", "less"])
@pytest.mark.parametrize("tied", ["head", "table"])
def test_a_prefix_and_a_tied_name(prefix: str, tied: str) -> None:
    names = [f"{prefix}a.weight", f"{prefix}a.bias", f"{prefix}{tied}.weight"]
    found, _ = fitted(entries(*names), PARAMETERS)
    assert found == dict(zip([p.name for p in PARAMETERS], names, strict=True))


def test_both_names_of_a_tied_parameter_may_be_there() -> None:
    names = ("net.a.weight", "net.a.bias", "net.head.weight", "net.table.weight")
    assert fitted(entries(*names), PARAMETERS)[0]["net.head.weight"] == "net.head.weight"


def test_a_missing_parameter() -> None:
    with pytest.raises(ValueError, match=r"lacks 1 of 3 parameters, such as 'net\.a\.bias'"):
        fitted(entries("net.a.weight", "net.head.weight"), PARAMETERS)


def test_another_shape() -> None:
    given = entries("net.a.weight", "net.a.bias", "net.head.weight", shapes={"net.a.bias": [5]})
    with pytest.raises(ValueError, match=r"'net\.a\.bias' must have shape \(2,\); got \(5,\)"):
        fitted(given, PARAMETERS)


def test_what_the_model_does_not_have_would_not_be_moved() -> None:
    given = entries("net.a.weight", "net.a.bias", "net.head.weight")
    given["net.deeper.weight"] = {"shape": [9]}
    with pytest.raises(ValueError, match=r"1 tensors that the model does not have.*--ignore"):
        fitted(given, PARAMETERS)
    assert len(fitted(given, PARAMETERS, ignored=("*deeper*",))[0]) == 3
    _, state = fitted(given, PARAMETERS, buffers=("net.deeper.weight", "net.absent"))
    assert state == {"net.deeper.weight": "net.deeper.weight"}
