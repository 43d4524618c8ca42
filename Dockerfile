# Page and service on the CPU, without TensorFlow: `docker compose up --build`, or podman's. It runs as a user without
# rights, needs no network when it runs, and writes to /tmp and /data alone, so its root can be read-only.
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY apps apps
COPY audio audio
COPY model model
COPY synth synth
RUN pip install --no-cache-dir --disable-pip-version-check -c requirements.lock ".[api,web]" \
    && mkdir /data && chown 10001:10001 /data
WORKDIR /data
USER 10001:10001
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 \
    HYBRID_AUDIO_API_HOST=0.0.0.0 HYBRID_AUDIO_API_FOLDER=/data/api
VOLUME /data
EXPOSE 8000 8501
CMD ["python", "-m", "apps.api"]
