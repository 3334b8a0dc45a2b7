"""A loan is played fact by fact: each module plays a few kinds. lending.rules.life puts them together."""
