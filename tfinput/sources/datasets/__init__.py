"""Sources over `tf.data` datasets of the user's own."""
