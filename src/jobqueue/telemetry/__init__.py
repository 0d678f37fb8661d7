"""What a service tells of itself: see prometheus.py and otel.py, each an extra of its own."""
