"""Rule, task, seed → a training curve and its score, in this process or in many."""
