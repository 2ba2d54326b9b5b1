"""The hub beside its peers: `make bench-hub` runs the three benchmarks and prints the page's tables."""

import subprocess
import sys

PARTS = {
    "Large models": "benchmarks.model_transfer",
    "Requests": "benchmarks.api_requests",
    "Memory and start": "benchmarks.hub_footprint",
}


def main() -> int:
    """Run each part with the defaults; return non-zero where one failed."""
    failed = []
    for title, module in PARTS.items():
        sys.stdout.write(f"## {title}\n\n")
        sys.stdout.flush()
        if subprocess.run([sys.executable, "-m", module], check=False).returncode:
            failed.append(module)
    if failed:
        sys.stderr.write(f"error: {', '.join(failed)} failed; what it printed is above\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
