"""Rule to plan to source to `torch.optim.Optimizer`."""
