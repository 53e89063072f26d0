# One image for every process; compose.yaml says which one a container is.

FROM node:22-slim AS pages
WORKDIR /pages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --system --uid 10001 --no-create-home tallybridge
WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-deps --require-hashes -r requirements.lock
COPY wsgi.py gunicorn.conf.py ./
COPY plugin plugin
COPY migrations migrations
COPY templates templates
COPY static static
COPY docs/users.md docs/users.md
COPY --from=pages /pages/node_modules/htmx.org/dist/htmx.min.js static/vendor/htmx.min.js
COPY --from=pages /pages/node_modules/@bitrix24/b24jssdk/dist/umd/index.min.js static/vendor/b24jssdk.js
COPY translations translations
RUN python -m babel.messages.frontend -q compile -d translations && python -m compileall -q plugin wsgi.py
USER tallybridge
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# /dev/shm: gunicorn's heartbeat must not wait for a disk.
CMD ["gunicorn", "wsgi:app", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8", \
     "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--access-logfile", "-"]
