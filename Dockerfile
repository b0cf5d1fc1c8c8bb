# The one environment as an image, for a CPU or, with CUDA's libraries, for an NVIDIA GPU:
#
#     docker build -t comvae .
#     docker build -t comvae:cuda --build-arg DEVICE=cuda .
#
# docs/container.md says how it is run.
FROM python:3.11-slim

ARG DEVICE=cpu

RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc git libc6-dev libgomp1 make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /comvae

# The libraries first: they change less often than the code. On PyPI torch comes with
# CUDA; that without is an index of its own.
COPY requirements.lock ./
RUN if [ "$DEVICE" = cpu ]; then index="--index-url https://download.pytorch.org/whl/cpu"; fi; \
    pip install --no-cache-dir --constraint requirements.lock $index torch torchvision

COPY . ./
RUN pip install --no-cache-dir --constraint requirements.lock \
    --editable '.[workflow,tracking,dashboard,data]'

ENV MLFLOW_DISABLE_TELEMETRY=true PYTHONUTF8=1
CMD ["comvae", "--help"]
