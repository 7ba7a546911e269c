"""Making, checking and handing on bundles: what the command ``lunet`` offers."""
