"""From a network to the steps of a plan: PyTorch exports its graph, and every operator becomes calls of the engine. A
module for each kind of operator lists those that it translates."""

from lunet_networks.authoring.web_page.graph.program import network_program

__all__ = ["network_program"]
