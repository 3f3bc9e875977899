"""A run's process, without MLX: recorder, commands, history, summary, heartbeat, out-of-memory."""
