"""Where the time and the memory of ``run inference`` go, step by step."""

import functools
import tempfile
import time
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.literals import literal

KIB_PER_GIB = 2**20


class Step:
    """CPU time of the calls of one class, and the process's peak memory after the last of them."""

    def __init__(self) -> None:
        self.calls, self.seconds, self.peak = 0, 0.0, 0.0

    def watch(self, kind: type) -> None:
        """Count from now on all calls of instances."""
        call = kind.__call__

        @functools.wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.calls += 1
                self.seconds += time.thread_time() - start
                self.peak = peak_memory()

        kind.__call__ = watched


def profile_inference(bundle: str, dataset_dir: str, **settings: Any) -> None:
    """Label images on the CPU and print a table of what each step took.

    Seconds are those of the thread that a step runs in: with ``OMP_NUM_THREADS=1`` they are all that it computes, and
    other work on the machine changes them little. Label maps are thrown away.

    Args:
        bundle: its folder.
        dataset_dir: the images, as for ``run inference``.
        settings: other settings of inference.json.
    """
    root = Path(bundle)
    with tempfile.TemporaryDirectory() as labels:
        workflow = ConfigWorkflow(
            config_file=str(root / "configs" / "inference.json"),
            meta_file=str(root / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="inference",
            **literal(
                {"bundle_root": root, "device": "cpu", "output_dir": labels, **settings, "dataset_dir": dataset_dir}
            ),
        )
        workflow.initialize()
        steps = _watch(workflow)
        before = time.process_time()
        workflow.run()
    rows = [f"| {name} | {step.calls} | {step.seconds:.2f} | {step.peak:.2f} |" for name, step in steps.items()]
    run = f"| run, all threads | 1 | {time.process_time() - before:.2f} | {peak_memory():.2f} |"
    head = "| step | calls | CPU seconds | peak memory by then (GiB) |\n|---|---:|---:|---:|"
    print("\n".join([head, f"| imports and config | 1 | {before:.2f} | |", *rows, run]))


def peak_memory() -> float:
    """Most memory that the process has had so far, in GiB, as only Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / KIB_PER_GIB


def _watch(workflow: ConfigWorkflow) -> dict[str, Step]:
    content = workflow.parser.get_parsed_content
    parts = [
        *content("preprocessing").transforms,
        content("inferer"),
        content("network"),
        *content("postprocessing").transforms,
    ]
    steps: dict[str, Step] = {}
    for kind in dict.fromkeys(map(type, parts)):
        steps[kind.__name__] = Step()
        steps[kind.__name__].watch(kind)
    return steps


if __name__ == "__main__":
    run_commands(profile_inference)
