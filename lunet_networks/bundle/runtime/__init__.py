"""What every run needs: settings and their checks, files and names of outputs, errors, processes, versions, memory."""

from lunet_networks.bundle.runtime.command_line import check_command_line
from lunet_networks.bundle.runtime.distributed import (
    AverageBuffers,
    distribute,
    end_processes,
    local_device,
    start_processes,
)
from lunet_networks.bundle.runtime.errors import show_root_cause
from lunet_networks.bundle.runtime.fit import check_fit
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.bundle.runtime.memory_format import channels_last, prepare_batch
from lunet_networks.bundle.runtime.outputs import weights_folder
from lunet_networks.bundle.runtime.settings import check_settings
from lunet_networks.bundle.runtime.versions import require_version
from lunet_networks.kernels.choice import use_kernels

__all__ = [
    "AverageBuffers",
    "channels_last",
    "check_command_line",
    "check_fit",
    "check_settings",
    "distribute",
    "end_processes",
    "keep_freed_memory",
    "local_device",
    "prepare_batch",
    "require_version",
    "show_root_cause",
    "start_processes",
    "use_kernels",
    "weights_folder",
]
