"""Python code that makes examples: run in a thread or in worker processes, ahead of the training step, and never waited for in vain."""
