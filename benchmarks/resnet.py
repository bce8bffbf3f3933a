"""ResNet-50 as in the original paper: bottleneck blocks (3, 4, 6, 3), 25.6 M parameters."""

from torch import Tensor, nn


def _conv(n_in: int, n_out: int, size: int = 1, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions around a shortcut."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = 4 * width
        self.reduce = _conv(n_in, width)
        self.conv = _conv(width, width, 3, stride)
        self.expand = _conv(width, n_out)
        same = n_in == n_out and stride == 1
        self.shortcut = nn.Identity() if same else _conv(n_in, n_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.reduce(x).relu()).relu()
        return (self.expand(y) + self.shortcut(x)).relu()


class ResNet50(nn.Module):
    """Images `[batch, 3, 224, 224]` to 1,000 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks: list[nn.Module] = []
        n_in = 64
        for stage, (width, depth) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
            for k in range(depth):
                blocks.append(Bottleneck(n_in, width, 2 if stage and k == 0 else 1))
                n_in = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(n_in, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.pool(self.stem(x).relu()))
        return self.head(y.mean((2, 3)))
