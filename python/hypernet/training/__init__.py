"""Training: data, compiled losses and metrics, the loop."""
