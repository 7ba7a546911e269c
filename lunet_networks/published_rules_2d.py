"""The published keys of the lightweight 2D networks."""

from __future__ import annotations

from collections.abc import Callable

__all__ = [
    "ATTENTION_UNET_RULES",
    "EGE_UNET_RULES",
    "MALUNET_RULES",
    "NESTED_UNET_RULES",
    "UNEXT_RULES",
    "U_KAN_RULES",
    "Rules",
]

Rules = dict[str, Callable[..., str]]

_UNEXT_LAYERS = {  # of a shifted block
    "norm": "norm2",
    "linear_height": "mlp.fc1",
    "depthwise": "mlp.dwconv.dwconv",
    "linear_width": "mlp.fc2",
}


def _side(coder: str) -> str:
    return "d" if coder == "decoder" else ""


_EMBEDDING_RULES: Rules = {  # of UNeXt and U-KAN
    r"embeddings\.(\d)\.conv\.(\w+)": lambda _, i, entry: f"patch_embed{i + 3}.proj.{entry}",
    r"embeddings\.(\d)\.norm\.(\w+)": lambda _, i, entry: f"patch_embed{i + 3}.norm.{entry}",
}
UNEXT_RULES: Rules = {
    r"(encoder|decoder)s\.(\d)\.conv\.0\.(\w+)": lambda _, coder, i, entry: f"{coder}{i + 1}.{entry}",
    r"(encoder|decoder)s\.(\d)\.conv\.1\.(\w+)": lambda _, coder, i, entry: f"{coder[0]}bn{i + 1}.{entry}",
    **_EMBEDDING_RULES,
    r"token_(encoder|decoder)s\.(\d)\.block\.(\w+)\.(\w+)": lambda _, coder, i, layer, entry: (
        f"{_side(coder)}block{i + 1}.0.{_UNEXT_LAYERS[layer]}.{entry}"
    ),
    r"token_(encoder|decoder)s\.(\d)\.norm\.(\w+)": lambda _, coder, i, entry: f"{_side(coder)}norm{i + 3}.{entry}",
    r"head\.(\w+)": lambda _, entry: f"final.{entry}",
}
_PLACES = {"conv": 0, "adn.N": 1}  # of the layers of a unit in a published pair of units, the second three further on
_UNIT = r"(conv|adn\.N)\.(\w+)"
_SPLINES = {"spline_scale": "spline_scaler"}  # other entries keep their names


def _token_layer(coder: str, i: int) -> str:
    return f"{_side(coder)}block{i + 1}.0.layer"


U_KAN_RULES: Rules = {
    rf"(encoder|decoder)s\.(\d)\.(\d)\.{_UNIT}": lambda _, coder, i, k, layer, entry: (
        f"{coder}{i + 1}.conv.{_PLACES[layer] + 3 * k}.{entry}"
    ),
    **_EMBEDDING_RULES,
    r"token_(encoder|decoder)s\.(\d)\.norm\.(\w+)": lambda _, coder, i, entry: (
        f"{_side(coder)}block{i + 1}.0.norm2.{entry}"
    ),
    r"token_(encoder|decoder)s\.(\d)\.layers\.(\d)\.(\w+)": lambda _, coder, i, k, entry: (
        f"{_token_layer(coder, i)}.fc{k + 1}.{_SPLINES.get(entry, entry)}"
    ),
    rf"token_(encoder|decoder)s\.(\d)\.units\.(\d)\.{_UNIT}": lambda _, coder, i, k, layer, entry: (
        f"{_token_layer(coder, i)}.dwconv_{k + 1}.{'dwconv' if layer == 'conv' else 'bn'}.{entry}"
    ),
    r"token_(encoder|decoder)s\.(\d)\.last_norm\.(\w+)": lambda _, coder, i, entry: (
        f"{_side(coder)}norm{i + 3}.{entry}"
    ),
    r"head\.(\w+)": lambda _, entry: f"final.{entry}",
}

