"""Generation: makes what customers asked for, and alone decides how a job ended."""
