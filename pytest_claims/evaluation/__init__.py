"""Plan → Evidence: one module per evaluator, each with `evaluate(plan, bench)`, and what they share."""
