"""``python -m prefcast``: the command line."""

from prefcast.cli import main

if __name__ == "__main__":
    main()
