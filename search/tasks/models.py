"""The networks that rules are judged on, as functions from (size of the input, of the output) to a fresh module."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Conv3x3, Dropout, FlattenInPlace, NormRelu, PoolReluDropout


def digits_cnn(channels: int, classes: int) -> nn.Module:
    """A small network for 8x8 images: 23 thousand parameters."""
    return nn.Sequential(
        Conv3x3(channels, 16), PoolReluDropout(),
        Conv3x3(16, 32), PoolReluDropout(),
        FlattenInPlace(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def any_size_cnn(channels: int, classes: int) -> nn.Module:
    """A network for images of any size of at least 4x4: 85 thousand parameters for one channel and ten classes."""
    return nn.Sequential(
        Conv3x3(channels, 32), PoolReluDropout(),
        Conv3x3(32, 64), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        FlattenInPlace(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


def paper_cnn28(channels: int, classes: int) -> nn.Module:
    """The network for 28x28 images of arXiv:2512.11853."""
    return nn.Sequential(
        Conv3x3(channels, 32), PoolReluDropout(),
        Conv3x3(32, 64), PoolReluDropout(),
        FlattenInPlace(), nn.Linear(3136, 256), nn.ReLU(), Dropout(0.3), nn.Linear(256, classes),
    )  # fmt: skip


def paper_cnn32(channels: int, classes: int) -> nn.Module:
    """The network for 32x32 images of arXiv:2512.11853."""
    return nn.Sequential(
        *_paper_block(channels, 32), *_paper_block(32, 64),
        FlattenInPlace(), nn.Linear(4096, 512), nn.ReLU(), Dropout(0.5), nn.Linear(512, classes),
    )  # fmt: skip


def _paper_block(channels: int, width: int) -> list[nn.Module]:
    return [
        Conv3x3(channels, width), NormRelu(width),
        Conv3x3(width, width), PoolReluDropout(0.25),
    ]  # fmt: skip


def resnet18(channels: int, classes: int) -> nn.Module:
    """ResNet-18 (He et al., arXiv:1512.03385) with a stem for small images: 11.2 million parameters."""
    from torchvision.models import resnet18 as built

    model: nn.Module = built(num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def small_vit(channels: int, classes: int) -> nn.Module:
    """A vision transformer (Dosovitskiy et al., arXiv:2010.11929) on 4x4 patches of 32x32: 0.55 million parameters."""
    from torchvision.models import VisionTransformer

    model: nn.Module = VisionTransformer(
        image_size=32, patch_size=4, num_layers=4, num_heads=4, hidden_dim=128, mlp_dim=256, num_classes=classes
    )
    if channels != 3:
        model.conv_proj = nn.Conv2d(channels, 128, 4, 4)
    model.heads = nn.Linear(128, classes)  # torchvision's is 0 at first, under which nothing below it would learn
    return model


def mlp(columns: int, outputs: int) -> nn.Module:
    """Two hidden layers of 64."""
    return nn.Sequential(
        nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)
    )  # fmt: skip


class CharacterTransformer(nn.Module):
    """A decoder-only transformer, normalised before each block (Radford et al., 2019), without dropout."""

    def __init__(self, kinds: int, context: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(kinds, width), nn.Embedding(context, width)
        nn.init.normal_(self.characters.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, kinds)
        self.register_buffer("later", nn.Transformer.generate_square_subsequent_mask(context), persistent=False)

    def forward(self, characters: Tensor) -> Tensor:
        """(B, context) characters to (B, context, kinds) logits of the one after each."""
        x = self.characters(characters) + self.places.weight
        for layer in self.layers:
            x = layer(x, src_mask=self.later, is_causal=True)
        logits: Tensor = self.head(self.norm(x))
        return logits
