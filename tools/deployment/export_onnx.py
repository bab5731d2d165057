"""Export the model of a config and a checkpoint to ONNX."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('export_onnx')
