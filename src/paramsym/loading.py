"""From a model's name on the command line to the model.

A name is a built-in one (`cnn`), a factory (`package.module:factory`), a `.pt2` file, or a model of
`transformers` (`hf:gpt2`, `hf:./folder`).
"""

import difflib
import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from paramsym import huggingface, pt2
from paramsym.published import PUBLISHED
from paramsym.zoo import BUILTIN


@final
@dataclass(frozen=True)
class LoadedModel:
    """A model with its example inputs.

    Attributes:
        model: A module, or a program that was exported.
        args: Example inputs; `None` where the program carries its own.
        kwargs: Keyword inputs.
        title: What to call it.
    """

    model: nn.Module | ExportedProgram
    args: tuple[Any, ...] | None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""


def load_model(name: str, *, trust: bool = False, seed: int = 0, meta: bool = False) -> LoadedModel:
    """The model of that name.

    Args:
        name: A key of `paramsym.zoo.BUILTIN`; `package.module:factory`, where the factory takes no
            arguments and returns `(model, args)` or `(model, args, kwargs)`, and the working folder
            is searched for the module as well; a `.pt2` file of `torch.export.save`; or `hf:` and
            what `paramsym.huggingface.from_name` knows.
        trust: Read `.pt2` files that hold pickled objects or code too. Otherwise those are refused
            before anything of them is run (see `paramsym.pt2`).
        seed: Seed of torch's random state when a factory is called.
        meta: Make the model and its inputs on the meta device: shapes without values, which take
            no memory.

    Raises:
        ValueError: If there is no such model, its file is damaged or refused, or its factory fails;
            if a program that was exported is to be on the meta device.
        TypeError: If a factory returns something else.
    """
    if name.startswith(huggingface.PREFIX):
        model, kwargs = huggingface.from_name(
            name.removeprefix(huggingface.PREFIX), meta=meta, seed=seed
        )
        return LoadedModel(model, (), kwargs, title=name)
    if name in BUILTIN:
        model, args = BUILTIN[name]()
        if meta:
            model, args = model.to("meta"), tuple(x.to("meta") for x in args)
        return LoadedModel(model, args, title=name)
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        raise ValueError(
            f"{path.name} holds weights and no model. Name a factory as `package.module:factory`; "
            "`paramsym transform MODEL CHECKPOINT` moves weights."
        )
    if path.suffix == ".pt2" or (path.is_file() and path.suffix != ".py"):
        if meta:
            raise ValueError(
                f"{path.name} is an exported program, which holds its values. Leave out --meta."
            )
        return LoadedModel(_program(path, trust=trust), None, title=path.name)
    module, colon, factory = name.partition(":")
    if colon:
        torch.manual_seed(seed)
        make = _factory(module, factory, name)
        torch.manual_seed(seed)  # importing may have drawn
        with torch.device("meta") if meta else nullcontext():
            return _made_by(make, name)
    raise ValueError(_unknown(name))


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, BUILTIN, 3)
    if name in PUBLISHED or (Path(name) / "config.json").is_file():
        hint = f"Models of Hugging Face are named `{huggingface.PREFIX}{name}`."
    elif close:
        hint = f"Did you mean {' or '.join(map(repr, close))}?"
    elif "." in name or "/" in name:
        hint = "Name a factory as `package.module:factory`, with a colon, or an existing .pt2 file."
    else:
        hint = f"Built-in models are {', '.join(BUILTIN)}."
    return f"there is no model {name!r}. {hint}"


# -- files -----------------------------------------------------------------------------------------


def _program(path: Path, *, trust: bool) -> ExportedProgram:
    data = pt2.read(path)
    if not trust:
        pt2.check(data)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # torch logs a traceback of the error that it raises
    try:
        return torch.export.load(io.BytesIO(data))
    except Exception as error:
        raise ValueError(
            f"torch {torch.__version__} cannot read {str(path)!r}: {_described(error)}. "
            "Save it again with `torch.export.save` in this version of torch."
        ) from error
    finally:
        logging.disable(disabled)


# -- factories -------------------------------------------------------------------------------------


def _factory(module: str, factory: str, name: str) -> Any:
    if not module or not factory:
        raise ValueError(
            f"{name!r} must name a module and a factory in it, as `package.module:factory`."
        )
    if module.endswith(".py") or "/" in module:
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(
            f"{module!r} must be the name of a module, not of a file. "
            f"Write `{dotted}:{factory}`, from the folder that holds it."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = _imported(module)
    for part in factory.split("."):
        if not hasattr(found, part):
            raise ValueError(_missing_attribute(found, part, module))
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        raise TypeError(
            f"`{name}` is a model. Name a function that returns it with example inputs, "
            "(model, args)."
        )
    if not callable(found):
        raise TypeError(
            f"`{name}` must be a function that returns (model, args); "
            f"got {_article(type(found).__name__)}."
        )
    return found


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"importing {module!r} failed: {_described(error)}.") from error
        raise ValueError(
            f"there is no module {error.name!r}, neither installed nor in {os.getcwd()}. "
            "Run from the folder that holds it, or install its package here."
        ) from error
    except Exception as error:
        raise ValueError(f"importing {module!r} failed: {_described(error)}.") from error


def _missing_attribute(owner: object, name: str, module: str) -> str:
    public = [key for key in dir(owner) if not key.startswith("_")]
    close = difflib.get_close_matches(name, public, 1)
    hint = f"Did you mean {close[0]!r}?" if close else "Look for it in the module's source."
    return f"module {module!r} has no {name!r}. {hint}"


def _made_by(factory: Any, name: str) -> LoadedModel:
    try:
        made = factory()
    except Exception as error:
        raise ValueError(
            f"the factory `{name}` failed: {_described(error)}. "
            "It is called without arguments and must return (model, args)."
        ) from error
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        got = (
            f"a tuple of {len(made)}" if isinstance(made, tuple) else _article(type(made).__name__)
        )
        hint = " Return the example inputs as well." if isinstance(made, nn.Module) else ""
        raise TypeError(
            f"the factory `{name}` must return (model, args) or (model, args, kwargs); "
            f"got {got}.{hint}"
        )
    model, args, kwargs = made if len(made) == 3 else (*made, {})
    if not isinstance(model, nn.Module | ExportedProgram):
        hint = " Return an instance, not the class." if isinstance(model, type) else ""
        raise TypeError(
            f"the model that `{name}` returns must be a torch.nn.Module; "
            f"got {_article(type(model).__name__)}.{hint}"
        )
    if not isinstance(args, tuple | list):
        hint = " Return (model, (x,))." if isinstance(args, Tensor) else ""
        raise TypeError(
            f"the example inputs that `{name}` returns must be a tuple, as for `model(*args)`; "
            f"got {_article(type(args).__name__)}.{hint}"
        )
    if not isinstance(kwargs, Mapping):
        raise TypeError(
            f"the keyword inputs that `{name}` returns must be a dict; "
            f"got {_article(type(kwargs).__name__)}."
        )
    return LoadedModel(model, tuple(args), dict(kwargs), title=name)


def _described(error: BaseException) -> str:
    """An error of somebody else's code in one line, with the place where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
