"""What stands behind `run.py`: set-up, the demo's supervisor, tests and checks. Standard library only: it runs before anything is installed."""
