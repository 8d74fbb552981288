#!/bin/sh
# usage: scripts/venv.sh FOLDER REQUIREMENTS [PIP OPTIONS...]
# Makes a virtual environment with exactly the locked requirements; does nothing when it has them already.
set -eu
folder=$1 requirements=$2
shift 2
stamp=$folder/.$(basename "$requirements").$(sha256sum "$requirements" | cut -c1-16)
[ -e "$stamp" ] && exit 0
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Penstock needs Python 3.11 or newer; '$python' is $("$python" --version). Set PYTHON=... to another." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    sh "$(dirname "$0")/debian.sh" python3-venv
fi
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" "$@"
rm -f "$folder"/."$(basename "$requirements")".*
touch "$stamp"
