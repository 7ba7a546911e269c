"""How well cases were labelled: metrics of a case, their tables, the ranking of cases, and pictures with contours."""

from lunet_networks.bundle.evaluation.contours import CasePictures
from lunet_networks.bundle.evaluation.tables import EvaluationReport, evaluated_section

__all__ = ["CasePictures", "EvaluationReport", "evaluated_section"]
