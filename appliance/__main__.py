"""`python -m appliance` is the command `ostiary`."""

from appliance.cli import main

main()
