"""`r1zero plan`: memory a GPU by part, bytes that move, and what to change, before anything is started."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from r1zero.cli.recipes import recipe_name, resolve
from r1zero.cli.verb import Arguments, Option, Verb
from r1zero.config import TrainConfig

if TYPE_CHECKING:
    from r1zero.planning import Demand, Machine, Plan, Shape

GPU_MEMORY = 80.0


def run(arguments: Arguments) -> int:
    """Print the plan; 1 where the run does not fit."""
    from r1zero.planning import Machine, make_plan, read_shape

    config = resolve(VERB, arguments)
    memory = number(arguments, "gpu-memory", GPU_MEMORY)
    machine = Machine(arguments.count("gpus", 1), memory, arguments.count("sampler-gpus", 0))
    shape = read_shape(config.model.path)
    demand = demanded(config, machine, arguments)
    on_cpu = config.learner.device == "cpu"
    plan = make_plan(shape, demand, on_cpu=on_cpu)
    others = [make_plan(shape, other, on_cpu=on_cpu) for other in by_gpus(config, machine, arguments)]
    if arguments.has("json"):
        print(json.dumps(as_dict(plan, others), indent=2))
    else:
        name = recipe_name(arguments.positionals[0] if arguments.positionals else VERB.default_recipe)
        show(plan, others, name)
    return 0 if plan.fits else 1


def number(arguments: Arguments, name: str, default: float) -> float:
    """An option that is a number.  Raises ValueError for anything else."""
    try:
        return float(arguments.options.get(name, default))
    except ValueError:
        raise ValueError(f"--{name} {arguments.options[name]}: give a number") from None


def demanded(config: TrainConfig, machine: Machine, arguments: Arguments) -> Demand:
    """The config's numbers on a machine."""
    from r1zero.objectives import build_objective
    from r1zero.planning import demand_of

    objective = build_objective(config.objective)
    return demand_of(
        config,
        machine,
        reference=objective.needs_reference,
        scores=objective.needs_scoring,
        prompt_tokens=arguments.count("prompt-tokens", 200),
        response_tokens=arguments.count("response-tokens", config.sampling.max_tokens),
        lora_rank=arguments.count("lora-rank", config.lora.rank),
    )


def by_gpus(config: TrainConfig, machine: Machine, arguments: Arguments) -> list[Demand]:
    """The same on 1, 2, 4, ... GPUs, up to eight times as many as asked for and no more than there are problems."""
    most = min(config.problems_per_step, max(8, 8 * machine.gpus))
    counts = sorted({2**power for power in range(11) if 2**power <= most} | {machine.gpus})
    return [demanded(config, replace(machine, gpus=count), arguments) for count in counts]


def as_dict(plan: Plan, others: list[Plan]) -> dict[str, Any]:
    """Everything, in bytes."""
    from r1zero.planning import advise, movements

    return {
        "model": asdict(plan.shape) | {"parameters": plan.shape.parameters},
        "demand": asdict(plan.demand),
        "parts": [asdict(part) for part in plan.parts],
        "sampler_parts": [asdict(part) for part in plan.sampler_parts],
        "peak": plan.peak,
        "room": plan.room,
        "fits": plan.fits,
        "cached_sequences": plan.cached_sequences,
        "peak_by_gpus": {str(other.demand.machine.gpus): other.peak for other in others},
        "moved": [asdict(movement) for movement in movements(plan.shape, plan.demand)],
        "changes": [asdict(change) for change in advise(plan)],
    }


def show(plan: Plan, others: list[Plan], name: str) -> None:
    """Tables for a terminal, in GiB."""
    from rich.console import Console
    from rich.text import Text

    from r1zero.planning import movements
    from r1zero.planning.memory import PHASES, RESERVE
    from r1zero.reports.console import print_table

    console = Console()
    machine = plan.demand.machine
    console.print(Text(f"{name}: {headline(plan.shape, plan.demand)}"))
    console.print(Text(assumptions(plan.demand), style="dim"))
    console.print()
    rows = [[part.name, *(Amount(getattr(part, phase)) for phase in PHASES)] for part in plan.parts]
    rows.append(["together", *(Amount(plan.total(phase)) for phase in PHASES)])
    print_table([f"GiB on each of {machine.gpus} GPU{'s' * (machine.gpus > 1)}", *PHASES], rows, console=console)
    if plan.sampler_parts:
        rows = [[part.name, Amount(part.sampling)] for part in plan.sampler_parts]
        print_table([f"GiB on each of {machine.sampler_gpus} that only sample", "sampling"], rows, console=console)
    console.print()
    if len(others) > 1:
        columns = ["GPUs that learn", *(str(other.demand.machine.gpus) for other in others)]
        print_table(columns, [["GiB at the peak", *(Amount(other.peak) for other in others)]], console=console)
        console.print()
    moved = [[m.what, Amount(m.bytes, 10**9), m.where, m.how_often] for m in movements(plan.shape, plan.demand)]
    print_table(["moved in a step", "GB", "", ""], moved, console=console)
    console.print()
    verdict = "fits" if plan.peak <= plan.room else "does not fit"
    of = f"{machine.gpu_memory:g} GiB, {RESERVE:.0%} of which are left for what is not counted"
    console.print(Text(f"It {verdict}: {Amount(plan.peak)} GiB at the peak of {of}.", style="bold"))
    if plan.demand.engine == "vllm":
        console.print(Text(f"vLLM's cache holds {plan.cached_sequences} sequences of full length at once on a GPU."))
    show_changes(plan)


