# docker build --target cpu -t mer:cpu .      (PyTorch as pip finds it; give --build-arg PIP_EXTRA_INDEX_URL=... for a smaller CPU build)
# docker build --target cuda -t mer:cuda .    (PyTorch from PyPI brings its CUDA libraries)
# docker run --rm -v "$PWD:/data" mer:cpu demo
# docker run --rm --gpus all -v "$PWD:/data" mer:cuda extract --corpus IEMOCAP_full_release
FROM python:3.11-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends libsndfile1 && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/src/mer
COPY . .
ENV HF_HOME=/data/.cache/huggingface

FROM base AS cpu
ARG PIP_EXTRA_INDEX_URL
RUN python -m pip install --no-cache-dir -c constraints.txt ".[align,demo,media]"
WORKDIR /data
ENTRYPOINT ["mer"]

FROM base AS cuda
RUN python -m pip install --no-cache-dir -c constraints.txt ".[align,demo,media]"
WORKDIR /data
ENTRYPOINT ["mer"]
