"""A trained network in another form: for another engine, in 8 bits, deployed, or converted from published weights."""
