"""Images: vision transformers, residual and mobile convolutional networks, segmentation, detection,
and images with text."""

import torch
import transformers as T
from torch import nn

from tests.zoo.registry import VOCABULARY, Made, model, picked, tokens

SHAPE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
PATCHES = {**SHAPE, "image_size": 16, "patch_size": 4, "num_labels": 7}
PYRAMID = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1], "patch_size": 2}


def images(network: nn.Module, size: int = 32) -> Made:
    return picked(network, ("pixel_values",)), (torch.randn(2, 3, size, size),)


@model("vit", ci=True)
def vit() -> Made:
    return images(T.ViTForImageClassification(T.ViTConfig(**PATCHES)), 16)


@model("vit-eager")
def vit_eager() -> Made:
    config = T.ViTConfig(**PATCHES, attn_implementation="eager")
    return images(T.ViTForImageClassification(config), 16)


@model("deit")
def deit() -> Made:
    return images(T.DeiTForImageClassification(T.DeiTConfig(**PATCHES)), 16)


@model("swin", ci=True)
def swin() -> Made:
    config = T.SwinConfig(
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=7,
    )
    return images(T.SwinForImageClassification(config))


@model("convnext", ci=True)
def convnext() -> Made:
    config = T.ConvNextConfig(**PYRAMID, num_labels=7, image_size=32)
    return images(T.ConvNextForImageClassification(config))


@model("convnext-v2")
def convnext_v2() -> Made:
    config = T.ConvNextV2Config(**PYRAMID, num_labels=7, image_size=32)
    return images(T.ConvNextV2ForImageClassification(config))


def _resnet(layer_type: str, widths: list[int]) -> nn.Module:
    config = T.ResNetConfig(
        embedding_size=8,
        hidden_sizes=widths,
        depths=[2, 2],
        layer_type=layer_type,
        num_labels=7,
    )
    return T.ResNetForImageClassification(config)


@model("resnet", ci=True)
def resnet() -> Made:
    return images(_resnet("bottleneck", [16, 24]))


@model("resnet-train")
def resnet_train() -> Made:
    """Batch statistics, which are computed from the very activations."""
    network, args = images(_resnet("bottleneck", [16, 24]))
    return network.train(), args


@model("resnet-basic")
def resnet_basic() -> Made:
    return images(_resnet("basic", [8, 12]))


@model("regnet")
def regnet() -> Made:
    config = T.RegNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 24],
        depths=[1, 2],
        groups_width=8,
        layer_type="y",
        num_labels=7,
    )
    return images(T.RegNetForImageClassification(config))


@model("mobilenet-v1")
def mobilenet_v1() -> Made:
    config = T.MobileNetV1Config(depth_multiplier=0.25, image_size=32, num_labels=7)
    return images(T.MobileNetV1ForImageClassification(config))


@model("mobilenet-v2")
def mobilenet_v2() -> Made:
    config = T.MobileNetV2Config(depth_multiplier=0.25, image_size=32, num_labels=7)
    return images(T.MobileNetV2ForImageClassification(config))


@model("efficientnet")
def efficientnet() -> Made:
    config = T.EfficientNetConfig(
        image_size=32,
        width_coefficient=0.25,
        depth_coefficient=0.3,
        num_labels=7,
        hidden_dim=320,
    )
    network = T.EfficientNetForImageClassification(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training; at 1 the signal dies out
            nn.init.constant_(module.running_var, 0.05)
    return images(network)


@model("segformer")
def segformer() -> Made:
    config = T.SegformerConfig(
        hidden_sizes=[8, 16, 16, 24],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=16,
        num_labels=5,
        image_size=64,
    )
    return images(T.SegformerForSemanticSegmentation(config), 64)


@model("detr", idle=r"decoder\.layers\.0\.self_attn\.[qk]_proj")
def detr() -> Made:
    """Its first decoder layer attends to zeros, so that it does not matter where."""
    backbone = T.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 24],
        depths=[1, 1],
        layer_type="bottleneck",
        out_features=["stage2"],
    )
    config = T.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        num_queries=5,
        d_model=24,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        num_labels=6,
    )
    return images(T.DetrForObjectDetection(config))


@model("clip")
def clip() -> Made:
    text = {
        **SHAPE,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 16,
        "eos_token_id": VOCABULARY - 1,
        "bos_token_id": 1,
        "pad_token_id": 0,
    }
    vision = {**SHAPE, "image_size": 16, "patch_size": 4}
    config = T.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    inputs = ("input_ids", "pixel_values")
    network = picked(T.CLIPModel(config), inputs, "logits_per_image")
    ids = tokens(vocabulary=VOCABULARY - 1)
    ids[:, -1] = VOCABULARY - 1  # the end of the text, where the features are read
    return network, (ids, torch.randn(2, 3, 16, 16))
