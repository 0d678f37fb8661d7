"""Single calls, the whole cycle, batches, and the structures on their own."""
