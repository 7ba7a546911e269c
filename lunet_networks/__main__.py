"""``python -m lunet_networks`` is the command ``lunet``."""

from lunet_networks.commands import main

if __name__ == "__main__":
    main()