_PROJECTIONS = {"of_map": "W_g", "of_skip": "W_x", "weight": "psi"}  # of a gate
ATTENTION_UNET_RULES: Rules = {  # levels count from 1 at full resolution, on the way up from 2
    rf"encoders\.(\d)\.(\d)\.{_UNIT}": lambda _, i, k, layer, entry: (
        f"Conv{i + 1}.conv.{_PLACES[layer] + 3 * k}.{entry}"
    ),
    rf"narrowings\.(\d)\.0\.{_UNIT}": lambda last, k, layer, entry: f"Up{last - k + 2}.up.{_PLACES[layer] + 1}.{entry}",
    rf"gates\.(\d)\.(\w+)\.{_UNIT}": lambda last, k, part, layer, entry: (
        f"Att{last - k + 2}.{_PROJECTIONS[part]}.{_PLACES[layer]}.{entry}"
    ),
    rf"decoders\.(\d)\.(\d)\.{_UNIT}": lambda last, k, j, layer, entry: (
        f"Up_conv{last - k + 2}.conv.{_PLACES[layer] + 3 * j}.{entry}"
    ),
    r"head\.(\w+)": lambda _, entry: f"Conv_1x1.{entry}",
}
_NESTED = {"conv": "conv", "adn.N": "bn"}
NESTED_UNET_RULES: Rules = {  # of a UNet++ with bilinear upsampling; our segmenter is the second unit of its last node
    rf"encoders\.(\d)\.(\d)\.{_UNIT}": lambda _, i, k, layer, entry: f"conv{i}_0.{_NESTED[layer]}{k + 1}.{entry}",
    rf"nodes\.(\d)\.(\d)\.(\d)\.{_UNIT}": lambda _, column, i, k, layer, entry: (
        f"conv{i}_{column + 1}.{_NESTED[layer]}{k + 1}.{entry}"
    ),
    rf"segmenter\.{_UNIT}": lambda last, layer, entry: f"conv0_{last + 1}.{_NESTED[layer]}2.{entry}",
    r"head\.(\w+)": lambda _, entry: f"final.{entry}",
}

_BLOCK = r"(encoder|decoder)s\.(\d)\.block"  # of a level
_LEVEL_RULES: Rules = {  # of MALUNet and EGE-UNet
    rf"{_BLOCK}\.(weight|bias)": lambda _, coder, i, entry: f"{coder}{i + 1}.0.{entry}",
    r"(encoder|decoder)s\.(\d)\.norm\.(\w+)": lambda _, coder, i, entry: f"{coder[0]}bn{i + 1}.{entry}",
    r"head\.(\w+)": lambda _, entry: f"final.{entry}",
}
_MALUNET_LAYERS = {
    **{"query": "conv1", "keys": "linear_0", "values": "linear_1", "project": "conv2"},  # external attention
    **{f"dilated.{k}": f"mda{k}" for k in range(4)},  # dilated gate
    **{"conv": "conv", "shortcut": "gau.cw", "norm": "norm_layer"},
    **{
        f"{ours}.{k}": f"gau.{theirs}.0.{layer}"
        for ours, theirs in (("gate", "w1"), ("value", "w2"), ("output", "wo"))
        for k, layer in enumerate(("conv1", "norm_layer", "conv2"))
    },
}
MALUNET_RULES: Rules = {
    **_LEVEL_RULES,
    rf"{_BLOCK}\.(\d)\.(.+)\.(\w+)": lambda _, coder, i, j, layer, entry: (
        f"{coder}{i + 1}.{j}.{_MALUNET_LAYERS[layer]}.{entry}"
    ),
    r"bottleneck\.(\d)\.(.+)\.(\w+)": lambda _, j, layer, entry: f"encoder6.{j}.{_MALUNET_LAYERS[layer]}.{entry}",
    r"spatial_gate\.conv\.(\w+)": lambda _, entry: f"scab.satt.shared_conv2d.0.{entry}",
    r"mixing\.(\w+)": lambda _, entry: f"scab.catt.get_all_att.{entry}",
    r"channel_gates\.(\d)\.(\w+)": lambda _, k, entry: f"scab.catt.att{k + 1}.{entry}",
}
_EGE_UNET_PARTS = {  # of a product attention
    **{"positions": "params_xy", "rows": "params_zx", "columns": "params_zy"},
    **{"of_positions": "conv_xy", "of_rows": "conv_zx", "of_columns": "conv_zy", "local": "dw"},
    **{"norm": "norm1", "joined_norm": "norm2", "output": "ldw"},
}
EGE_UNET_RULES: Rules = {
    **_LEVEL_RULES,
    rf"{_BLOCK}\.([a-z_]+)(.*)": lambda _, coder, i, part, rest: f"{coder}{i + 1}.0.{_EGE_UNET_PARTS[part]}{rest}",
    r"bottleneck\.0\.([a-z_]+)(.*)": lambda _, part, rest: f"encoder6.0.{_EGE_UNET_PARTS[part]}{rest}",
    r"mask_heads\.(\d)\.(\w+)": lambda _, k, entry: f"gt_conv{k + 1}.0.{entry}",
    r"gates\.(\d)\.project\.(\w+)": lambda last, k, entry: f"GAB{last - k + 1}.pre_project.{entry}",
    r"gates\.(\d)\.groups\.(\d)\.(.+)": lambda last, k, g, rest: f"GAB{last - k + 1}.g{g}.{rest}",
    r"gates\.(\d)\.output\.(.+)": lambda last, k, rest: f"GAB{last - k + 1}.tail_conv.{rest}",
}
