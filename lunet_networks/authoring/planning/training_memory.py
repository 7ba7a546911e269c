"""The memory that the training of a bundle takes, before anything is trained."""

from collections.abc import Sequence

from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.memory import estimate_step_memory
from lunet_networks.nets.network import Network

# Resident memory, in bytes, of `python -m monai.bundle run training` on a CPU less what estimate_step_memory counts and
# the cached data: Python, PyTorch, MONAI, what they import, and the kernels that oneDNN compiles. The bundle
# lunet_small took 446 MiB before its first step and 500 MiB after two epochs with volumes of 32 x 32 x 32
# (Linux, x86-64 with AVX-512, torch 2.13.0+cpu, MONAI 1.6.1).
TRAINING_BASE_MEMORY = 512 * 2**20

# A training keeps the memory that it frees (lunet_networks.bundle.runtime.freed_memory), and its heap has gaps: in
# steps of 9 presets, 1.3 to 2 times the bytes in use were resident, fewer with larger tensors.
LARGE = 32 * 2**20
HEAP_FACTOR, HEAP_FACTOR_OF_LARGE = 1.9, 1.25


def estimate_training_memory(network: Network, input_shape: Sequence[int], loss_name: str) -> int:
    """Estimate the bytes that a training takes on a CPU, without the cached data.

    It does not rise with every voxel: tensors of 32 MiB and more leave smaller gaps in the heap, so a step with
    larger tensors can take less. A single 3D volume takes up to twice its share, see
    ``lunet_networks.nets.fast_layers``.

    Args:
        network: unchanged.
        input_shape: shape of a batch, ``(B, C, [D,] H, W)``.
        loss_name: one of ``lunet_networks.bundle.training.losses.LOSSES``.

    Raises:
        ValueError: if the network cannot take such an input.

    Example:
        >>> from lunet_networks import create_network
        >>> network = create_network("lunet_small_4f")
        >>> round(estimate_training_memory(network, (16, 1, 48, 64, 48), "dice_bce") / 2**20)  # MiB
        1226
    """
    loss = SegmentationLoss(loss_name, network.out_channels)
    return TRAINING_BASE_MEMORY + estimate_step_memory(network, input_shape, loss, _resident)


def _resident(size: int) -> int:
    return int(size * (HEAP_FACTOR_OF_LARGE if size >= LARGE else HEAP_FACTOR))
