"""Gateway is the public edge: it authenticates, admits jobs, shows what became of them, and passes on the rest."""
