"""What a change of Git would do to the fleet: two states of it compared, cluster by cluster. Pure."""
