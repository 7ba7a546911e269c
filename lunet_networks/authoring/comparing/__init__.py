"""Commands that compare: label maps with their truth, whoever made them (``lunet score``), and trained models with each
other (``lunet choose``)."""
