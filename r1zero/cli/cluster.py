"""`--cluster NAME`: short for `--cluster.name NAME`, shared by the verbs that can use one."""

from __future__ import annotations

from dataclasses import replace

from r1zero.cli.verb import Arguments, Option

OPTION = Option(
    "cluster",
    "NAME",
    "ray: do the work on a Ray cluster, the one that this machine belongs to unless --cluster.address names another; "
    "short for --cluster.name",
    choices=("none", "ray"),
)


def with_cluster(arguments: Arguments) -> Arguments:
    """The command line with --cluster as the knob that it stands for; raises ValueError where both contradict."""
    name = arguments.options.get("cluster")
    if name is None:
        return arguments
    knob = arguments.overrides.get("cluster.name", name)
    if knob != name:
        raise ValueError(f"--cluster {name} and --cluster.name {knob} contradict each other: drop one")
    return replace(arguments, overrides={**arguments.overrides, "cluster.name": name})
