"""Pages of the bundle lunet_small and its kin, labelled by Python as well."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser
from scipy import ndimage
from torch import nn

from lunet_networks.authoring.web_page.content import bundle_content
from lunet_networks.authoring.web_page.page import page_html
from lunet_networks.authoring.web_page.trial import different_voxels, label_by_bundle, voxels_of
from lunet_networks.bundle.training.weights import load_weights

ROOT = Path(__file__).parents[2] / "bundles" / "lunet_small"


class Page:
    """A page in a folder of its own.

    Args:
        folder: that it is written to.
        changes: values of ids in inference.json.
        network: instead of the bundle's trained one.
        root: the bundle's folder.
    """

    def __init__(
        self, folder: Path, changes: Mapping[str, object] = {}, network: nn.Module | None = None, root: Path = ROOT
    ) -> None:
        self.folder, self.changes, self.root = folder, dict(changes), root
        self.network = self._trained() if network is None else network.eval()
        metadata = json.loads((root / "configs" / "metadata.json").read_text())
        self.content = bundle_content(root, self.parser(), metadata, self.network)
        self.path = folder / "page.html"
        self.path.write_text(page_html(self.content), encoding="utf-8")

    def parser(self) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(str(self.root / "configs" / "inference.json"))
        for name, value in self.changes.items():
            parser[name] = value
        return parser

    def differing(self, label, cases: Sequence[Sequence[Path]]) -> tuple[int, int]:
        """Voxels that differ between the page and Python, and voxels that have a label."""
        by_python, by_page = (self.folder / name for name in ("by_python", "by_page"))
        for path in (by_python, by_page):
            path.mkdir()
        theirs = label_by_bundle(self.parser(), self.root, self.network, cases, by_python)
        ours = {path.name: path for path in label(self.path, cases, by_page)}
        assert ours.keys() == {path.name for path in theirs}
        different = sum(different_voxels(path, ours[path.name])[0] for path in theirs)
        return different, sum(int((voxels_of(path) > 0).sum()) for path in theirs)

    def _trained(self) -> nn.Module:
        network = self.parser().get_parsed_content("network_def")
        load_weights(network, self.root / "models" / "model.pt")
        return network.eval()


def volume(seed: int, size: Sequence[int] = (26, 31, 22)) -> np.ndarray:
    """Smooth noise from 0 to 1000."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(size), 2.0)
    return (1000 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def saved(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def random_network(network: nn.Module, seed: int = 0) -> nn.Module:
    """No weight and no statistic is a special one."""
    torch.manual_seed(seed)
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()
