"""The genetic loop: who breeds, who lives on, who is trained for how long."""
