"""Export a trained model to ONNX, or fold it into a stock model."""