def show_changes(plan: Plan) -> None:
    """What makes it fit."""
    from rich.console import Console
    from rich.text import Text

    from r1zero.planning import advise
    from r1zero.reports.console import print_table

    changes = advise(plan)
    if plan.fits:
        return
    console = Console()
    if not changes:
        console.print(Text("No change known here makes it smaller: take a smaller model."))
        return
    rows = [[change.flag, Amount(change.peak), change.costs] for change in changes]
    print_table(["to make it fit, one after the other", "GiB then", "at the price of"], rows, console=console)
    if not changes[-1].fits:
        console.print(Text("Even all of them are not enough: take a smaller model or more memory."))


def headline(shape: Shape, demand: Demand) -> str:
    """The model and how it learns."""
    how = {"float32": "float32", "autocast": "float32 weights, bfloat16 products", "bfloat16": "bfloat16 layers"}
    told = [f"{shape.name}, {shape.parameters / 1e9:.2f} billion parameters", how[demand.arithmetic]]
    told += ["divided among ranks (FSDP2)"] if demand.divided else []
    told += ["layers computed again"] if demand.checkpointing else []
    told += [f"adapters of rank {demand.lora_rank}"] if demand.lora_rank else []
    engines = {"shared": "sampled with the learner's weights", "copied": "sampled with a whole copy", "vllm": "vLLM"}
    return ", ".join([*told, engines[demand.engine]])


def assumptions(demand: Demand) -> str:
    """Lengths that the numbers hold for."""
    return (
        f"{demand.microbatch_tokens:,} tokens in a micro-batch, prompts of {demand.prompt_tokens} and responses of "
        f"{demand.response_tokens:,} tokens, {demand.updates} updates of {demand.microbatches} micro-batches a step"
    )


@dataclass(frozen=True)
class Amount:
    """A cell of a table: an amount with two decimals, nothing for 0.

    >>> str(Amount(3 << 29)), str(Amount(0)), str(Amount(1_500_000_000, unit=10**9))
    ('1.50', '', '1.50')
    """

    bytes: int
    unit: int = 1 << 30

    def __str__(self) -> str:
        return f"{self.bytes / self.unit:,.2f}" if self.bytes else ""


VERB = Verb(
    name="plan",
    summary="before a run is started: memory a GPU by part, bytes that move, and what to change where it does not fit",
    usage="[RECIPE] [--gpus N] [--gpu-memory GIB] [--section.key VALUE ...]",
    run=run,
    positionals=(0, 1),
    options=(
        Option("gpus", "N", "GPUs that learn, each a rank; they also sample (default: 1)"),
        Option("gpu-memory", "GIB", f"memory of each, in GiB (default: {GPU_MEMORY:g})"),
        Option("sampler-gpus", "N", "further GPUs that only sample, with vLLM (default: none, the others take turns)"),
        Option("prompt-tokens", "N", "length of a prompt, in tokens (default: 200)"),
        Option(
            "response-tokens", "N", "length of a response, in tokens (default: sampling.max_tokens, the worst case)"
        ),
        Option("lora-rank", "R", "rank of adapters that learn in place of the weights (default: the config's)"),
        Option("json", "", "print everything as JSON, in bytes"),
    ),
    config_type=TrainConfig,
    default_recipe="quickstart",
    details="""
Nothing is loaded and no GPU is needed: the shape of the model comes from its config.json, or from a table of published
models, and every part is counted as the learner and the engines allocate it. docs/scaling.md says how far the counts
are from measurement. engine.name `auto` is planned as `fast` on GPUs that learn, and as `vllm` on those that only
sample. The exit code is 1 where the run does not fit.

  r1zero plan understand_r1_zero_1_5b --gpus 8 --gpu_memory 40
  r1zero plan understand_r1_zero_7b --gpus 8 --engine.name vllm --engine.sleep
  r1zero plan simplerl_zero_7b --gpus 32 --sampler-gpus 32 --response-tokens 1500
""",
)
