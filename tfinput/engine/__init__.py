"""The engine: source, order and options become `tf.data` datasets. Nothing here knows where examples come from."""
