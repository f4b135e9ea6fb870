"""Runs a command to its end and says what it took: python3 spent.py COMMAND..."""

import resource
import subprocess
import sys
import time

begin = time.monotonic()
code = subprocess.call(sys.argv[1:])
seconds = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
print(f"{seconds:.1f} s, {peak:.0f} MB at most")
sys.exit(code)
