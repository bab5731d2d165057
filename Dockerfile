# syntax=docker/dockerfile:1
# The default stack with its pins. On a CPU:
#   docker build -t mmfdconv .
# With mmcv's operators compiled for CUDA:
#   docker build -t mmfdconv --build-arg FORCE_CUDA=1 \
#     --build-arg BASE=nvidia/cuda:13.0.2-cudnn-devel-ubuntu24.04 .
# Linted with hadolint, and not built yet.
ARG BASE=debian:12-slim
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv
FROM ${BASE}

ARG FORCE_CUDA=0
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;9.0"
ENV FORCE_CUDA=${FORCE_CUDA} TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST}

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ git make \
    && rm -rf /var/lib/apt/lists/*
# Bases differ in their Python; uv's 3.11 has the headers that mmcv needs.
COPY --from=uv /uv /usr/local/bin/uv
RUN uv python install 3.11

WORKDIR /mmfdconv
COPY . .
# The cache keeps a compiled mmcv when only the code has changed.
RUN --mount=type=cache,target=/root/.cache/uv \
    make env PYTHON="$(uv python find 3.11)"

ENV PATH=/mmfdconv/.venv/bin:$PATH
ENTRYPOINT ["python", "-m", "mmfdconv_cli"]
CMD ["--help"]
