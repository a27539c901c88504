"""The demonstration behind `python -m hypernet`: handwritten digits turned by an angle, which is the condition."""
