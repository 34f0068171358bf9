"""The evaluators, which turn a plan into evidence: one module each, with `evaluate(plan, bench)`, and shared modules."""
