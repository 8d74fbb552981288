#!/bin/sh
# Makes .bench-env: OpenVINO GenAI, and optimum-intel to export models for it. Exact versions, away from the server's.
set -eu
cd "$(dirname "$0")/.."
folder=.bench-env constraints=requirements/bench.txt
torch=$(grep '^torch==' "$constraints")
# torch comes first and with what it needs, so that nothing later asks for another build of it; the rest comes without
# dependencies, because optimum-intel asks for torchvision, which no text model needs and which would replace torch
if [ ! -e "$folder/.$torch" ]; then
    [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" "$torch"
    touch "$folder/.$torch"
fi
sh scripts/venv.sh "$folder" "$constraints" --no-deps
