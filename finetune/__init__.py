"""End-to-end fine-tuning of both encoders with cross-attention and two auxiliary tasks (Sun 2023)."""
