#!/bin/sh
# Make (or bring up to date) the Python environment of the peers: interop/.venv.
# Safe to run again and by several tests at once; prints the interpreter's path.
set -eu
cd "$(dirname "$0")"
exec 9>.venv.lock
flock 9
python=.venv/bin/python
stamp=.venv/requirements.installed
if ! cmp -s requirements.txt "$stamp" || ! "$python" -c 'import aioquic' 2>/dev/null; then
    "${PYTHON:-python3}" -m venv .venv
    "$python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt >&2
    cp requirements.txt "$stamp"
fi
echo "$PWD/$python"
