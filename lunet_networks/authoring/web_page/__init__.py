"""A trained model as one web page: its plan for the engine, its settings, the page itself, and the trial of a page in
node or Chromium before it is handed on. The page's modules, style and engine lie in ``sources``."""

from pathlib import Path

SOURCES = Path(__file__).with_name("sources")
