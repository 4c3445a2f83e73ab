"""What the crash proofs share: a crowd of customers, faults from a seed, and the verdict."""
