"""Three whole hubs on one simulated clock, and a model of the broker between them."""
