"""Sources of serialized records: TFRecord, ArrayRecord, and what TensorFlow Datasets prepared."""
