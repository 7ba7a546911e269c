"""A trained model as a web page: made, tried and written only if it labels as the bundle does."""

from pathlib import Path

from lunet_networks.authoring.checking.bundle import INFERENCE, Bundle
from lunet_networks.authoring.exporting.trained_network import TrainedNetwork
from lunet_networks.authoring.web_page.content import bundle_content
from lunet_networks.authoring.web_page.page import page_html
from lunet_networks.authoring.web_page.trial import MOST_DIFFERENT, try_page

FORMAT = "html"


def page_name(source: Bundle) -> str:
    """The name of a bundle's page."""
    return f"{source.root.name}.html"


def export_page(source: Bundle, trained: TrainedNetwork, preset: str | None, folder: Path) -> None:
    """Write the page of a bundle, label made-up images with it and with the bundle, and print how many voxels differ.

    Args:
        source: the bundle.
        trained: its network.
        preset: of the network, where it is not the bundle's own.
        folder: to write to.

    Raises:
        ValueError: if a page cannot compute what the bundle does, or labels otherwise than the bundle.
    """
    parser = source.parser(INFERENCE)
    if preset is not None:
        parser["preset"] = preset
    content = bundle_content(source.root, parser, source.metadata or {}, trained.network)
    path = folder / page_name(source)
    path.write_text(page_html(content), encoding="utf-8")
    trial = try_page(path, content, parser, source.root, trained.network)
    print(f"html: tried in {trial.where}: {trial.text}")
    if not trial.share <= MOST_DIFFERENT:
        raise ValueError(
            f"the page labels otherwise than the bundle ({trial.text}, tried in {trial.where}): nothing is written"
        )
