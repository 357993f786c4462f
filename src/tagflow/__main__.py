"""``python -m tagflow``."""

from tagflow.cli.main import main

if __name__ == "__main__":
    main()
