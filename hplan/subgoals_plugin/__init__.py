"""The TensorBoard tab "Subgoals". Nothing here imports torch: TensorBoard has to start fast."""

PLUGIN_NAME = "subgoals"
