"""`python -m hub` is the `hubbub` command."""

from hub.cli.main import main

if __name__ == "__main__":
    main()
