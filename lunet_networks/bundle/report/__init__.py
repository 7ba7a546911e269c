"""The report of an evaluation: one HTML page with figures, pictures, curves and settings."""

from lunet_networks.bundle.report.visual_report import VisualReport

__all__ = ["VisualReport"]
