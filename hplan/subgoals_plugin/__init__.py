"""The TensorBoard tab "Subgoals". What TensorBoard loads of it imports no torch, to start fast."""

PLUGIN_NAME = "subgoals"
