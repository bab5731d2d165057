"""From a trained model to one that runs outside of Python, or as stock."""
