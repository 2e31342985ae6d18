"""One job a file: its loss, its search and its metrics."""
