"""Every knob, typed, in one room: TOML and `--section.key value` in, resolved JSON out.

A field is `name: type = knob(default, "what it does, its unit, when to change it")`; `--help` prints exactly that.
"""

from r1zero.config.asking import CausalConfig, EvalConfig, JudgeConfig, ProbeConfig
from r1zero.config.cluster import ClusterConfig
from r1zero.config.knobs import build, flatten, knob, merge, nearest, nested, read_recipe, require, to_dict
from r1zero.config.pretraining import (
    ArchitectureConfig,
    CorpusConfig,
    PretrainConfig,
    SFTConfig,
    TextDataConfig,
    VisualCorpusConfig,
)
from r1zero.config.shared import (
    EngineConfig,
    LearnerConfig,
    LoraConfig,
    ModelConfig,
    RewardConfig,
    SamplingConfig,
    TaskConfig,
    TemplateConfig,
)
from r1zero.config.training import (
    CheckpointConfig,
    ChoiceConfig,
    EvaluationConfig,
    GroupsConfig,
    ObjectiveConfig,
    ReplayConfig,
    RunConfig,
    ShardingConfig,
    TrainConfig,
)

__all__ = [
    "ArchitectureConfig",
    "CausalConfig",
    "CheckpointConfig",
    "ChoiceConfig",
    "ClusterConfig",
    "CorpusConfig",
    "EngineConfig",
    "EvalConfig",
    "EvaluationConfig",
    "GroupsConfig",
    "JudgeConfig",
    "LearnerConfig",
    "LoraConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PretrainConfig",
    "ProbeConfig",
    "ReplayConfig",
    "RewardConfig",
    "RunConfig",
    "SFTConfig",
    "SamplingConfig",
    "ShardingConfig",
    "TaskConfig",
    "TemplateConfig",
    "TextDataConfig",
    "TrainConfig",
    "VisualCorpusConfig",
    "build",
    "flatten",
    "knob",
    "merge",
    "nearest",
    "nested",
    "read_recipe",
    "require",
    "to_dict",
]
