"""Rules for ops, written by users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final, overload

from paramsym.discovery.labels import Value
from paramsym.discovery.ops.registry import RULES, Call, Result, Rule, rule
from paramsym.discovery.registering import name_of


@final
@dataclass(frozen=True, eq=False)
class RegisteredRule:
    """An op with a rule of a user. A context manager that removes the rule at its end.

    Attributes:
        op: The op's name as recordings have it: with its namespace, unless it is torch's own.
        rule: The rule.
    """

    op: str
    rule: Rule
    _checked: Rule = field(repr=False)

    def __call__(self, call: Call) -> Result:
        return self.rule(call)

    def remove(self) -> None:
        """Take the rule back; the op is a barrier again. Does nothing the second time."""
        if RULES.get(self.op) is self._checked:
            del RULES[self.op]

    def __enter__(self) -> "RegisteredRule":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@overload
def register_rule(op: Any, function: Rule) -> RegisteredRule: ...
@overload
def register_rule(op: Any) -> Callable[[Rule], RegisteredRule]: ...
def register_rule(
    op: Any, function: Rule | None = None
) -> RegisteredRule | Callable[[Rule], RegisteredRule]:
    """Teach discovery an op, by a rule that says what it means for symmetries.

    A rule states facts about the labels of what the op reads, and returns what is known of its
    outputs (docs/adding-an-op.md has the vocabulary). Families that it makes possible are verified
    at discovery like all others. For an activation no rule need be written: see
    `register_activation`.

    Args:
        op: The op as discovery meets it: a `torch.library.custom_op`, `torch.ops.namespace.name`,
            or its name, `"namespace::name"` (the namespace may be left out where it is torch's
            own). In-place forms follow it.
        function: The rule, a function of one `Call`. When absent, a decorator is returned.

    Returns:
        A handle that removes the rule, also as a context manager; as a decorator too.

    Raises:
        TypeError: If `op` is no op, or `function` cannot be called; at discovery, if the rule
            returns anything but values for the op's outputs.
        ValueError: If the op has a rule already, or torch has no op of that name; at discovery, if
            labels that the rule returns do not broadcast to their output.
    """
    name = name_of(op)
    if name in RULES:
        raise ValueError(
            f"`op`: {name!r} has a rule already ({RULES[name].__name__}). A rule that was "
            "registered by a user is taken back by `.remove()` on what registering it returned."
        )

    def register(function: Rule) -> RegisteredRule:
        if not callable(function):
            raise TypeError(
                f"`function` must be a rule, a function of one call; got {type(function).__name__}."
            )

        def checked(call: Call) -> Result:
            result = function(call)
            _check(result, call, name)
            return result

        checked.__name__ = getattr(function, "__name__", f"rule of {name}")
        rule(name)(checked)
        return RegisteredRule(name, function, checked)

    return register if function is None else register(function)


def _check(result: Any, call: Call, name: str) -> None:
    values = [result] if isinstance(result, Value) else result
    is_list = isinstance(values, Sequence) and all(isinstance(v, Value | None) for v in values)
    if not is_list:
        raise TypeError(
            f"the rule for {name!r} must return `call.output(layers)`, `call.outputs(value)`, "
            f"`call.pin()` or `call.refuse()`; got {type(result).__name__}."
        )
    if len(values) > len(call.shapes):
        raise ValueError(
            f"the rule for {name!r} must return at most {len(call.shapes)} values, one an output; "
            f"got {len(values)}."
        )
    for value in values:
        if value is None:
            continue
        for layer in value.layers:
            shape = layer.labels.shape
            fits = len(shape) == len(value.shape) and all(
                a in (1, b) for a, b in zip(shape, value.shape, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"the rule for {name!r} must return labels that broadcast to the output's "
                    f"shape {value.shape}, with as many axes; got labels of shape {shape}."
                )
