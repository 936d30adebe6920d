"""Plans: what an operation selects, found out once and compiled, instead of for each object that is shown."""
