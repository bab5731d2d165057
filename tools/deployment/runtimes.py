"""Time exported models in onnxruntime and OpenVINO, beside PyTorch."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('runtimes')
