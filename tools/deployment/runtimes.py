"""Time models in onnxruntime, OpenVINO and PyTorch."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('runtimes')
