"""Models of `transformers` by name: from configurations, from folders, on the meta device."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from paramsym import discover
from paramsym.huggingface import from_name, inputs_of, outputs_of
from paramsym.loading import load_model
from paramsym.published import PUBLISHED

SIZES = {
    "gpt2": 124.4,
    "gpt2-xl": 1557.6,
    "bert-base": 109.5,
    "vit-base-16": 86.6,
    "resnet-50": 25.6,
    "llama-2-7b": 6738.4,
    "llama-3-8b": 8030.3,
    "mistral-7b": 7241.7,
    "qwen2-0.5b": 494.0,
    "t5-small": 60.5,
    "opt-125m": 125.2,
}
"""Millions of parameters, as published."""
TINY = [name for name in PUBLISHED if name.startswith("tiny-")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `save_pretrained` writes."""
    model, _ = from_name("tiny-gpt2", meta=False, seed=5)
    model.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_name_is_a_model_with_inputs(name: str) -> None:
    model, inputs = from_name(name, meta=True, seed=0)
    assert not model.training
    assert inputs
    assert all(p.device.type == "meta" for p in (*model.parameters(), *inputs.values()))
    if name in SIZES:
        assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == SIZES[name]


@pytest.mark.parametrize("name", TINY)
def test_the_tiny_ones_are_discovered_and_verified(name: str) -> None:
    loaded = load_model(f"hf:{name}")
    assert isinstance(loaded.model, nn.Module)
    symmetry = discover(loaded.model, loaded.args, loaded.kwargs)
    assert len(symmetry) > 0
    assert symmetry.verification is not None
    assert symmetry.verification.holds
    assert not symmetry.verification.withdrawn


def test_the_seed_decides() -> None:
    first, again, other = (
        next(load_model("hf:tiny-bert", seed=seed).model.parameters()) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_on_meta_nothing_is_verified() -> None:
    loaded = load_model("hf:tiny-bert", meta=True)
    symmetry = discover(loaded.model, loaded.args, loaded.kwargs)
    assert symmetry.verification is None
    assert len(symmetry) > 0
    assert not any(family.verified for family in symmetry)


def test_a_folder_has_its_weights(folder: Path) -> None:
    model, inputs = from_name(str(folder), meta=False, seed=0)
    made, _ = from_name("tiny-gpt2", meta=False, seed=5)
    for (name, p), (other, q) in zip(
        model.named_parameters(), made.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(p, q)
    assert model(**inputs).shape == (2, 8, 64)
    structure, _ = from_name(str(folder), meta=True, seed=0)
    assert all(p.is_meta for p in structure.parameters())


def test_caches_and_inner_states_are_no_outputs() -> None:
    tensor = torch.zeros(1)
    inner = {"past_key_values": tensor, "encoder_last_hidden_state": tensor, "attentions": None}
    assert outputs_of({"logits": tensor, **inner, "last_hidden_state": tensor + 1}) is tensor
    assert outputs_of({"logits": tensor, "pred_boxes": tensor}) == (tensor, tensor)
    assert outputs_of({"last_hidden_state": tensor, "loss": None, **inner}) is tensor
    assert outputs_of(tensor) is tensor


def test_inputs_follow_the_configuration() -> None:
    config = transformers.T5Config(vocab_size=50, decoder_start_token_id=0)
    t5 = SimpleNamespace(config=config, main_input_name="input_ids")
    ids = inputs_of(t5, "cpu")  # type: ignore[arg-type]
    assert {name: tuple(x.shape) for name, x in ids.items()} == {
        "input_ids": (2, 8),
        "decoder_input_ids": (2, 6),
    }
    assert max(int(x.max()) for x in ids.values()) < 50
    odd = SimpleNamespace(config=config, main_input_name="points")
    config.is_encoder_decoder = False
    with pytest.raises(ValueError, match=r"no way to make 'points'.*Write a factory"):
        inputs_of(odd, "cpu")  # type: ignore[arg-type]


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny-gtp2", "no built-in configuration 'tiny-gtp2'. Did you mean 'tiny-gpt2'"),
        ("openai/gpt9", "there is no folder 'openai/gpt9'. Nothing is downloaded"),
        ("llama-2-7b", r"6\.7 billion parameters, 27 GB .* Use --meta"),
        ("", "no built-in configuration ''"),
    ],
)
def test_names_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_name(name, meta=False, seed=0)


def test_folders_that_lack_something(tmp_path: Path) -> None:
    def loading(message: str, *, meta: bool = False) -> None:
        with pytest.raises(ValueError, match=message):
            from_name(str(tmp_path), meta=meta, seed=0)

    loading("has no config.json")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2}))
    loading("no weights as safetensors. Convert them, or use --meta")
    (tmp_path / "pytorch_model.bin").touch()
    loading(r"Pickled weights \(.bin, .pt\) are not read")
    save_file({"transformer.wte.weight": torch.zeros(50257, 8)}, tmp_path / "model.safetensors")
    loading("names no architecture")
    loading("names no architecture", meta=True)
    known = json.loads(config.read_text())
    config.write_text(json.dumps({**known, "architectures": ["GPT9"]}))
    loading("has no model 'GPT9'")
    config.write_text(json.dumps({**known, "architectures": ["GPT2LMHeadModel"]}))
    loading(r"lack \d+ of the tensors that config.json asks for, such as 'transformer.h.0.attn")
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    loading("cannot be loaded")
    config.write_text(json.dumps({"model_type": "of-nobody"}))
    loading("cannot be loaded")
    config.write_text("{")
    loading("cannot be loaded")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"need the package transformers.*paramsym\[hf\]"):
        from_name("gpt2", meta=True, seed=0)


def test_names_without_their_prefix(folder: Path) -> None:
    with pytest.raises(ValueError, match="Models of Hugging Face are named `hf:gpt2`"):
        load_model("gpt2")
    with pytest.raises(ValueError, match="Models of Hugging Face are named `hf:"):
        load_model(str(folder))


def test_a_program_has_values(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(ValueError, match="Leave out --meta"):
        load_model(str(tmp_path / "net.pt2"), meta=True)
