"""Small histories of calls from several threads, and whether some order explains them."""
