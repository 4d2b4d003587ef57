# CPU:  docker build -t placememory .
# CUDA: docker build -t placememory --build-arg COMPUTE=cu128 .
FROM python:3.12-slim
ARG COMPUTE=cpu
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 robot \
 && mkdir /app /data && chown robot /app /data
USER robot
WORKDIR /app
COPY --chown=robot pyproject.toml README.md LICENSE Makefile ./
COPY --chown=robot src src
RUN make install EXTRAS=all TORCH_INDEX=https://download.pytorch.org/whl/${COMPUTE}
ENV PATH=/app/.venv/bin:$PATH
WORKDIR /data
ENTRYPOINT ["placememory"]
CMD ["--help"]
