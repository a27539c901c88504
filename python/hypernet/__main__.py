"""`python -m hypernet`: the demonstration; `python -m hypernet info`: what this machine offers."""

from .demo.command import main

if __name__ == "__main__":
    raise SystemExit(main())
