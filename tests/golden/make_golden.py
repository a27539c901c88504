"""Make `values.npz` and `facts.json` anew with the installed Keras: `python -m golden.make_golden` in `tests/`."""

from __future__ import annotations

from . import table
from .libraries import KerasLibrary


def main() -> None:
    """Run every case with Keras and keep what it gives."""
    keras = KerasLibrary()
    values = {name: table.run_values(name, keras) for name in table.VALUE_CASES}
    facts = {name: table.run_facts(name, keras) for name in table.FACT_CASES}
    table.save(values, facts)
    size = (table.VALUES.stat().st_size + table.FACTS.stat().st_size) / 1024
    print(f"Keras {keras.k.__version__}: {len(values)} cases of numbers, {len(facts)} of facts, {size:.0f} kB")


if __name__ == "__main__":
    main()
