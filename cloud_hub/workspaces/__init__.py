"""What a team shares: a workspace owns all else."""
