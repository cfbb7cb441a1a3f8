"""The hub: watches Git, works out what every cluster should run, publishes it, and shows how the fleet is doing."""
