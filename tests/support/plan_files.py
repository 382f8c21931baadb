"""Plan files that several tests vary: a chain of jobs and gates, and a matrix with a cap."""

CHAIN = """
name = "chain"
preset = "smoke"
seeds = [41, 42]
why = "does the chain hold?"
resolve = "it holds"
[config]
steps = 6
disk_floor_gb = 0.01
[[arm]]
name = "vanilla"
[[arm]]
name = "erase"
[[job]]
name = "extract"
kind = "extract"
[[job]]
name = "eval"
kind = "eval"
of = ["erase"]
[[gate]]
name = "separates"
run = "extract"
metric = "separation"
at_least = 0.9
before = ["erase"]
"""
MONEY = """
name = "money"
preset = "smoke"
seeds = [41, 42, 43]
[config]
steps = 40
disk_floor_gb = 0.01
[[arm]]
name = "vanilla"
[budget]
per_hour = 3600
currency = "AUD"
cap = 100
"""  # a second costs one AUD
