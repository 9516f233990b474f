"""From a method to a trained network: the loop, its state between epochs, weight averaging, counted passes."""
