"""Functions that a rule's code calls: operators that Python, torch, Triton or C lack."""
