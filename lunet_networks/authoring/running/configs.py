"""Which configs of a bundle a run takes, and which run a command of ``lunet`` stands for. It imports nothing else, so
that tab completion is quick."""

CONFIGS = {  # by run; each is merged over those before it
    "training": ("train",),
    "evaluation": ("train", "evaluate"),
    "visualize": ("train", "evaluate", "visualize"),
    "inference": ("inference",),
    "ensemble": ("inference", "ensemble"),
}
FRONTS = {"train": "training", "evaluate": "evaluation", "report": "visualize", "label": "ensemble"}
