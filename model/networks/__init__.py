"""Networks in Keras: ours, and later the field's others beside it, all with the same input and the same two heads."""
