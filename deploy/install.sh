#!/bin/sh
# Fills a directory with one program: what an image holds, and what tests/deploy boots.
#
#   deploy/install.sh packages services/billing /app    the packages of its lock, each checked against its hash
#   deploy/install.sh sources  services/billing /app    the program, its migrations, and the house's own two packages
#
# The sources are pure Python and are copied: building wheels of them would need a build backend that no lock pins.
set -eu

step=$1 program=$2 target=$3
name=$(basename "$program")

packages() {
  uv pip install --quiet --python "${PYTHON:-python3}" --target "$target" \
    --require-hashes --only-binary :all: -r "$program/requirements.lock"
  # Commands, whose first line names the Python of this machine, and C headers.
  rm -rf "$target/bin" "$target/include"
}

sources() {
  cp -R "$program/$name" "$target/"
  case $program in
    services/*)
      cp -R shared/shared kit/kit "$program/migrations" "$target/"
      rm -rf "$target/kit/testing"
      ;;
  esac
  find "$target" -type d -name __pycache__ -prune -exec rm -rf {} +
}

cd "$(dirname "$0")/.."
mkdir -p "$target"
"$step"
