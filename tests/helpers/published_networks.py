"""The networks of the published goldens, whose files and keys go by these names."""

from torch import nn

from lunet_networks import PSPSeg, create_network

EIGHTS = {"channels": (8, 16, 32, 64, 128)}
PRESETS = {  # by golden; the other goldens are called as their preset
    "lvunet_train_act0": ("lv_unet", {}),
    "stamp_4f": ("unet_small_4f", {"out_channels": 2}),
    "u_kan_narrow": ("u_kan", {"channels": (4, 8, 32, 40, 48)}),
    "unet_2d_narrow": ("unet_2d_32f", EIGHTS),
    "attention_unet_2d_narrow": ("attention_unet_2d_32f", EIGHTS),
    "unetpp_2d_narrow": ("unetpp_2d_32f", EIGHTS),
}
PSPSEG = {
    "pspseg_s_narrow": {"channels": (4, 8, 16, 32, 64), "expansion": 0.5, "num_branches": 4},
    "pspseg_b_narrow_srm": {"channels": (4, 6, 8, 12, 16), "expansion": 2, "num_branches": 7, "parallel": False},
}


def new_network(golden: str, **settings: object) -> nn.Module:
    """The network of a golden, in eval mode."""
    if golden in PSPSEG:
        return PSPSeg(out_channels=2, **PSPSEG[golden], **settings).eval()
    preset, keywords = PRESETS.get(golden, (golden, {}))
    return create_network(preset, **keywords, **settings).eval()
