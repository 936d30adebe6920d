# shellcheck shell=sh
# Sourced by the scripts beside it: goes to the root of the repository and offers `prepare`.

cd "$(dirname "$(readlink -f "$0")")/.." || exit
# What another environment left in the shell would end up on the import path of ours.
unset CONDA_PREFIX PYTHONHOME PYTHONPATH VIRTUAL_ENV
# Where no bytecode is kept, every process compiles all of this repository again.
unset PYTHONDONTWRITEBYTECODE

find_python() {
    seen=
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if version=$("$candidate" -ISc 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null); then
            echo "$candidate"
            return
        fi
        seen="$seen${version:+ $candidate is $version.}"
    done
    echo "Python 3.11 or newer is needed.${seen:- No python3 was found.}" \
        "Install it (Debian, Ubuntu: apt install python3; macOS: brew install python@3.13) and try again." >&2
    return 1
}

# Brings .venv up to date. Argument: runtime for what the application needs, all for what tests and checks need too.
# Continuous integration also installs what the tests with real agents need, which others skip.
prepare() {
    python=$(find_python) || exit 1
    if [ "$1" = all ] && [ "${CI:-}" = true ]; then set -- agents; fi
    "$python" -I scripts/bootstrap.py "$1" || exit
}
