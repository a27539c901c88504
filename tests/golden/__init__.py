"""Values produced by Keras, the cases that produce them, and their comparison with hypernet."""
