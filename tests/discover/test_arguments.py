"""Leaves of arguments against torch's own trees."""

from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from torch.fx.immutable_collections import immutable_dict, immutable_list

from paramsym.discovery.arguments import leaves, mapped

GIVEN = [
    3,
    (),
    ([1, (2, None)], {"dim": [0, -1], "dtype": torch.float32}),
    (immutable_list([1, 2]), immutable_dict({"alpha": 2.0})),
    (torch.Size([2, 3]), "mean"),
]


@pytest.mark.parametrize("given", GIVEN, ids=repr)
def test_leaves_are_those_of_torch(given: Any) -> None:
    assert list(leaves(given)) == pytree.tree_leaves(given, is_leaf=lambda x: x is None)


@pytest.mark.parametrize("given", GIVEN, ids=repr)
def test_every_leaf_is_changed(given: Any) -> None:
    assert mapped(repr, given) == pytree.tree_map(repr, given, is_leaf=lambda x: x is None)
