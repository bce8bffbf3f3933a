"""Models of `transformers`: from a configuration with random weights, or from a local folder.

Nothing is downloaded.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from paramsym.published import PUBLISHED

PREFIX = "hf:"
LARGEST = 2_000_000_000
"""Parameters of the largest model that is built with values; the check in float64 needs copies."""
_BATCH, _LENGTH = 2, 8
_ORDINARY = 10
"""Tokens below are special ones as a rule."""
_INNER = ("past_key_values", "cache", "hidden_states", "attentions", "_model_output", "encoder_")
"""What a model returns for convenience: caches and what is inside it are no outputs."""


def from_name(name: str, *, meta: bool, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model of that name in evaluation mode, and example inputs by keyword.

    Args:
        name: A key of `paramsym.published.PUBLISHED`, or a folder with `config.json` and weights as
            safetensors.
        meta: Make all tensors on the meta device: shapes without values and without memory.
        seed: Seed of torch's random state.

    Raises:
        ValueError: If `transformers` is not installed, or cannot make the model; if there is no
            such name or folder, or its files are missing; if the model is too large for `meta`
            to be left out.
    """
    library = _transformers()
    folder = Path(name)
    is_folder = bool(name) and (folder.is_dir() or "/" in name or name.startswith("."))
    with _quietly(library):
        torch.manual_seed(seed)
        if is_folder:
            model = _from_folder(library, folder, meta)
        else:
            model = _from_table(library, name, meta)
    config: Any = model.config
    config.use_cache = False
    model.register_forward_hook(lambda module, given, output: outputs_of(output))
    return model.eval(), inputs_of(model, "meta" if meta else "cpu")


def outputs_of(output: Any) -> Any:
    """The tensors of a model's output that are the answer, and not something inside the model."""
    if isinstance(output, Tensor):
        return output
    tensors = {
        key: value
        for key, value in output.items()
        if isinstance(value, Tensor) and not any(part in key for part in _INNER)
    }
    answers = [value for key, value in tensors.items() if key.startswith(("logits", "pred_"))]
    kept = answers or list(tensors.values())
    return kept[0] if len(kept) == 1 else tuple(kept)


def inputs_of(model: nn.Module, device: str) -> dict[str, Tensor]:
    """Inputs that fit a model's configuration: two samples, as short as they may be."""
    config: Any = model.config
    text = config.get_text_config()
    made: dict[str, Tensor] = {}
    main = getattr(model, "main_input_name", "input_ids")
    is_pair = hasattr(config, "vision_config") and hasattr(config, "text_config")
    if main == "input_ids":
        made["input_ids"] = _tokens(text, device)
    if main == "pixel_values" or is_pair:
        made["pixel_values"] = _images(getattr(config, "vision_config", config), device)
    if main == "input_features":
        made[main] = torch.randn(
            1, config.num_mel_bins, 2 * config.max_source_positions, device=device
        )
    if main == "input_values":
        made[main] = torch.randn(1, 4000, device=device)
    if getattr(config, "is_encoder_decoder", False):
        rows = next(iter(made.values())).shape[0]
        made["decoder_input_ids"] = _tokens(text, device)[:rows, :-2]
    if not made:
        raise ValueError(
            f"there is no way to make {main!r}, the input of {type(model).__name__}. "
            "Write a factory that returns the model with inputs, `package.module:factory`."
        )
    return made


def _tokens(config: Any, device: str) -> Tensor:
    """Token numbers, ordinary ones but for the last, which ends the text."""
    vocabulary = config.vocab_size
    longest = getattr(config, "max_position_embeddings", None) or _LENGTH
    shape = (_BATCH, min(_LENGTH, longest))
    ids = torch.randint(min(_ORDINARY, vocabulary // 2), vocabulary, shape, device=device)
    end = getattr(config, "eos_token_id", None)
    if isinstance(end, int) and 0 <= end < vocabulary:
        ids[:, -1] = end
    return ids


def _images(config: Any, device: str) -> Tensor:
    size = getattr(config, "image_size", 64)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return torch.randn(_BATCH, getattr(config, "num_channels", 3), height, width, device=device)


# -- where models come from ------------------------------------------------------------------------


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            "models of Hugging Face need the package transformers, which cannot be imported "
            f"({error}). Install it with `pip install 'paramsym[hf]'`."
        ) from error
    return transformers


@contextmanager
def _quietly(library: ModuleType) -> Iterator[None]:
    """Without the library's warnings and progress bars."""
    verbosity = library.logging.get_verbosity()
    shown = library.logging.is_progress_bar_enabled()
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    try:
        yield
    finally:
        library.logging.set_verbosity(verbosity)
        if shown:
            library.logging.enable_progress_bar()


def _from_table(library: ModuleType, name: str, meta: bool) -> nn.Module:
    if name not in PUBLISHED:
        close = difflib.get_close_matches(name, PUBLISHED, 3)
        meant = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"there is no built-in configuration {name!r}. {meant}`paramsym inspect --list` shows "
            "all. Nothing is downloaded: for another model, name a folder with its config.json, "
            f"as `{PREFIX}./folder`."
        )
    known = PUBLISHED[name]
    config = library.AutoConfig.for_model(known.model_type, **known.settings)
    make = getattr(library, known.auto).from_config
    return _built(lambda: make(config), name, meta)


def _from_folder(library: ModuleType, folder: Path, meta: bool) -> nn.Module:
    if not folder.is_dir():
        raise ValueError(
            f"there is no folder {str(folder)!r}. Nothing is downloaded: name a folder with a "
            "config.json, or a built-in configuration (`paramsym inspect --list`)."
        )
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"the folder {str(folder)!r} has no config.json, which says what model it is."
        )
    if not meta and not list(folder.glob("*.safetensors")):
        pickled = " Pickled weights (.bin, .pt) are not read." * any(
            list(folder.glob(pattern)) for pattern in ("*.bin", "*.pt", "*.pth")
        )
        raise ValueError(
            f"the folder {str(folder)!r} has a config.json and no weights as safetensors.{pickled} "
            "Convert them, or use --meta, which needs no weights."
        )
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
        make = _class_of(library, config)
        if meta:
            return _built(lambda: make._from_config(config), str(folder), meta)
        _require_small(lambda: make._from_config(config), str(folder))
        model, report = make.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"the model in {str(folder)!r} cannot be loaded: {first}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"the weights in {str(folder)!r} lack {len(missing)} of the tensors that config.json "
            f"asks for, such as {missing[0]!r}. Use --meta to inspect the structure alone."
        )
    return model


def _class_of(library: ModuleType, config: Any) -> Any:
    names = getattr(config, "architectures", None) or []
    if not names:
        raise ValueError(
            "its config.json names no architecture. Write `architectures` into it, as in "
            '["GPT2LMHeadModel"]'
        )
    found = getattr(library, names[0], None)
    if found is None:
        raise ValueError(f"transformers {library.__version__} has no model {names[0]!r}")
    return found


def _built(make: Any, name: str, meta: bool) -> nn.Module:
    if not meta:
        _require_small(make, name)
        return make()
    with torch.device("meta"):
        return make()


def _require_small(make: Any, name: str) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in make().parameters())
    if count > LARGEST:
        raise ValueError(
            f"{name} has {count / 1e9:.1f} billion parameters, {4 * count / 1e9:.0f} GB in "
            "float32, and the check needs several copies in float64. Use --meta: the symmetries "
            "are those of the structure, and need no values."
        )
