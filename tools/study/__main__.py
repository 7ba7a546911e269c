"""``python -m tools.study``."""

from lunet_networks.authoring.command_line import run_commands
from tools.study.command import study

if __name__ == "__main__":
    run_commands(study, name="python -m tools.study")
