"""Where finished checks go: JSON documents, Parquet history, metrics. See only scanner.model."""
