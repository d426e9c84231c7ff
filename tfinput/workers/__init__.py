"""Workers: Python code that makes examples ahead of the training step, in a thread or in processes. No TensorFlow here."""
