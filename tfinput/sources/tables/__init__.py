"""Sources over tables: CSV and Parquet, in memory or streamed."""
