"""From an application to a decision, and from repaid loans to the next model.

Where to begin reading:

A decision: decide (all of it on one page), facts, features and events (what is known, by sources), policy (the
rules), scorecard (without a model), account (why, for officers), replaying (what other rules would have done).
The model: registry and worker (who serves), training (what is learnt from), pipeline (the night, step by step),
judging (the gate), shadow and promotion (who comes next), cards (its papers), monitor (how it does).
"""
