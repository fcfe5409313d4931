"""Any registered gymnasium environment as a task; see docs/your-own-environment.md."""
