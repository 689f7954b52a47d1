# shellcheck shell=bash
# Sourced by the run scripts of the outside judges (autobahn/run, foreign/run) and by .ci/run: what more than one
# of them needs to set itself up. Nothing in here knows what is being tested.

# fail MESSAGE...: ends the script with a reason.
fail() {
    echo "$0: $*" >&2
    exit 1
}

# apt_install PACKAGE...: installs Debian packages, or says which ones are wanted.
apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then fail "please install: $*"; fi
    DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null \
        || fail "apt-get update failed; wanted to install: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null \
        || fail "apt-get could not install: $*"
}

# find_python LOW HIGH: prints the first python3 whose minor version is within [LOW, HIGH].
find_python() {
    local candidate
    for candidate in python3 /usr/bin/python3 $(seq -f 'python3.%g' "$2" -1 "$1"); do
        if "$candidate" -c "import sys; sys.exit(not (3, $1) <= sys.version_info[:2] <= (3, $2))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs a Python from 3.$1 to 3.$2, and there is none on the PATH"
}

# make_venv DIR LOW HIGH: makes a virtual environment in DIR, unless a usable one is there.
make_venv() {
    local python
    "$1/bin/python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python "$2" "$3")
    # Debian ships the venv module without ensurepip, which comes with python3-venv.
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    "$python" -m venv --clear "$1" || fail "$python could not make a virtual environment in $1"
}

# pip_install VENV ARGUMENT...: installs into that environment and only speaks of trouble.
pip_install() {
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
}
