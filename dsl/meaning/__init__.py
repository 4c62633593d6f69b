"""What a rule computes: the table of operators, the interpreter, whole trajectories."""
