# Two images from one file: `serving` answers requests, `worker` runs the flows.
#
#   make image              both, with buildah
#   docker build --target serving .
#
# EXTRAS, such as "sentences dask", adds what the vectors of texts, or the engine, need to both.
# Both run as a user without rights on a read-only root. They write below /tmp and DATA_DIR only.
ARG BASE=docker.io/library/python:3.11-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements-uv.txt /tmp/
RUN python -m venv --without-pip /venv \
 && pip install --quiet --target /uv --require-hashes --only-binary :all: --requirement /tmp/requirements-uv.txt
ENV INSTALL="/uv/bin/uv pip install --quiet --python /venv/bin/python --system-certs --no-cache --require-hashes --only-binary :all:"
# Tests, headers, and Arrow's own network protocol are a fifth of the libraries: they stay here.
ENV PRUNE="find /venv -depth ( -name tests -type d -o -path */pyarrow/include -o -path */pyarrow/*flight* ) -exec rm -rf {} +"

FROM build AS build-serving
ARG EXTRAS=""
COPY requirements-serving.txt requirements-dask.txt requirements-embeddings.txt requirements-sentences.txt /tmp/
RUN set -f; for each in serving ${EXTRAS}; do set -- "$@" --requirement "/tmp/requirements-$each.txt"; done \
 && ${INSTALL} "$@" && ${PRUNE}

FROM build AS build-worker
ARG EXTRAS=""
COPY requirements-worker.txt requirements-dask.txt requirements-embeddings.txt requirements-sentences.txt /tmp/
# `promise`, which DagsHub's client needs, is published as source only.
RUN set -f; for each in worker ${EXTRAS}; do set -- "$@" --requirement "/tmp/requirements-$each.txt"; done \
 && ${INSTALL} --compile-bytecode --no-binary promise "$@" && ${PRUNE}

# hadolint ignore=DL3006
FROM ${BASE} AS common
ARG BASE
LABEL org.opencontainers.image.title="Perennial" \
      org.opencontainers.image.description="Keeps classifiers fresh in production" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
# A tmpfs over /data belongs to root and keeps this mode: without it, Compose gives a folder that
# nobody here may write.
RUN groupadd --gid 10001 perennial \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin perennial \
 && install --directory --owner 10001 --group 10001 --mode 1777 /data
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    DATA_DIR=/data
WORKDIR /app
VOLUME /data

FROM common AS serving
COPY --from=build-serving /venv /venv
COPY perennial perennial
COPY serving serving
COPY problems problems
# The root is read-only later: what a start imports is compiled now. All of the libraries, most of
# which are never imported, would be 80 MB more.
RUN PYTHONDONTWRITEBYTECODE='' DATA_DIR=/tmp/data python -c "import perennial.registry.client, perennial.registry.artifact, perennial.stores.mongodb, pymongo, bentoml_cli.serve, \
      _bentoml_impl.server.serving, _bentoml_impl.worker.service, serving.service, serving.api.app, uvicorn.protocols.http.auto, \
      perennial.text.normalizer, perennial.text.ngrams, perennial.inference.predictor, perennial.inference.compiled_linear, perennial.estimators, \
      mlflow.tracking, mlflow.artifacts, mlflow.data.delta_dataset_source, \
      mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store; perennial.estimators.preload()" \
 && rm -rf /tmp/*
# Late: it changes with every commit, and what stands above need not be built again.
ARG REVISION=unknown
ARG VERSION=unknown
ENV GIT_COMMIT=${REVISION}
LABEL org.opencontainers.image.revision="${REVISION}" org.opencontainers.image.version="${VERSION}"
RUN python -m compileall -q .
# One worker fits into 512 MiB; Kubernetes adds pods, Compose and others may set more. Others reach this
# address: it needs SERVING_API_KEY_HASHES, or SERVING_OPEN=true, to start.
ENV SERVING_HOST=0.0.0.0 SERVING_WORKERS=1
USER 10001:10001
EXPOSE 3000
# Kubernetes has its own probes; this one is for Docker and Compose.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"]
CMD ["python", "-m", "serving"]

FROM common AS worker
COPY --from=build-worker /venv /venv
COPY perennial perennial
COPY tasks tasks
COPY flows flows
COPY deployments deployments
# The console has the look of the service's page.
COPY serving/page/page.css serving/page/page.css
COPY prefect.yaml ./
COPY k8s/base/worker/job-template.json k8s/base/worker/
COPY problems problems
ARG REVISION=unknown
ARG VERSION=unknown
ENV GIT_COMMIT=${REVISION}
LABEL org.opencontainers.image.revision="${REVISION}" org.opencontainers.image.version="${VERSION}"
RUN python -m compileall -q .
# Servers of MLflow and Prefect run from this image, too: they tell nobody about it, start no processes
# for jobs of MLflow, which nobody here asks for and which take 2 GB, and unpack pages where they may.
ENV DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=3s --start-period=60s --retries=4 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
CMD ["prefect", "worker", "start", "--pool", "perennial", "--with-healthcheck"]
