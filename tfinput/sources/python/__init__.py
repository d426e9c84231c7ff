"""Sources over Python code: sequences and generators."""
