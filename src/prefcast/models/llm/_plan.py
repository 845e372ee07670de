"""Will it fit, and how long will it take: estimates for scoring and training, from sizes alone. No torch, no GPU.

Memory is counted part by part. Time is floating-point operations over what a GPU is rated at, what a matrix product
reaches of that, and what a whole run reaches of a matrix product; the last two are measured or assumed, and every plan
says which (plan.toml). Memory should be right within a tenth or two; time, where a share is assumed, within a factor of
two.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from prefcast.errors import EngineError
from prefcast.models.llm._geometry import Geometry, plan_data
from prefcast.models.llm._gpus import Gpu, gpu_names, load_gpu
from prefcast.models.llm._workload import Workload

__all__ = ["GIB", "JOBS", "PLAN_PRECISIONS", "Job", "Plan", "best_plan", "plan", "remedies"]

GIB: Final = 2**30
JOBS: Final = ("scoring", "lora", "qlora", "full")
PLAN_PRECISIONS: Final = ("bf16", "fp16", "fp32", "int8", "float8", "bnb-int8", "bnb-nf4")

# Bytes of a weight of a matrix; NF4 has 4 bits and, for each 64 weights, 8 bits and a 256th of 32.
_WEIGHT: Final = {"fp32": 4.0, "int8": 1.0, "float8": 1.0, "bnb-int8": 1.0, "bnb-nf4": 0.5 + (1 + 4 / 256) / 64}
_MOST_TOKENS: Final = 16_384  # a batch beyond this is no faster
_LOOKS: Final = 10  # at the held-out votes in a training run


@dataclass(frozen=True)
class Job:
    """What is to be done, and how.

    Parameters
    ----------
    kind
        ``"scoring"``, or training by ``"lora"``, ``"qlora"`` or ``"full"``.
    precision
        Of the backbone; ``"auto"`` for what the device does best. ``"qlora"`` has its own.
    gpus
        Devices; each has a copy of the model unless `fsdp`.
    orders
        ``"both"``, ``"canonical"`` or ``"given"``.
    batch_tokens
        Tokens on a device at once; 0 for as many as fit and are useful.
    rank, targets
        Of the adapter.
    epochs
        How often each battle is seen in training.
    validation
        Share of the votes held out in training, and looked at ten times.
    checkpointing
        Compute activations again in the backward pass.
    fsdp
        Shard weights, gradients and optimiser over the devices.
    """

    kind: str = "scoring"
    precision: str = "auto"
    gpus: int = 1
    orders: str = "both"
    batch_tokens: int = 0
    rank: int = 64
    targets: str | tuple[str, ...] = "all-linear"
    epochs: float = 1.0
    validation: float = 0.1
    checkpointing: bool = True
    fsdp: bool = False

    def __post_init__(self) -> None:
        if self.kind not in JOBS:
            raise EngineError(f"there is no job {self.kind!r}; choose one of {', '.join(JOBS)}.")
        if self.precision not in ("auto", *PLAN_PRECISIONS):
            raise EngineError(
                f"there is no precision {self.precision!r}; choose one of auto, {', '.join(PLAN_PRECISIONS)}."
            )
        if self.kind == "qlora" and self.fsdp:
            raise EngineError("FSDP cannot shard weights that bitsandbytes has packed: plan lora or full with it.")

    @property
    def training(self) -> bool:
        """Whether it trains."""
        return self.kind != "scoring"


@dataclass(frozen=True)
class Plan:
    """An estimate.

    Parameters
    ----------
    backbone, gpu, gpus, job, precision
        Of what.
    path
        How batches would be run; empty if the device cannot compute so.
    memory
        Bytes on each device, by part, at `batch_tokens`.
    available
        Bytes that each device has for them.
    batch_tokens
        Tokens on a device at once; the longest sequence at least.
    largest_batch
        The largest that fits; 0 if not even the longest sequence does.
    seconds
        By part; empty if it does not fit.
    share, share_from
        Share of the matrix-product ceiling that is assumed, and how that is known.
    tflops
        What that makes on each device.
    why_not
        Why it does not work, for people; empty if it does.
    """

    backbone: str
    gpu: str
    gpus: int
    job: str
    precision: str
    path: str
    memory: dict[str, float]
    available: float
    batch_tokens: int
    largest_batch: int
    seconds: dict[str, float]
    share: float
    share_from: str
    tflops: float
    why_not: str = ""

    @property
    def fits(self) -> bool:
        """Whether it works at all."""
        return not self.why_not

    @property
    def total(self) -> float:
        """Bytes on each device."""
        return sum(self.memory.values())

    @property
    def time(self) -> float:
        """Seconds from start to end; NaN if it does not fit."""
        return sum(self.seconds.values()) if self.seconds else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        time = None if math.isnan(self.time) else self.time
        return asdict(self) | {"fits": self.fits, "total": self.total, "time": time}


def plan(geometry: Geometry, gpu: Gpu, work: Workload, job: Job | None = None) -> Plan:
    """Estimate memory and time of a job.

    Parameters
    ----------
    geometry
        The backbone.
    gpu
        The device.
    work
        What there is to read.
    job
        What to do with it; scoring if None.

    Returns
    -------
    Plan
        The estimate; where it does not fit, why.

    Examples
    --------
    >>> from prefcast.models.llm._geometry import load_geometry
    >>> work = Workload.typical(25_000)
    >>> found = plan(load_geometry("llama3-8b"), load_gpu("t4"), work, Job(precision="bnb-int8", gpus=2))
    >>> found.fits, round(found.memory["weights"] / GIB, 1)
    (True, 7.5)
    """
    job = job or Job()
    precision = _precision(gpu, job)
    if gpu.peak(precision) == 0:
        return _cannot(geometry, gpu, job, precision)
    flops = _flops(geometry, work, job, packed := _packs(geometry, gpu, precision, job))
    path = "packed" if packed else "padded"
    assumed = plan_data()["assumed"]
    if packed and not job.training and precision in ("bf16", "fp16", "int8", "float8"):
        path += ", compiled" if flops / job.gpus >= assumed["worth_compiling"] else ""
    fixed, per_token = _fixed(geometry, job, precision), _per_token(geometry, job, precision, work.longest)
    available = _available(gpu)
    room = max(0.0, available - sum(fixed.values())) / per_token // 64 * 64
    largest = int(room) if room >= work.longest else 0
    # A sequence is never split, so a batch is never smaller than the longest.
    batch = max(job.batch_tokens or min(largest, _MOST_TOKENS), work.longest)
    memory = fixed | {"activations": batch * per_token}
    share, share_from = _share(gpu, "training" if job.training else "scoring", path, precision)
    tflops = gpu.peak(precision) * gpu.ceiling * share
    why_not = ""
    if sum(memory.values()) > available:
        need, have = sum(memory.values()) / GIB, available / GIB
        what = f"a batch of {batch:,} tokens" if batch > work.longest else f"one sequence of {batch:,} tokens"
        why_not = f"{what} needs {need:.1f} GiB on each device, which has {have:.1f}"
    seconds = {} if why_not else _seconds(geometry, gpu, work, job, flops, tflops, batch, path)
    return Plan(
        geometry.name, gpu.name, job.gpus, job.kind, precision, path, memory, available, batch, largest,
        seconds, share, share_from, tflops, why_not,
    )  # fmt: skip


def best_plan(geometry: Geometry, gpu: Gpu, work: Workload, job: Job | None = None) -> Plan:
    """Plan in the precision closest to the weights' own that fits: 16 bits, then 8, then 4.

    Parameters
    ----------
    geometry
        The backbone.
    gpu
        The device.
    work
        What there is to read.
    job
        What to do with it; a precision other than ``"auto"`` stays.

    Returns
    -------
    Plan
        The first that fits, or the last that was tried.
    """
    job = job or Job()
    if job.training or job.precision != "auto":
        return plan(geometry, gpu, work, job)
    found = [plan(geometry, gpu, work, replace(job, precision=p)) for p in (gpu.half, "bnb-int8", "bnb-nf4")]
    return next((one for one in found if one.fits), found[-1] if gpu.capability else found[0])


def remedies(geometry: Geometry, gpu: Gpu, work: Workload, job: Job) -> list[str]:
    """Find what would make a job fit that does not, each tried by itself.

    Parameters
    ----------
    geometry
        The backbone.
    gpu
        The device.
    work
        What there is to read.
    job
        What does not fit.

    Returns
    -------
    list[str]
        What to change, for people; empty if nothing in the tables helps.
    """
    half = work.cut(work.longest // 2)
    tried = [(f"in {p}", gpu, work, replace(job, precision=p)) for p in PLAN_PRECISIONS if not job.training]
    if job.batch_tokens:
        tried.append(("with batches as large as fit", gpu, work, replace(job, batch_tokens=0)))
    if job.training and not job.checkpointing:
        tried.append(("with gradient checkpointing", gpu, work, replace(job, checkpointing=True)))
    if job.training:
        smaller = JOBS[1 : JOBS.index(job.kind)][::-1] if job.kind == "full" else ("qlora",)
        tried += [(f"by {kind}", gpu, work, replace(job, kind=kind, precision="auto", fsdp=False)) for kind in smaller]
        if job.kind != "qlora":
            sharded = [replace(job, gpus=n, fsdp=True) for n in (2, 4, 8, 16) if n >= job.gpus]
            first = next((one for one in sharded if plan(geometry, gpu, work, one).fits), None)
            tried += [(f"sharded over {first.gpus} of these (FSDP)", gpu, work, first)] if first else []
    tried.append((f"with texts cut at {half.longest:,} tokens", gpu, half, job))
    larger = sorted((load_gpu(name) for name in gpu_names() if name != "cpu"), key=lambda one: one.memory)
    roomy = next((one for one in larger if one.memory > gpu.memory and plan(geometry, one, work, job).fits), None)
    tried += [(f"on one {roomy.name}" if job.gpus == 1 else f"on {roomy.name}", roomy, work, job)] if roomy else []
    return [what for what, on, much, how in tried if plan(geometry, on, much, how).fits]


def _precision(gpu: Gpu, job: Job) -> str:
    if job.kind == "qlora":
        return "bnb-nf4"
    if job.training and job.precision not in ("auto", "bf16", "fp16", "fp32"):
        raise EngineError(f"{job.kind} trains in 16 or 32 bits and not in {job.precision}; 4 bits are the job qlora.")
    return gpu.half if job.precision == "auto" else job.precision


def _cannot(geometry: Geometry, gpu: Gpu, job: Job, precision: str) -> Plan:
    why = f"{gpu.name} has no arithmetic for {precision}"
    return Plan(
        geometry.name, gpu.name, job.gpus, job.kind, precision, "", {}, _available(gpu), 0, 0, {}, 0.0, "", 0.0, why
    )


def _packs(geometry: Geometry, gpu: Gpu, precision: str, job: Job) -> bool:
    # As the engine decides: `choose_path`.
    return gpu.capability >= 8.0 and precision != "fp32" and not geometry.whole_scores


def _available(gpu: Gpu) -> float:
    assumed = plan_data()["assumed"]
    return float(gpu.memory * (1 - assumed["fragments"]) - assumed["context"]) * GIB


def _item(precision: str) -> int:
    return 4 if precision == "fp32" else 2


def _fixed(geometry: Geometry, job: Job, precision: str) -> dict[str, float]:
    """Bytes on each device that do not depend on the batch."""
    rest = geometry.parameters - geometry.linear
    item = 4 if job.kind == "full" else _item(precision)
    linear = geometry.linear * (4.0 if job.kind == "full" else _WEIGHT.get(precision, 2.0))
    parts = {"weights": linear + rest * item}
    if precision == "bnb-nf4":
        parts["one matrix unpacked"] = 2.0 * max(i * o for i, o in geometry.matrices.values())
    if job.training:
        trained = geometry.parameters if job.kind == "full" else geometry.lora(job.rank, job.targets)
        if job.kind == "full" and precision != "fp32":
            parts["weights in 16 bits"] = 2.0 * geometry.linear
        if job.kind != "full":
            parts["adapter"] = 4.0 * trained
        parts |= {"gradients": 4.0 * trained, "optimiser": 8.0 * trained}
    shards = job.gpus if job.fsdp else 1
    return {name: size / shards for name, size in parts.items()}


def _per_token(geometry: Geometry, job: Job, precision: str, longest: int) -> float:
    """Bytes of activations for each token on a device at once."""
    item, hidden, wide = _item(precision), geometry.hidden, geometry.intermediate
    # Where scores are whole: in the model's type, in float32 for the softmax, and as its result.
    scores = geometry.heads * longest * (2 * item + 4) if geometry.whole_scores else 0
    if not job.training:
        # bitsandbytes adds its int8 inputs and int32 products; torchao its inputs of one byte.
        more = {"bnb-int8": 5 * wide + 4 * hidden, "int8": wide, "float8": wide}.get(precision, 0)
        return item * (10 * hidden + 4 * wide) + more + scores
    heads = (geometry.heads + 2 * geometry.kv_heads) * geometry.head_dim
    layer = item * (6 * hidden + 2 * heads + 5 * wide) + 8 * hidden + scores
    if job.kind != "full":
        names = list(geometry.matrices) if job.targets == "all-linear" else job.targets
        layer += sum(4 * (geometry.matrices[one][0] + job.rank) for one in names)  # an adapter's inputs are float32
    if job.checkpointing:
        return geometry.layers * item * hidden + 2 * layer
    return (geometry.layers + 1) * layer


def _flops(geometry: Geometry, work: Workload, job: Job, packed: bool) -> float:
    once = geometry.flops(work.lengths) / len(work.lengths) * work.battles
    if not job.training:
        shared = work.prompt if packed and geometry.causal else 0.0
        return once * (2 - shared if job.orders == "both" else 1)
    once *= 2 if job.orders == "both" else 1
    passes = (3 if job.kind == "full" else 2) + job.checkpointing
    return once * ((1 - job.validation) * job.epochs * passes + job.validation * _LOOKS)


def _share(gpu: Gpu, job: str, path: str, precision: str) -> tuple[float, str]:
    for row in plan_data()["share"]:
        fits = (row["job"], row["path"]) == (job, path) and precision in row["precisions"]
        if fits and gpu.capability < row.get("below", math.inf):
            return row["share"], row["from"]
    # Too little work to compile in 8 bits: no row of its own.
    return _share(gpu, job, "padded", precision)


def _seconds(
    geometry: Geometry, gpu: Gpu, work: Workload, job: Job, flops: float, tflops: float, batch: int, path: str
) -> dict[str, float]:
    assumed = plan_data()["assumed"]
    speed = job.gpus * (assumed["balance"] if job.gpus > 1 else 1.0)
    compute = flops / (tflops * 1e12) / speed
    # A batch reads every weight once, whatever it computes: short batches wait for the memory.
    passes = flops / geometry.flops(work.lengths) * len(work.lengths) * work.mean / min(batch, _MOST_TOKENS)
    reading = passes * 2 * geometry.linear / (gpu.bandwidth * 1e9) / speed
    seconds = {"loading": 2 * geometry.parameters / (assumed["load"] * 1e9)}
    if "compiled" in path:
        seconds["compiling"] = float(assumed["compile"])
    return seconds | {job.kind if not job.training else "training": max(compute, reading)}
