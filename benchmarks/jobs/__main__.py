"""Print the table of the jobs: each is run three times in each library, with other seeds."""

from statistics import median

from benchmarks.jobs import JOBS, lines, result

print("| job | lines, fastnn | lines, Keras | figure | fastnn | Keras |")
print("|---|--:|--:|---|--:|--:|")
for job, what in JOBS.items():
    figures = []
    for library in ("fastnn", "keras"):
        found = [result(job, library, seed) for seed in (1, 2, 3)]
        figures.append(median(figure for _, figure in found))
    cells = [f"{job}: {what}", *(lines(job, each) for each in ("fastnn", "keras")), found[0][0]]
    print("| " + " | ".join(map(str, [*cells, *(f"{figure:.3g}" for figure in figures)])) + " |", flush=True)
