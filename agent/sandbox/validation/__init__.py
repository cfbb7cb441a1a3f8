"""What the API server refuses: names, pods, workloads and the other built-in kinds; the table is in `rules`."""
