"""`python -m paramsym.cli`, as the script `paramsym`."""

from paramsym.cli import main

main()
